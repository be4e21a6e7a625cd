"""What people were asked and said of entries of a quarantine file, out of the notes of our changes."""

from collections.abc import Iterator, Sequence
from typing import Literal

from activities.results_port import AmendedEntry, ChangeState, QuarantineNote
from leverframe.model.quarantine import EntryStory, Quarantined, QuarantineFile

MOST_REFUSED = 1_000
"""Failures of one test."""

Answer = Literal["asked", "declined", "on its way"]
"""To whether an entry is renewed; `asked`: nobody said no, nor did it land."""

_Amends = Sequence[tuple[ChangeState, AmendedEntry]]


def amended(was: Quarantined, entry: Quarantined) -> AmendedEntry:
    """What is remembered of an entry that changes."""
    return AmendedEntry(
        test=entry.test.stored(),
        expired=was.expires,
        expires=entry.expires,
        masks=tuple(mask for mask in entry.masks if mask not in was.masks),
    )


def entry_stories(file: QuarantineFile, notes: Sequence[QuarantineNote]) -> tuple[EntryStory, ...]:
    """Of the entries of which there is something to tell, in their order."""
    amends: dict[str, list[tuple[ChangeState, AmendedEntry]]] = {}
    for note in notes:
        for one in note.amend:
            amends.setdefault(one.test, []).append((note.state, one))
    told = ((entry, amends.get(entry.test.stored(), ())) for entry in file.entries)
    return tuple(story for entry, known in told if known and (story := _story(entry, known)) is not None)


def answer(entry: Quarantined, notes: Sequence[QuarantineNote]) -> Answer | None:
    """What became of the question whether the entry goes on beyond its day; None: nobody was asked."""
    states = {
        note.state
        for note in notes
        for one in note.amend
        if one.test == entry.test.stored() and one.expired == entry.expires < one.expires
    }
    if not states:
        return None
    return "declined" if "rejected" in states else "on its way" if "open" in states else "asked"


def declined(notes: Sequence[QuarantineNote]) -> Iterator[str]:
    """Tests whose quarantine a person did not want to go on, those that were told last first."""
    for note in reversed(notes):
        if note.state == "rejected":
            yield from (one.test for one in note.amend if one.expires > one.expired)


def _story(entry: Quarantined, known: _Amends) -> EntryStory | None:
    renewals = [(state, one) for state, one in known if one.expires > one.expired]
    landed = {one.expires: one.expired for state, one in renewals if state == "over"}
    renewed, expires = 0, entry.expires
    # Each day to which it was renewed is the day from which it was renewed again.
    while (before := landed.get(expires)) is not None:
        renewed, expires = renewed + 1, before
    asked = any(one.expired == entry.expires for state, one in renewals if state != "open")
    refused = {mask for state, one in known if state == "rejected" for mask in one.masks}
    if not (renewed or asked or refused):
        return None
    return EntryStory(
        test=entry.test, renewed=renewed, asked=asked, refused=tuple(sorted(refused))[:MOST_REFUSED]
    )
