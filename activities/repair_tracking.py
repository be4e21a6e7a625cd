"""Issues that track the repair of quarantined tests: opened and closed as changes land, or caught up with."""

from collections.abc import Iterable
from typing import Protocol

from activities.issues_port import Issues
from activities.results_port import QuarantineNote
from agents.flaky_tests import tracking
from leverframe.model.errors import BadConfiguration, LeverframeError, Refused, Unavailable
from leverframe.model.quarantine import Quarantined, QuarantineFile
from leverframe.model.untrusted import Untrusted

AT_ONCE = 1
"""Changes of a repository that are caught up with in one go: each may name a hundred tests."""
MOST_REFUSALS = 1_000
"""A change that the forge refused so often, for a week at least, is given up."""


class TrackingMemory(Protocol):
    """Who remembers which changes' tests are not tracked yet."""

    def note_tracking(self, repository: str, change: str, *, tracked: bool) -> None:
        """As `activities.results_port.RunFolds` says."""
        ...

    def note_refused(self, repository: str, change: str) -> int:
        """As `activities.results_port.RunFolds` says."""
        ...

    def untracked(self, repository: str, *, most_refusals: int, limit: int) -> list[QuarantineNote]:
        """As `activities.results_port.RunFolds` says."""
        ...


def track(
    issues: Issues,
    repository: str,
    change: str,
    *,
    entered: Iterable[Quarantined],
    left: Iterable[Untrusted],
) -> None:
    """An issue for each test that has entered, or whose entry has changed; that of one that has left is
    closed. Idempotent, by the keys.

    Raises Unavailable, Refused, NotFound.
    """
    for entry in entered:
        issues.track(
            repository,
            key=tracking.key_of(entry.test),
            title=tracking.title_of(entry.test),
            body=tracking.body_of(entry, change),
        )
    for test in left:
        issues.resolve(repository, key=tracking.key_of(test), body=tracking.left_body_of(test, change))


def catch_up(issues: Issues, memory: TrackingMemory, repository: str, file: QuarantineFile) -> int:
    """Track what could not be tracked when it landed, as far as the file says so by now; how many changes.

    One that the forge refuses is behind all others the next time, and given up after MOST_REFUSALS.

    Raises:
        Unavailable: nothing is known of the change; it is for the next time.
        BadConfiguration: the forge does not know us, so it has said nothing of the change either.
        LeverframeError: the forge refused a change, with what becomes of it.
    """
    entries = {entry.test: entry for entry in file.entries}
    behind = memory.untracked(repository, most_refusals=MOST_REFUSALS, limit=AT_ONCE)
    for note in behind:
        try:
            track(
                issues,
                repository,
                note.change,
                entered=[
                    entries[test]
                    for name in (*note.enter, *(one.test for one in note.amend))
                    if (test := Untrusted(name)) in entries
                ],
                left=[test for name in note.leave if (test := Untrusted(name)) not in entries],
            )
        except (Unavailable, BadConfiguration):
            raise
        except LeverframeError as error:
            times = memory.note_refused(repository, note.change)
            after = "others go first" if times < MOST_REFUSALS else "it is given up: open its issues by hand"
            raise Refused(f"{note.change} is refused, {times:,} times so far; {after}: {error}") from error
        memory.note_tracking(repository, note.change, tracked=True)
    return len(behind)
