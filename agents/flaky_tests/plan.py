"""Which tests enter and leave the quarantine file now, within what policy allows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from leverframe.model.paths import matches
from leverframe.model.quarantine import (
    FlakyFacts,
    FlakyFinding,
    LeftOut,
    QuarantineCaps,
    Quarantined,
    QuarantineFile,
)
from leverframe.model.untrusted import Untrusted

MOST_LEAVING = 50
"""Of one change; the others leave with the next one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The file as it should be, and what is different."""

    file: QuarantineFile
    added: tuple[FlakyFinding, ...]
    removed: tuple[tuple[Untrusted, str], ...]
    """With why, in words of ours."""
    left_out: tuple[LeftOut, ...]
    asks: str = ""
    """Why a person must approve it; empty when it may land by itself."""


def planned(facts: FlakyFacts, caps: QuarantineCaps, now: datetime) -> Plan:
    """One batch. What leaves is not capped: it only lets failures count again.

    Tests with evidence enough to land by itself go first; a batch never mixes them with those that a person
    must approve, which would hold them up.
    """
    removed = tuple(_leaving(facts, now))[:MOST_LEAVING]
    gone = {test for test, _ in removed}
    kept = tuple(entry for entry in facts.file.entries if entry.test not in gone)
    wanted, left_out = _wanted(facts, caps)
    asks = {finding.test: why for finding in wanted if (why := _asks(finding, caps))}
    strong = [finding for finding in wanted if finding.test not in asks]
    needs_person = not strong and not removed and bool(wanted)
    batch = wanted if needs_person else strong
    if not needs_person:
        left_out += [
            LeftOut(test=test, why=f"a person must approve it, since {why}; what lands by itself goes first")
            for test, why in asks.items()
        ]
    room = min(
        caps.share_ppm * facts.tests // 1_000_000 - len(kept),
        caps.per_day - facts.added_today,
        caps.per_change,
    )
    added = tuple(batch[: max(room, 0)])
    left_out += [LeftOut(test=one.test, why=_full(facts, caps, len(kept))) for one in batch[len(added) :]]
    entries = (*kept, *(_entry(finding, caps, now) for finding in added))
    return Plan(
        file=QuarantineFile(entries=tuple(sorted(entries, key=lambda entry: entry.test.stored()))),
        added=added,
        removed=removed,
        left_out=tuple(left_out),
        asks="; ".join(dict.fromkeys(asks[one.test] for one in added)) if needs_person else "",
    )


def _leaving(facts: FlakyFacts, now: datetime) -> Iterator[tuple[Untrusted, str]]:
    said = {finding.test: finding for finding in facts.findings if finding.kind != "flaky"}
    in_flight = set(facts.in_flight)
    for entry in facts.file.entries:
        if entry.test in in_flight:
            continue
        finding = said.get(entry.test)
        if finding is not None:
            yield entry.test, f"{finding.kind}: {finding.evidence}"
        elif entry.expires <= now.date():
            yield entry.test, f"expired on {entry.expires:%Y-%m-%d} and was not healed: its owner decides"


def _wanted(facts: FlakyFacts, caps: QuarantineCaps) -> tuple[list[FlakyFinding], list[LeftOut]]:
    """Flaky tests that may enter, the strongest evidence first, and those that may not."""
    known, in_flight, rejected = facts.file.tests(), set(facts.in_flight), set(facts.rejected)
    wanted: list[FlakyFinding] = []
    left_out: list[LeftOut] = []
    for finding in sorted(facts.findings, key=lambda one: (-one.strength, one.test.stored())):
        if finding.kind != "flaky" or finding.test in known:
            continue
        why = (
            "an open change of ours names it"
            if finding.test in in_flight
            else "a person turned it down"
            if finding.test in rejected
            else _denied(finding, caps)
        )
        if why:
            left_out.append(LeftOut(test=finding.test, why=why))
        else:
            wanted.append(finding)
    return wanted, left_out


def _denied(finding: FlakyFinding, caps: QuarantineCaps) -> str:
    for glob in caps.deny_paths:
        if matches(finding.path, glob) or matches(finding.path.casefold(), glob.casefold()):
            return f"policy never quarantines tests in {glob}"
    for marker in sorted(set(caps.deny_markers) & set(finding.markers or ())):
        return f"policy never quarantines tests marked {marker}"
    if caps.deny_paths and not finding.path:
        return (
            "its file is not known, so policy's forbidden paths can't be checked: let its reports name files "
            "(docs/how-to/send-test-results.md says how)"
        )
    if _owner(finding, caps) is None:
        return "CODEOWNERS gives its file to nobody, and policy names nobody instead"
    return "" if finding.masks else "no failure of it is known that could be hidden"


def _asks(finding: FlakyFinding, caps: QuarantineCaps) -> str:
    """Why a person must approve it; empty when it may land by itself."""
    if finding.strength < caps.by_itself:
        return "the evidence is not enough to land by itself"
    if caps.deny_markers and finding.markers is None:
        return "its reports do not tell its marks, and policy forbids some"
    return ""


def _full(facts: FlakyFacts, caps: QuarantineCaps, kept: int) -> str:
    if caps.per_day <= facts.added_today:
        return f"policy allows {caps.per_day} a day, and {facts.added_today} entered today"
    most = caps.share_ppm * facts.tests // 1_000_000
    if kept >= most:
        return f"policy allows {most} of {facts.tests} tests in quarantine, and {kept} are"
    return "this change is full: it waits for the next one"


def _owner(finding: FlakyFinding, caps: QuarantineCaps) -> str | None:
    return finding.owner or caps.fallback_owner


def _entry(finding: FlakyFinding, caps: QuarantineCaps, now: datetime) -> Quarantined:
    return Quarantined(
        test=finding.test,
        masks=finding.masks,
        since=now.date(),
        expires=now.date() + timedelta(days=caps.days),
        evidence=finding.evidence,
        owner=_owner(finding, caps) or "",
        link=finding.link,
        executions=finding.executions,
    )
