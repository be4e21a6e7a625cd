"""The merge request that undoes a suspect commit, written for the person who reviews it.

Every text from outside is opened for Markdown here and nowhere else, so nothing in it can link, mention
or format.
"""

from agents.contract import Due, RunContext
from agents.sentry_spike.suspects import Suspects, made_by_agent, short
from leverframe.model.facts import ErrorFacts
from leverframe.model.proposals import Effect, FlipFlag, Measurement, RollBack, Suspect
from leverframe.model.untrusted import Untrusted

_FRAMES = 5
_SUSPECTS = 6


def title(sha: str, subject: str) -> str:
    """At most 120 characters, all of them ours."""
    return f"Revert {sha[:12]}: suspected cause of {subject}"[:120]


def body(
    *,
    due: Due,
    facts: ErrorFacts,
    suspects: Suspects,
    commit: Suspect,
    mitigations: tuple[Effect, ...],
    context: RunContext,
) -> str:
    """Markdown, evidence first."""
    parts = [
        f"**{_sentence(due.reason)}** This merge request undoes `{commit.name[:12]}`, "
        f"the commit that {commit.why}.",
        f"[The run in Temporal]({context.run_url}) · service `{context.service}` · group `{context.subject}`",
        "### Evidence\n\n" + _evidence(due.evidence),
        "### Suspects\n\n" + _suspects(suspects),
        "### The error\n\n" + _error(facts),
        "### Mitigation\n\n" + _mitigation(mitigations),
        "### If this is wrong\n\n"
        "Close the merge request: nothing else follows from it. Once landed, reverting it brings the "
        "commit back.",
    ]
    if made_by_agent(facts, commit.name):
        parts.insert(1, "> The commit was made by an agent: look twice.")
    return "\n\n".join(parts) + "\n"


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."


def _evidence(measurements: tuple[Measurement, ...]) -> str:
    rows = [f"| {m.name} | {m.observed:,} | {m.threshold:,} | {m.unit} |" for m in measurements]
    return "\n".join(["| what | seen | needed | unit |", "|---|--:|--:|---|", *rows])


def _suspects(suspects: Suspects) -> str:
    rows = [
        f"| {suspect.kind} | `{short(suspect)}` | {suspect.score_ppm / 10_000:.0f} % | {suspect.why} |"
        for suspect in suspects.all[:_SUSPECTS]
    ]
    return "\n".join(["| kind | name | weight | why |", "|---|---|--:|---|", *rows])


def _error(facts: ErrorFacts) -> str:
    lines = [
        f"{facts.title.for_markdown(160)}",
        f"{facts.total:,} errors, {facts.sampled:,} of them looked at, the first at "
        f"{facts.first_at:%Y-%m-%d %H:%M:%S} UTC.",
    ]
    if facts.route.stored():
        lines.append(f"Route: {facts.route.for_markdown(120)}")
    frames = [
        f"1. {Untrusted(frame.path).for_markdown()} line {frame.line} in {frame.function.for_markdown(80)}"
        + (f", last changed by `{frame.blamed[:12]}`" if frame.blamed else "")
        for frame in facts.frames[:_FRAMES]
    ]
    text = "\n\n".join(lines)
    if frames:
        text += "\n\nFrames in this repository, the crash first:\n\n" + "\n".join(frames)
    return (
        text
        + "\n\nThe trace as the service sent it, which anybody can forge:\n\n"
        + (facts.trace.for_markdown_block(4000))
    )


def _mitigation(mitigations: tuple[Effect, ...]) -> str:
    """What the run asks for before this change lands, in order, and how each is undone."""
    told = []
    for place, effect in enumerate(mitigations):
        when = "If errors go on after that, the run asks" if place else "The run asks first"
        if isinstance(effect, FlipFlag):
            told.append(
                f"{when} to switch the flag `{effect.flag}` off. To undo it, switch the flag back on; the "
                "run proposes that itself once this change has reached production and was checked."
            )
        if isinstance(effect, RollBack):
            told.append(
                f"{when} to put production back to `{effect.to[:12]}`. To undo it, land a newer release: "
                "this change does that."
            )
    return "\n\n".join(told) or (
        "None: no flag or release stands out enough to act on before this change lands."
    )
