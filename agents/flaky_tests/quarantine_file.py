"""The text of `.leverframe/quarantine.yaml`, in the one form that the pytest plugin reads and writes.

A file that does not have exactly this form is refused as a whole: then no failure is hidden.
"""

from pydantic import ValidationError

from leverframe.model.errors import BadInput, Conflict
from leverframe.model.proposals import ChangeQuarantine
from leverframe.model.quarantine import Quarantined, QuarantineFile
from leverframe.model.untrusted import Untrusted
from leverframe_pytest.quarantine import PLACE, Entry, Unreadable, write
from leverframe_pytest.quarantine import read as entries_of


def rendered(file: QuarantineFile) -> str:
    """The same text for the same entries, whatever their order."""
    return write(
        {
            entry.test.stored(): Entry(
                test=entry.test.stored(),
                signatures=entry.masks,
                since=entry.since,
                expires=entry.expires,
                owner=entry.owner,
                evidence=entry.evidence,
                tracking=entry.link,
                executions=entry.executions,
            )
            for entry in file.entries
        }
    )


def read(text: str) -> QuarantineFile:
    """Raises BadInput with what can't be read, or does not fit what we write."""
    try:
        entries = entries_of(text)
        return QuarantineFile(
            entries=tuple(
                Quarantined(
                    test=Untrusted(test),
                    masks=entries[test].signatures,
                    since=entries[test].since,
                    expires=entries[test].expires,
                    owner=entries[test].owner,
                    evidence=entries[test].evidence,
                    link=entries[test].tracking,
                    executions=entries[test].executions,
                )
                for test in sorted(entries)
            )
        )
    except Unreadable as error:
        raise BadInput(f"{PLACE}: {error}") from error
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise BadInput(f"{PLACE} can't be used: {why}") from error


def edited(text: str | None, change: ChangeQuarantine) -> str:
    """The file with the change, whatever it names by now; None: there is no file yet.

    Raises:
        BadInput: it can't be read.
        Conflict: nothing is left to change, or so much has entered since that more tests would be quarantined
            than policy looked at.
    """
    before = read(text).entries if text is not None else ()
    leaving, amended = set(change.leave), {one.was: one.entry for one in change.amend}
    staying = tuple(amended.get(entry, entry) for entry in before if entry.test not in leaving)
    known = {entry.test for entry in staying}
    entering = tuple(one.entry for one in change.enter if one.entry.test not in known)
    if not entering and staying == before:
        raise Conflict(
            f"{PLACE} says something else of these tests by now, or just what was to be written"
            if change.amend
            else f"{PLACE} names exactly these tests already"
        )
    if entering and len(staying) + len(entering) > change.quarantined:
        raise Conflict(
            f"{PLACE} would name {len(staying) + len(entering):,} tests, and policy was asked about "
            f"{change.quarantined:,}: propose it again"
        )
    return rendered(QuarantineFile(entries=(*staying, *entering)))


def holds(text: str | None, change: ChangeQuarantine) -> bool:
    """Whether the file names every test that enters and none that leaves, and no amended entry is as it was.

    Raises BadInput.
    """
    file = read(text) if text is not None else QuarantineFile()
    named, entries = file.tests(), set(file.entries)
    return (
        {one.entry.test for one in change.enter} <= named
        and named.isdisjoint(change.leave)
        and entries.isdisjoint(one.was for one in change.amend)
    )
