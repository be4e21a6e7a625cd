"""The change of the quarantine file, written for the person who reviews it."""

from agents.contract import RunContext
from agents.flaky_tests.plan import Plan, planned
from agents.flaky_tests.quarantine_file import rendered
from leverframe.model.proposals import Affected, Measurement, NoAction
from leverframe.model.quarantine import FlakyFacts, LeftOut, QuarantineCaps, QuarantineChange

_SHOWN = 50


def proposed(facts: FlakyFacts, caps: QuarantineCaps, context: RunContext) -> QuarantineChange | NoAction:
    """One change for all tests that enter or leave now, or why there is none."""
    plan = planned(facts, caps, context.now)
    if not plan.added and not plan.removed:
        return NoAction(why=_nothing(plan))
    return QuarantineChange(
        repository=context.repository,
        content=rendered(plan.file),
        title=_title(plan),
        body=_body(plan, facts, context),
        evidence=_evidence(plan, caps),
        affected=Affected(count=len(plan.file.entries), of=max(facts.tests, 1)),
        needs_person=plan.needs_person,
        added=tuple(finding.test for finding in plan.added),
        removed=tuple(test for test, _ in plan.removed),
        left_out=plan.left_out,
    )


def _title(plan: Plan) -> str:
    parts = []
    if plan.added:
        parts.append(f"quarantine {_tests(len(plan.added))}")
    if plan.removed:
        parts.append(f"release {_tests(len(plan.removed))}")
    return (" and ".join(parts)).capitalize()


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
    if plan.needs_person:
        parts.append("> The evidence is enough to ask you, and not enough to land by itself.")
    if plan.added:
        rows = [
            f"| {one.test.for_markdown(200)} | {one.evidence} | {one.owner or '–'} |"
            for one in plan.added[:_SHOWN]
        ]
        parts.append("### Enter\n\n" + "\n".join(["| test | evidence | owner |", "|---|---|---|", *rows]))
    if plan.removed:
        rows = [f"| {test.for_markdown(200)} | {why} |" for test, why in plan.removed[:_SHOWN]]
        parts.append("### Leave\n\n" + "\n".join(["| test | why |", "|---|---|", *rows]))
    if plan.left_out:
        parts.append("### Left alone\n\n" + "\n".join(map(_left_alone, plan.left_out[:_SHOWN])))
    parts.append(
        "### If this is wrong\n\nClose the merge request: the agent asks for none of these tests again. A "
        "quarantined test still runs; only the failures that are named, after a pass at the same commit, "
        "can't fail a build, and the entry expires."
    )
    return "\n\n".join(parts) + "\n"


def _left_alone(one: LeftOut) -> str:
    return f"- {one.test.for_markdown(200)}: {one.why}"


def _nothing(plan: Plan) -> str:
    if not plan.left_out:
        return "no test has to enter or leave the quarantine"
    return f"{_tests(len(plan.left_out))} may not enter the quarantine; the first: {plan.left_out[0].why}"


def _tests(count: int) -> str:
    return "1 flaky test" if count == 1 else f"{count} flaky tests"
