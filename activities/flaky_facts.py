"""Facts about a repository's flaky tests: the store's evidence, the quarantine file, and our own changes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypedDict

from activities.code_owners import CodeOwners, code_owners
from activities.entry_stories import amended, declined, entry_stories
from activities.investigate import suffixes
from activities.issues_port import Issues
from activities.ports import Changes
from activities.results_port import AmendedEntry, ChangeState, KnownTest, QuarantineNote, Results
from activities.test_places import MOST_FILES, TestPlaces, the_only
from activities.test_results import BOUNDS, WITH_FACTS, ResultActivities
from activities.track_port import Track
from agents.flaky_tests import tracking
from agents.flaky_tests.findings import finding
from agents.flaky_tests.quarantine_file import read
from leverframe.model.changes import Change
from leverframe.model.errors import BadInput, NotFound
from leverframe.model.facts import FlakyFactsRequest
from leverframe.model.ids import QUARANTINE_BRANCHES
from leverframe.model.quarantine import FlakyFacts, FlakyFinding, QuarantineFile
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted
from leverframe_pytest.quarantine import PLACE

MOST_FINDINGS = 1_000
MOST_IN_FLIGHT = 1_000
MOST_REJECTED = 10_000
RECENT_CHANGES = 200
LARGEST_FILE = 5_000_000
"""Bytes of a quarantine file."""

MISSED = 20
"""A test that so many whole runs of the target branch lacked, and no run had for GONE_FOR, was deleted."""
GONE_FOR = timedelta(days=2)

_STATES: Mapping[str, ChangeState] = {"open": "open", "closed": "rejected"}


class _Differences(TypedDict):
    enter: tuple[str, ...]
    leave: tuple[str, ...]
    amend: tuple[AmendedEntry, ...]


class FlakyFactsGatherer:
    """Folds what has come, then says what is known. Reads only, but for the store."""

    def __init__(
        self,
        results: Results,
        folding: ResultActivities,
        track: Track,
        changes: Changes,
        repositories: Mapping[str, Repository],
        *,
        issues: Issues | None = None,
    ) -> None:
        """Without `issues` no entry says where its repair is tracked."""
        self._results = results
        self._folding = folding
        self._track = track
        self._changes = changes
        self._repositories = repositories
        self._issues = issues

    def gather(self, request: FlakyFactsRequest) -> FlakyFacts:
        """Everything but the policy's caps.

        Raises:
            NotFound: the repository is not declared, or has no target branch.
            BadInput: the quarantine file can't be read, so no change of it could be right.
            Unavailable: the store, git or the forge did not answer.
        """
        if request.repository not in self._repositories:
            raise NotFound(f"repository {request.repository!r} is not declared")
        repository = self._repositories[request.repository]
        self._folding.fold(repository, WITH_FACTS)
        tip, now = self._track.tip(repository), datetime.now(UTC)
        file = self._file(repository, tip)
        self._results.note_named(repository.name, [test.stored() for test in file.tests()], now)
        notes = self._notes(repository, file)
        findings = tuple(self._findings(repository, tip, file, now))[:MOST_FINDINGS]
        unhealed = {one.test.stored() for one in findings if one.unhealed}
        turned_down = [test for one in reversed(notes) if one.state == "rejected" for test in one.enter]
        # Who did not let it go on is not asked to let it begin again, until the detector has released it.
        turned_down += [test for test in declined(notes) if test in unhealed]
        return FlakyFacts(
            tests=self._results.suite(repository.name).tests,
            file=file,
            findings=findings,
            in_flight=_tests(
                (
                    test
                    for one in notes
                    if one.state == "open"
                    for test in (*one.enter, *one.leave, *(entry.test for entry in one.amend))
                ),
                MOST_IN_FLIGHT,
            ),
            rejected=_tests(turned_down, MOST_REJECTED),
            added_today=sum(entry.since == now.date() for entry in file.entries),
            stories=entry_stories(file, notes),
        )

    def _file(self, repository: Repository, sha: str) -> QuarantineFile:
        """As the commit has it; without one nothing is quarantined."""
        try:
            return read(self._track.read_text(repository, sha=sha, path=PLACE, most=LARGEST_FILE))
        except NotFound:
            return QuarantineFile()

    def _findings(
        self, repository: Repository, tip: str, file: QuarantineFile, now: datetime
    ) -> list[FlakyFinding]:
        """First of tests that are in the file, then of others, the strongest evidence first."""
        listed = {test.stored() for test in file.tests()}
        owners, found = code_owners(self._track, repository, tip), list[FlakyFinding]()
        places = cache(lambda: self._places(repository, tip))
        tests = self._results.known(repository.name, listed)
        unhealed = self._unhealed(repository, [one for one in tests if one.test not in listed], now)
        for known in tests:
            path = self._path(repository, tip, known, places)
            one = self._finding(known, path, now, listed=known.test in listed)
            if one is not None:
                told = {
                    "markers": known.markers,
                    "link": self._link(repository, one.test),
                    "unhealed": known.test in unhealed,
                }
                found.append(_placed(one, path, owners).model_copy(update=told))
        return sorted(found, key=lambda one: (one.test.stored() not in listed, -one.strength))

    def _unhealed(self, repository: Repository, tests: Sequence[KnownTest], now: datetime) -> set[str]:
        """Those that the file named since the detector began, or took up again, to quarantine them.

        Why they are in it no more makes no difference: it expired, or a person took it out.
        """
        since = {
            one.test: one.history.quarantine.at
            for one in tests
            if one.history is not None and one.history.quarantine is not None
        }
        named = {
            test: at
            for test, at in self._results.named_at(repository.name, list(since)).items()
            if at >= since[test]
        }
        if not named:
            return set()
        happened = self._results.happened(repository.name, since=min(since[test] for test in named), now=now)
        again = {one.test: one.at for one in happened if one.what == "masked"}
        return {test for test, at in named.items() if at >= again.get(test, at)}

    def _link(self, repository: Repository, test: Untrusted) -> str:
        """Where the repair of the test is tracked once it is quarantined."""
        return self._issues.address(repository.name, key=tracking.key_of(test)) if self._issues else ""

    def _finding(
        self, known: KnownTest, path: str | None, now: datetime, *, listed: bool
    ) -> FlakyFinding | None:
        """None where nothing has to change."""
        if listed and (why := _deleted(known, path, now)):
            return FlakyFinding(
                test=Untrusted(known.test), kind="deleted", at=now, evidence=why, strength=0, runs=known.seen
            )
        if known.history is None:
            return None
        one = finding(known.test, known.history, known.seen, now, BOUNDS, cause=known.cause)
        return one if one is not None and (listed or one.kind == "flaky") else None

    def _path(
        self, repository: Repository, tip: str, known: KnownTest, places: Callable[[], TestPlaces]
    ) -> str | None:
        """The test's file where the tip has it, `""` where it is not known, None where it is gone."""
        named = known.test.partition("::")[0]
        told = known.path or named
        # Reports may tell any path. A test that is named by a file of the commit lies there, or in one below.
        if not f"/{told}".endswith(f"/{named}") and suffixes(named)[:1] == [named]:
            told = named if self._track.has_file(repository, sha=tip, path=named) else told
        for path in suffixes(told):
            if self._track.has_file(repository, sha=tip, path=path):
                return path
        if not known.path:
            return places().of_name(known.test)
        fitting = places().ending_with(known.path)
        # The file that a report told is gone: its class may lie elsewhere by now.
        return the_only(fitting) if fitting else places().of_name(known.test) or None

    def _places(self, repository: Repository, tip: str) -> TestPlaces:
        """Of a tree too large to look through no file is known."""
        try:
            return TestPlaces(self._track.file_paths(repository, sha=tip, most=MOST_FILES))
        except BadInput:
            return TestPlaces(())

    def _notes(self, repository: Repository, file: QuarantineFile) -> list[QuarantineNote]:
        """What our changes do: noted when first seen, since a closed one's branch may be gone later."""
        kept = {one.change: one for one in self._results.notes(repository.name)}
        recent = self._changes.list_changes(repository.name, limit=RECENT_CHANGES)
        seen = {change.id: change for change in recent if change.branch.startswith(QUARANTINE_BRANCHES)}
        for name, one in kept.items():
            if name not in seen and one.state == "open":
                try:
                    seen[name] = self._changes.change(name)
                except NotFound:
                    continue
        new = [
            note
            for name, change in seen.items()
            if (note := self._note(repository, file, change, kept.get(name))) is not None
        ]
        for one in new:
            before = kept.get(one.change)
            if before and before.state != "over" and seen[one.change].state == "landed":
                # Its run has yet to open the issues, or is gone; what is open already stays so. It is said
                # before the change counts as over: who dies in between finds it open again.
                self._results.note_tracking(repository.name, one.change, tracked=False)
        self._results.note(repository.name, [one for one in new if one != kept.get(one.change)])
        return self._results.notes(repository.name)

    def _note(
        self, repository: Repository, file: QuarantineFile, change: Change, kept: QuarantineNote | None
    ) -> QuarantineNote | None:
        """None for a change that is over and was never noted, or whose file can't be read."""
        state = _STATES.get(change.state, "over")
        if kept is None and state == "over":
            return None
        if kept is None:
            try:
                there = self._file(repository, change.head)
            except BadInput:
                return None
            return QuarantineNote(
                change=change.id, state=state, opened_at=change.opened_at, **_differences(file, there)
            )
        return replace(kept, state=state, opened_at=change.opened_at)


def _differences(here: QuarantineFile, there: QuarantineFile) -> _Differences:
    """What a change does to the file, by how its own differs."""
    known, made = here.tests(), there.tests()
    was = {entry.test: entry for entry in here.entries}
    return _Differences(
        enter=tuple(sorted(test.stored() for test in made - known)),
        leave=tuple(sorted(test.stored() for test in known - made)),
        amend=tuple(
            amended(was[entry.test], entry)
            for entry in there.entries
            if entry.test in was and was[entry.test] != entry
        ),
    )


def _deleted(known: KnownTest, path: str | None, now: datetime) -> str:
    """Why a test is taken for deleted; empty if it is not."""
    if path is None and known.missed:
        return (
            "its file is not in the repository, and the last whole run of the target branch did not have it"
        )
    if known.missed >= MISSED and (known.last_at is None or now - known.last_at >= GONE_FOR):
        last = f", and it was last run on {known.last_at:%Y-%m-%d}" if known.last_at else ""
        return f"the last {known.missed} whole runs of the target branch did not have it{last}"
    return ""


def _placed(one: FlakyFinding, path: str | None, owners: CodeOwners) -> FlakyFinding:
    """With its file and whose that is."""
    if not path:
        return one
    return one.model_copy(update={"path": path, "owner": owners.owner_of(path)})


def _tests(names: Iterable[str], most: int) -> tuple[Untrusted, ...]:
    """Each once, the first so many."""
    return tuple(Untrusted(name) for name in list(dict.fromkeys(names))[:most])
