"""Levels: kill switches, pauses, demotions, and how far each file lets an agent go with a lever."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from leverframe.model.proposals import Lever
from policies.decision import Finding, Verdict
from policies.documents import PolicyDocument
from policies.intent import Intent
from policies.rules import Autonomy, FlipFlagRule
from policies.usage import Demotion, Usage


def stops(documents: Sequence[PolicyDocument], intent: Intent, usage: Usage) -> Iterator[Finding]:
    """Pauses that an operator set, and kill switches that a file sets."""
    for pause in usage.pauses:
        if pause.stops(intent.agent, intent.repository):
            whom = [name for name in (pause.agent, pause.repository) if name is not None]
            yield Finding(
                rule="ledger.pause",
                verdict=Verdict.DENY,
                observed=f"{' in '.join(whom) or 'everything'} is paused by {pause.by}: {pause.reason}",
                limit="not paused",
                remedy="Run `leverframe resume` when the cause is gone.",
                source="ledger",
            )
    for document in documents:
        if document.rules.kill_switch:
            yield Finding(
                rule=f"{document.name}.kill_switch",
                verdict=Verdict.DENY,
                observed="on",
                limit="off",
                remedy="Set `kill_switch: false` when the cause is gone.",
                source=document.source("kill_switch"),
            )


def autonomy(documents: Sequence[PolicyDocument], intent: Intent, usage: Usage) -> Autonomy:
    """How far the agent may go with this effect: the lowest level that any file or demotion gives it.

    A lever or a direction that a file leaves out is `off`.
    """
    levels = [given.level for document in documents for given in _levels(document, intent)]
    levels += [demotion.to for demotion in usage.demotions if demotion.agent == intent.agent]
    listed = all(document.rules.levers.rule(intent.lever) is not None for document in documents)
    return min(levels, key=lambda level: level.rank) if levels and listed else Autonomy.OFF


def findings(
    documents: Sequence[PolicyDocument], intent: Intent, usage: Usage, as_if: Autonomy | None
) -> Iterator[Finding]:
    """Every level below `act`, and every lever that a file leaves out.

    With `as_if`, all levels that are written down read as that one; what is left out stays denied.
    """
    for document in documents:
        if document.rules.levers.rule(intent.lever) is None:
            yield _unlisted(document, intent.lever)
        for given in _levels(document, intent):
            level = given.level if as_if is None or not given.written else as_if
            yield from _level(document, level, given.path)
    if as_if is None:
        for demotion in usage.demotions:
            yield from _demoted(demotion, intent)


_HELP = {
    Verdict.ESCALATE: "Ask a person to approve exactly this effect",
    Verdict.DENY: "Let a person do it by hand",
}


def _demoted(demotion: Demotion, intent: Intent) -> Iterator[Finding]:
    verdict = demotion.to.verdict
    if demotion.agent != intent.agent or verdict is Verdict.ALLOW:
        return
    promote = f"leverframe policy promote --agent {demotion.agent} --reason …"
    yield Finding(
        rule="ledger.demotion",
        verdict=verdict,
        observed=f"{demotion.to.value} since {demotion.since:%Y-%m-%d %H:%M:%S %Z}: {demotion.reason}",
        limit=Autonomy.ACT.value,
        remedy=f"{_HELP[verdict]}, or run `{promote}`.",
        source="ledger",
    )


class _Given(NamedTuple):
    """A level that a file gives an effect."""

    path: tuple[str, ...]
    level: Autonomy
    written: bool = True
    """Not so for a direction that is left out."""


def _levels(document: PolicyDocument, intent: Intent) -> Iterator[_Given]:
    """The file's own level, the lever's, the direction's."""
    yield _Given(("autonomy",), document.rules.autonomy)
    rule = document.rules.levers.rule(intent.lever)
    path = ("levers", intent.lever.value)
    if rule is not None and rule.autonomy is not None:
        yield _Given((*path, "autonomy"), rule.autonomy)
    if isinstance(rule, FlipFlagRule):
        level = rule.direction.get(intent.direction) if intent.direction else None
        place = (*path, "direction", intent.direction or "missing")
        yield _Given(place, level or Autonomy.OFF, written=level is not None)


def _level(document: PolicyDocument, level: Autonomy, path: tuple[str, ...]) -> Iterator[Finding]:
    if level.verdict is Verdict.ALLOW:
        return
    place = document.source(*path)
    asks = level.verdict is Verdict.ESCALATE
    yield Finding(
        rule=".".join((document.name, *path)),
        verdict=level.verdict,
        observed=level.value,
        limit=Autonomy.ACT.value,
        remedy=_HELP[level.verdict] + ("." if asks else f", or raise the level at {place}."),
        source=place,
    )


def _unlisted(document: PolicyDocument, lever: Lever) -> Finding:
    return Finding(
        rule=f"{document.name}.levers.{lever.value}",
        verdict=Verdict.DENY,
        observed=f"{lever.value} is not listed",
        limit="listed levers only",
        remedy=f"Add `{lever.value}` to `levers` in {document.file}.",
        source=document.source("levers"),
    )
