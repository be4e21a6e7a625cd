"""The proposal to change the quarantine file, written for the person who reviews it."""

from collections.abc import Sequence

from agents.contract import Due, RunContext
from agents.flaky_tests.plan import Plan, planned
from leverframe.model.proposals import (
    Affected,
    Amending,
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
    if plan.empty:
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
                unhealed=finding.unhealed,
            )
            for finding in plan.added
        ),
        leave=tuple(test for test, _ in plan.removed),
        amend=plan.amended,
        staying=len(plan.file.entries) - len(plan.added),
        tests=facts.tests,
        title=_title(plan),
        body=_body(plan, facts, context),
    )


def _title(plan: Plan) -> str:
    parts = []
    renewed, widened = _renewed(plan), _widened(plan)
    if renewed:
        parts.append(f"renew the quarantine of {_tests(len(renewed))}")
    if plan.added:
        parts.append(f"quarantine {_tests(len(plan.added))}")
    if plan.removed:
        parts.append(f"release {_tests(len(plan.removed))}")
    if widened:
        parts.append(f"hide more failures of {_tests(len(widened))}")
    return (" and ".join(parts)).capitalize()


def _named(plan: Plan) -> Untrusted:
    """The first tests, as the outside calls them."""
    tests = [
        *(finding.test for finding in plan.added),
        *(test for test, _ in plan.removed),
        *(one.entry.test for one in plan.amended),
    ]
    more = f" and {len(tests) - _NAMED} more" if len(tests) > _NAMED else ""
    return Untrusted(", ".join(test.for_terminal(120) for test in tests[:_NAMED]) + more)


def _why(plan: Plan) -> str:
    if renewed := _renewed(plan):
        first = min(one.was.expires for one in renewed)
        return (
            f"the quarantine expires from {first} on, and the detector still calls each test flaky; "
            "without a yes their failures fail builds again"
        )
    if plan.asks:
        return f"a person must approve it: {plan.asks}"
    if plan.added or plan.amended:
        return "each failed and passed on the same commit, more often than a healthy test ever does"
    return "their failures must count again"


def _evidence(plan: Plan, caps: QuarantineCaps) -> tuple[Measurement, ...]:
    """The weakest of what is to be hidden, since that is what policy must allow."""
    strengths = [one.strength for one in plan.added] + [one.strength for one in plan.amended]
    if not strengths:
        return (Measurement(name="tests that leave", observed=len(plan.removed), threshold=1, unit="tests"),)
    evidence = Measurement(
        name="evidence of flakiness",
        observed=min(strengths),
        threshold=caps.by_itself,
        unit="runs to a false one",
    )
    if not plan.added:
        return (evidence,)
    runs = min(finding.discordant for finding in plan.added)
    return (
        evidence,
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
    if renewed := _renewed(plan):
        names = ("test", "now", "age", "renewed before", "until", "owner", "repair")
        heading = f"### Renew\n\n| {' | '.join(names)} |\n{'|---' * len(names)}|"
        parts.append(_listed(heading, [_renewal(one) for one in renewed]))
    if widened := _widened(plan):
        rows = [
            f"| {one.entry.test.for_markdown(200)} | {', '.join(f'`{mask}`' for mask in one.hides)} "
            f"| {_plain(one.entry.owner)} | {one.entry.expires} |"
            for one in widened
        ]
        heading = "### Hide more failures\n\n| test | failures | owner | until |\n|---|---|---|---|"
        parts.append(_listed(heading, rows))
    if plan.left_out:
        rows = [f"- {one.test.for_markdown(200)}: {_plain(one.why)}" for one in plan.left_out]
        parts.append(_listed("### Left alone\n", rows))
    refusal = (
        "the agent does not ask again, and what expires leaves the file."
        if renewed
        else "the agent asks for none of these tests again."
    )
    parts.append(
        f"### If this is wrong\n\nClose the merge request: {refusal} A "
        "quarantined test still runs; only the failures that are named can't fail a build, once it then "
        "passes at the same commit, and the entry expires."
    )
    return "\n\n".join(parts) + "\n"


def _renewal(one: Amending) -> str:
    """A row: what somebody needs who decides whether it may go on."""
    entry = one.entry
    times = f"{one.renewed} times" if one.renewed else "–"
    cells = (
        entry.test.for_markdown(200),
        _plain(entry.evidence),
        f"{(one.on - entry.since).days} days, since {entry.since}",
        times,
        f"{entry.expires}, not {one.was.expires}",
        _plain(entry.owner),
        _plain(entry.link or "–"),
    )
    return f"| {' | '.join(cells)} |"


def _renewed(plan: Plan) -> tuple[Amending, ...]:
    return tuple(one for one in plan.amended if one.renews)


def _widened(plan: Plan) -> tuple[Amending, ...]:
    return tuple(one for one in plan.amended if one.hides)


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
