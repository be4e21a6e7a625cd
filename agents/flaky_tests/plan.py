"""Which tests enter and leave the quarantine file now, and which entries change, as policy allows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from agents.flaky_tests.admission import asks_for, denied, owner_of
from agents.flaky_tests.masking import with_signatures
from agents.flaky_tests.renewing import due, last_word, renewals
from leverframe.model.proposals import Amending
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
    added: tuple[FlakyFinding, ...] = ()
    removed: tuple[tuple[Untrusted, str], ...] = ()
    """With why, in words of ours."""
    amended: tuple[Amending, ...] = ()
    """Entries that are renewed, and nothing else then; or that hide more failures."""
    left_out: tuple[LeftOut, ...] = ()
    asks: str = ""
    """Why a person must approve it; empty when it may land by itself."""

    @property
    def empty(self) -> bool:
        """Nothing is different."""
        return not self.added and not self.removed and not self.amended


def planned(facts: FlakyFacts, caps: QuarantineCaps, now: datetime) -> Plan:
    """One batch: what may land by itself; else the renewals; else what a person must approve besides.

    What leaves is not capped: it only lets failures count again. People are asked once about a renewal and
    before its day, so that it never waits for questions that may be asked again.
    """
    removed = tuple(_leaving(facts, caps, now.date()))[:MOST_LEAVING]
    gone = {test for test, _ in removed}
    kept = tuple(entry for entry in facts.file.entries if entry.test not in gone)
    wanted, left_out = _wanted(facts, caps, {entry.test: entry for entry in kept})
    asks = {
        finding.test: why for finding in wanted if (why := asks_for(finding, caps, _strength(finding, facts)))
    }
    strong = [finding for finding in wanted if finding.test not in asks]
    plan = _batch(facts, caps, now.date(), kept, strong)
    if removed or not plan.empty:
        left_out += [
            LeftOut(test=test, why=f"a person must approve it, since {why}; what lands by itself goes first")
            for test, why in asks.items()
        ]
        return replace(plan, removed=removed, left_out=(*left_out, *plan.left_out))
    if renewed := renewals(facts, caps, now.date()):
        return _renewing(facts, renewed)
    asking = _batch(facts, caps, now.date(), kept, [one for one in wanted if one.test in asks])
    named = [*(one.test for one in asking.added), *(one.entry.test for one in asking.amended)]
    return replace(
        asking,
        left_out=(*left_out, *plan.left_out, *asking.left_out),
        asks="; ".join(dict.fromkeys(asks[test] for test in named)),
    )


def _renewing(facts: FlakyFacts, renewed: tuple[Amending, ...]) -> Plan:
    later = {one.entry.test: one.entry for one in renewed}
    entries = tuple(later.get(entry.test, entry) for entry in facts.file.entries)
    why = "each would go on for longer than it was allowed to"
    return Plan(QuarantineFile(entries=entries), amended=renewed, asks=why)


def _batch(
    facts: FlakyFacts,
    caps: QuarantineCaps,
    today: date,
    kept: tuple[Quarantined, ...],
    wanted: list[FlakyFinding],
) -> Plan:
    """As many as the caps have room for, in this order."""
    entries = {entry.test: entry for entry in kept}
    entering = min(caps.share_ppm * facts.tests // 1_000_000 - len(kept), caps.per_day - facts.added_today)
    added, amended, left_out = list[FlakyFinding](), list[Amending](), list[LeftOut]()
    for finding in wanted:
        entry, full = entries.get(finding.test), len(added) + len(amended) >= caps.per_change
        if full or (entry is None and len(added) >= entering):
            left_out.append(LeftOut(test=finding.test, why=_full(facts, caps, len(kept))))
        elif entry is None:
            added.append(finding)
        else:
            amended.append(_widened(entry, finding, today))
    changed = entries | {one.entry.test: one.entry for one in amended}
    changed |= {finding.test: _entry(finding, caps, today) for finding in added}
    return Plan(
        file=QuarantineFile(entries=tuple(sorted(changed.values(), key=lambda entry: entry.test.stored()))),
        added=tuple(added),
        amended=tuple(amended),
        left_out=tuple(left_out),
    )


def _leaving(facts: FlakyFacts, caps: QuarantineCaps, today: date) -> Iterator[tuple[Untrusted, str]]:
    said = {finding.test: finding for finding in facts.findings if finding.kind != "flaky"}
    in_flight = set(facts.in_flight)
    waiting = {one.entry.test for one in due(facts, caps, today)}
    for entry in facts.file.entries:
        if entry.test in in_flight or entry.test in waiting:
            continue
        finding = said.get(entry.test)
        if finding is not None:
            yield entry.test, f"{finding.kind}: {finding.evidence}"
        elif entry.expires <= today:
            ended = f"expired on {entry.expires:%Y-%m-%d} and was not healed"
            yield entry.test, f"{ended}: {last_word(facts, entry)}"


def _wanted(
    facts: FlakyFacts, caps: QuarantineCaps, kept: dict[Untrusted, Quarantined]
) -> tuple[list[FlakyFinding], list[LeftOut]]:
    """Flaky tests that may enter or hide more failures, the strongest evidence first; those that may not."""
    known, in_flight, rejected = facts.file.tests(), set(facts.in_flight), set(facts.rejected)
    refused = {story.test: story.refused for story in facts.stories}
    wanted: list[FlakyFinding] = []
    left_out: list[LeftOut] = []
    for found in sorted(facts.findings, key=lambda one: (-one.strength, one.test.stored())):
        if found.kind != "flaky":
            continue
        no = refused.get(found.test, ())
        finding = found.model_copy(update={"masks": tuple(mask for mask in found.masks if mask not in no)})
        if finding.test in known:
            entry = kept.get(finding.test)
            if entry is None or set(found.masks) <= set(entry.masks):
                continue
            turned_down = set(finding.masks) <= set(entry.masks)
        else:
            turned_down = finding.test in rejected
        why = (
            "an open change of ours names it"
            if finding.test in in_flight
            else "a person turned it down"
            if turned_down
            else denied(finding, caps)
        )
        if why:
            left_out.append(LeftOut(test=finding.test, why=why))
        else:
            wanted.append(finding)
    return wanted, left_out


def _strength(finding: FlakyFinding, facts: FlakyFacts) -> int:
    """Of a test that is in the file: what the failures have that it does not hide yet."""
    return finding.mask_strength if finding.test in facts.file.tests() else finding.strength


def _full(facts: FlakyFacts, caps: QuarantineCaps, kept: int) -> str:
    if caps.per_day <= facts.added_today:
        return f"policy allows {caps.per_day} a day, and {facts.added_today} entered today"
    most = caps.share_ppm * facts.tests // 1_000_000
    if kept >= most:
        return f"policy allows {most} of {facts.tests} tests in quarantine, and {kept} are"
    return "this change is full: it waits for the next one"


def _widened(entry: Quarantined, finding: FlakyFinding, today: date) -> Amending:
    """The entry with the failures that have evidence of their own by now; all else stays as it is."""
    new = tuple(mask for mask in finding.masks if mask not in entry.masks)
    return Amending(
        was=entry,
        entry=entry.model_copy(update={"masks": with_signatures(entry.masks, new)}),
        on=today,
        path=finding.path,
        markers=finding.markers,
        strength=finding.mask_strength,
    )


def _entry(finding: FlakyFinding, caps: QuarantineCaps, today: date) -> Quarantined:
    return Quarantined(
        test=finding.test,
        masks=finding.masks,
        since=today,
        expires=today + timedelta(days=caps.days),
        evidence=finding.evidence,
        owner=owner_of(finding, caps) or "",
        link=finding.link,
        executions=finding.executions,
    )
