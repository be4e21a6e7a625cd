"""The proposal to change the quarantine file, written for the person who reviews it."""

from collections.abc import Sequence

from agents.contract import Due, RunContext
from agents.flaky_tests.plan import Plan, planned
from leverframe.model.proposals import (
    Affected,
    ChangeQuarantine,
    Entering,
    Measurement,
    NoAction,
    Proposal,
    Step,
)
from leverframe.model.quarantine import FlakyFacts, QuarantineCaps
from leverframe.model.untrusted import Untrusted

_SHOWN = 50
_NAMED = 3
_ROOM = 18_000
"""Characters of one list: three of them are within what a forge takes."""
_EVIDENCE = 200
"""Characters of one: a hundred of them stay readable, and within what a forge takes."""


def proposed(agent: str, due: Due, facts: FlakyFacts, context: RunContext) -> Proposal | NoAction:
    """One change for all tests that enter or leave now, or why there is none."""
    plan = planned(facts, facts.caps, context.now)
    if not plan.added and not plan.removed:
        return NoAction(why=_nothing(plan))
    title = _title(plan)
    return Proposal(
        id=context.run,
        agent=agent,
        repository=context.repository,
        service=context.service,
        subject=context.subject,
        summary=f"{due.reason}; {title.lower()}",
        title=_named(plan),
        evidence=_evidence(plan, facts.caps),
        steps=(Step(purpose="repair", effect=_effect(plan, facts, context), why=_why(plan)),),
        affected=Affected(count=len(plan.file.entries), of=max(facts.tests, len(plan.file.entries), 1)),
    )


def _effect(plan: Plan, facts: FlakyFacts, context: RunContext) -> ChangeQuarantine:
    entries = {entry.test: entry for entry in plan.file.entries}
    return ChangeQuarantine(
        repository=context.repository,
        enter=tuple(
            Entering(
                entry=entries[finding.test],
                path=finding.path,
                markers=finding.markers,
                strength=finding.strength,
            )
            for finding in plan.added
        ),
        leave=tuple(test for test, _ in plan.removed),
        staying=len(plan.file.entries) - len(plan.added),
        tests=facts.tests,
        title=_title(plan),
        body=_body(plan, facts, context),
    )


def _title(plan: Plan) -> str:
    parts = []
    if plan.added:
        parts.append(f"quarantine {_tests(len(plan.added))}")
    if plan.removed:
        parts.append(f"release {_tests(len(plan.removed))}")
    return (" and ".join(parts)).capitalize()


def _named(plan: Plan) -> Untrusted:
    """The first tests, as the outside calls them."""
    tests = [*(finding.test for finding in plan.added), *(test for test, _ in plan.removed)]
    more = f" and {len(tests) - _NAMED} more" if len(tests) > _NAMED else ""
    return Untrusted(", ".join(test.for_terminal(120) for test in tests[:_NAMED]) + more)


def _why(plan: Plan) -> str:
    if plan.asks:
        return f"a person must approve it: {plan.asks}"
    if plan.added:
        return "each failed and passed on the same commit, more often than a healthy test ever does"
    return "their failures must count again"


def _evidence(plan: Plan, caps: QuarantineCaps) -> tuple[Measurement, ...]:
    """The weakest of what enters, since that is what policy must allow."""
    if not plan.added:
        return (Measurement(name="tests that leave", observed=len(plan.removed), threshold=1, unit="tests"),)
    weakest = min(finding.strength for finding in plan.added)
    runs = min(finding.discordant for finding in plan.added)
    return (
        Measurement(
            name="evidence of flakiness",
            observed=weakest,
            threshold=caps.by_itself,
            unit="runs to a false one",
        ),
        Measurement(
            name="runs that failed and passed at one commit", observed=runs, threshold=1, unit="runs"
        ),
    )


def _body(plan: Plan, facts: FlakyFacts, context: RunContext) -> str:
    parts = [
        f"[The run in Temporal]({context.run_url}) · {len(plan.file.entries)} of {facts.tests:,} tests "
        "are quarantined after this change."
    ]
    if plan.asks:
        parts.append(f"> You are asked, since {plan.asks}.")
    if plan.added:
        rows = [
            f"| {one.test.for_markdown(200)} | {_plain(one.evidence)} | {_plain(one.owner or '–')} |"
            for one in plan.added
        ]
        parts.append(_listed("### Enter\n\n| test | evidence | owner |\n|---|---|---|", rows))
    if plan.removed:
        rows = [f"| {test.for_markdown(200)} | {_plain(why)} |" for test, why in plan.removed]
        parts.append(_listed("### Leave\n\n| test | why |\n|---|---|", rows))
    if plan.left_out:
        rows = [f"- {one.test.for_markdown(200)}: {_plain(one.why)}" for one in plan.left_out]
        parts.append(_listed("### Left alone\n", rows))
    parts.append(
        "### If this is wrong\n\nClose the merge request: the agent asks for none of these tests again. A "
        "quarantined test still runs; only the failures that are named can't fail a build, once it then "
        "passes at the same commit, and the entry expires."
    )
    return "\n\n".join(parts) + "\n"


def _listed(heading: str, rows: Sequence[str]) -> str:
    """The first rows, as many as a person reads and a forge takes; the diff has the rest."""
    kept, room = list[str](), _ROOM
    for row in rows[:_SHOWN]:
        room -= len(row)
        if room < 0:
            break
        kept.append(row)
    more = len(rows) - len(kept)
    return "\n".join([heading, *kept]) + (f"\n\nand {more} more" if more else "")


def _plain(text: str) -> str:
    """Words of ours, and globs and names that policy files and CODEOWNERS give: shown, never formatted."""
    return Untrusted(text).for_markdown(_EVIDENCE)


def _nothing(plan: Plan) -> str:
    if not plan.left_out:
        return "no test has to enter or leave the quarantine"
    return f"{_tests(len(plan.left_out))} may not enter the quarantine; the first: {plan.left_out[0].why}"


def _tests(count: int) -> str:
    return "1 flaky test" if count == 1 else f"{count} flaky tests"
