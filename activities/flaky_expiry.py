"""Quarantines that expire: whoever asks people to renew them is woken in time, and what has expired is told.

Runs on the hands queue.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from temporalio import activity

from activities.entry_stories import Answer, answer
from activities.failures import typed_failures
from activities.pulse import with_pulse
from activities.records_port import TestLine
from activities.results_port import QuarantineNote, Results
from agents.flaky_tests.quarantine_file import read
from agents.flaky_tests.renewing import ASKED_BEFORE
from leverframe.model.errors import BadInput
from leverframe.model.frozen import Frozen, Slug
from leverframe.model.quarantine import Quarantined
from leverframe.model.untrusted import Untrusted
from leverframe_pytest.quarantine import PLACE

MADE_UP_FOR = timedelta(days=7)
"""A day on which nobody was told is made up for so long."""
NAMED = 10
"""Tests that one notice names."""
MOST = 100
"""Notices of one day; what is missing then is told in the days after."""
_MOST_EVIDENCE = 300


class Notice(Frozen):
    """What people are told, once for each key."""

    key: str
    text: str


class Expiring(Frozen):
    """A repository whose quarantine file has entries that expire soon, or have expired."""

    repository: Slug
    service: Slug
    tests: int
    day: date
    """The first one, of those to come and those that are past."""
    agents: tuple[Slug, ...]
    """Whose watches look at it."""
    ui_url: str = ""


_ANSWERS: Mapping[Answer, str] = {
    "asked": "people were asked whether to renew it; `leverframe approvals list` has what is open",
    "declined": "a person decided not to renew it",
    "on its way": "a merge request that renews it is open",
}


class FlakyExpiry:
    """Reads the store: the quarantine files as they were seen last, and what is known of their tests."""

    def __init__(
        self, records: Results, services: Mapping[str, str], *, agents: Sequence[str] = (), ui_url: str = ""
    ) -> None:
        """`services`: of each repository. `agents`: who is on and looks at their tests."""
        self._records = records
        self._services = services
        self._agents = tuple(agents)
        self._ui_url = ui_url

    @activity.defn(name="expiring_quarantines")
    @typed_failures
    @with_pulse
    def expiring(self) -> list[Expiring]:
        """Where somebody has to look, since nothing else need happen there. Raises Unavailable."""
        until = datetime.now(UTC).date() + ASKED_BEFORE
        found = list[Expiring]()
        for repository, service in self._services.items() if self._agents else ():
            days = [one.expires for one in self._entries(repository) if one.expires <= until]
            if days:
                one = Expiring(
                    repository=repository,
                    service=service,
                    tests=len(days),
                    day=min(days),
                    agents=self._agents,
                    ui_url=self._ui_url,
                )
                found.append(one)
        return found

    @activity.defn(name="expired_quarantines")
    @typed_failures
    @with_pulse
    def expired(self) -> list[Notice]:
        """What to tell: for each repository one notice of each day of the week. Raises Unavailable.

        The same on each call of a day, but for tests that left the file.
        """
        return self.of(datetime.now(UTC).date())

    def of(self, today: date) -> list[Notice]:
        """As `expired`, on any day: the newest first, so that what was told already keeps none away."""
        notices = list[tuple[date, Notice]]()
        for repository in self._services:
            gone = [one for one in self._entries(repository) if today - MADE_UP_FOR < one.expires <= today]
            notes = self._records.notes(repository) if gone else ()
            for day in sorted({one.expires for one in gone}):
                entries = [one for one in gone if one.expires == day]
                known = [self._known(repository, one) for one in entries[:NAMED]]
                text = told(repository, day, entries, known, notes)
                notices.append((day, Notice(key=f"quarantine-expired/{repository}/{day}", text=text)))
        notices.sort(key=lambda each: each[0], reverse=True)
        return [notice for _, notice in notices[:MOST]]

    def _entries(self, repository: str) -> Sequence[Quarantined]:
        """A file that is none forgives nothing, and the weekly digest says so."""
        seen = self._records.quarantine_seen(repository)
        try:
            return read(seen.content).entries if seen is not None and seen.content else ()
        except BadInput:
            return ()

    def _known(self, repository: str, entry: Quarantined) -> TestLine | None:
        story = self._records.story(repository, entry.test.stored())
        return story.line if story else None


def told(
    repository: str,
    day: date,
    entries: Sequence[Quarantined],
    known: Sequence[TestLine | None],
    notes: Sequence[QuarantineNote] = (),
) -> str:
    """Plain text, a paragraph for each test. `known`: of the first entries, what the reports say."""
    count = f"{len(entries):,} test" + ("" if len(entries) == 1 else "s")
    head = (
        f"The quarantine of {count} of {repository} expired on {day}: such a failure fails builds again. "
        f"Repair or delete the test; to go on, its entry in {PLACE} has to be renewed by a merge request."
    )
    paragraphs = [
        _told(entry, line, answer(entry, notes)) for entry, line in zip(entries, known, strict=False)
    ]
    if len(entries) > len(known):
        paragraphs.append(f"and {len(entries) - len(known):,} more: leverframe flaky list")
    return "\n\n".join([head, *paragraphs])


def _told(entry: Quarantined, line: TestLine | None, answered: Answer | None) -> str:
    # Whoever may change the file may have written anything there.
    written = Untrusted(entry.evidence)
    now = (
        f"now {line.verdict.value}: {line.evidence}"
        if line
        else f"when it entered: {written.for_terminal(_MOST_EVIDENCE)}"
    )
    lines = [
        f"{entry.test.for_terminal(160)}, {entry.owner}, quarantined since {entry.since}",
        now,
        _ANSWERS[answered] if answered else "",
        entry.link,
    ]
    return "\n".join(one for one in lines if one)
