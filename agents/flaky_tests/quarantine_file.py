"""The text of `.leverframe/quarantine.yaml`, in the one form that the pytest plugin reads and writes.

A file that does not have exactly this form is refused as a whole: then no failure is hidden.
"""

from pydantic import ValidationError

from leverframe.model.errors import BadInput
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
                )
                for test in sorted(entries)
            )
        )
    except Unreadable as error:
        raise BadInput(f"{PLACE}: {error}") from error
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise BadInput(f"{PLACE} can't be used: {why}") from error
