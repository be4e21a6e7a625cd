"""The story of a run in Markdown: what a person on call reads first in the Temporal UI."""

from leverframe.model.ids import step_of
from leverframe.model.outcomes import RunReport, StepReport
from leverframe.model.proposals import Measurement, Proposal, Step
from leverframe.model.untrusted import Untrusted
from policies.explain import effect_words
from workflows.messages import RunRequest

_MARKS = {"done": "✓", "denied": "✗", "rejected": "✗", "expired": "✗", "failed": "✗", "skipped": "–"}
_SUSPECTS = 5


def tell(request: RunRequest, report: RunReport) -> str:
    """The whole page. Everything that may carry outside text is opened for Markdown."""
    parts = [
        f"## {request.agent} on `{request.subject}` in {request.service}",
        f"**{_standing(report)}** {_plain(report.detail)}",
        f"**Why:** {_plain(request.due.reason)}. It began {request.due.since:%Y-%m-%d %H:%M:%S} UTC and was "
        f"detected {request.detected_at:%H:%M:%S} UTC.",
    ]
    if report.proposal is not None:
        parts.insert(1, f"> {report.proposal.title.for_markdown()}")
        parts.append("### Ladder\n\n" + _ladder(report.proposal, report))
    findings = [f"- {_plain(finding)}" for step in report.steps for finding in step.findings]
    if findings:
        parts.append("### What policy said\n\n" + "\n".join(findings))
    if report.proposal is not None and report.proposal.suspects:
        parts.append("### Suspects\n\n" + _suspects(report.proposal))
    parts.append("### Evidence\n\n" + evidence_table(request.due.evidence))
    return "\n\n".join(parts)


def _standing(report: RunReport) -> str:
    return f"{report.outcome.value}:" if report.outcome else "Now:"


def _ladder(proposal: Proposal, report: RunReport) -> str:
    told = {step_of(step.reservation): step for step in report.steps if step.reservation}
    rows = [
        f"| {step.purpose} | {_plain(effect_words(step.effect))} "
        + (_reached(told[index]) if index in told else f"|  | {_unreached(step, report)} |  |")
        for index, step in enumerate(proposal.steps)
    ]
    return "\n".join(
        ["| step | effect | policy | result | after detection |", "|---|---|---|---|---|", *rows]
    )


def _reached(step: StepReport) -> str:
    verdict = "" if step.result == "skipped" else step.verdict
    said = f"{_MARKS[step.result]} {step.result}: {_plain(step.detail)}"
    return f"| {verdict} | {said} | {_timings(step.timings_ms)} |"


def _unreached(step: Step, report: RunReport) -> str:
    """Why a rung has nothing to tell: its turn may still come, or the run ended without it."""
    if report.outcome is None:
        return ""
    helped = any(one.purpose == "mitigate" and one.result == "done" for one in report.steps)
    return "– not needed" if helped and step.purpose == "mitigate" else "– not reached"


def _timings(timings: dict[str, int]) -> str:
    """`reserved 12 ms, flipped 340 ms, effect 420 ms (80 ms after the pull), quiet 3,400 ms`."""
    after_pull = timings.get("applied_to_effect")
    words = []
    for key, value in timings.items():
        if key.startswith("detected_to_"):
            own = f" ({after_pull:,} ms after the pull)" if key == "detected_to_effect" else ""
            words.append(f"{key.removeprefix('detected_to_')} {value:,} ms{own}")
    return ", ".join(words)


def _suspects(proposal: Proposal) -> str:
    rows = [
        f"| {suspect.kind} | {_plain(suspect.name if suspect.kind == 'flag' else suspect.name[:12])} "
        f"| {suspect.score_ppm / 10_000:.0f} % | {_plain(suspect.why)} |"
        for suspect in proposal.suspects[:_SUSPECTS]
    ]
    return "\n".join(["| kind | name | weight | why |", "|---|---|--:|---|", *rows])


def evidence_table(measurements: tuple[Measurement, ...]) -> str:
    """What was seen and what was needed, as a table."""
    rows = [
        f"| {_plain(one.name)} | {one.observed:,} | {one.threshold:,} | {_plain(one.unit)} |"
        for one in measurements
    ]
    return "\n".join(["| what | seen | needed | unit |", "|---|--:|--:|---|", *rows])


def _plain(text: str) -> str:
    """Words of ours, or of an error from outside: shown, never formatted."""
    return Untrusted(text).for_markdown(500)
