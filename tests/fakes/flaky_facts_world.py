"""The facts about flaky tests of one repository, and all that they come from."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal, cast

from activities.backends.results_store import ResultsStore
from activities.flaky_facts import FlakyFactsGatherer
from activities.issues_port import Issues
from activities.ports import Changes
from activities.test_results import Keeping, ResultActivities
from activities.track_port import Track
from agents.flaky_tests.quarantine_file import rendered
from leverframe.model.changes import Author, Change, Priority
from leverframe.model.errors import NotFound
from leverframe.model.facts import FlakyFactsRequest
from leverframe.model.ids import QUARANTINE_BRANCHES
from leverframe.model.quarantine import Quarantined, QuarantineFile
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted
from leverframe_pytest.quarantine import PLACE
from tests.fakes.github_setup import declared as a_repository
from tests.fakes.result_reports import SIGNATURE, report
from tests.fakes.stores import store_at

FLAKY, OTHER, GONE = (
    "tests/test_a.py::test_flaky",
    "tests/test_b.py::test_other",
    "tests/test_c.py::test_gone",
)
TIP, HEAD = "a" * 40, "b" * 40
NOW = datetime.now(UTC)
TODAY = NOW.date()
REQUEST = FlakyFactsRequest(
    kind="flaky_tests",
    agent="flaky_tests",
    repository="shop",
    service="shop",
    subject="SUITE",
    since=NOW,
)


class Trees:
    """The reading half of a track: files by commit."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, str]] = {TIP: {}, HEAD: {}}
        self.asked: list[tuple[str, str]] = []
        self.at = TIP
        self.looked: list[tuple[str, str]] = []
        self.claims: list[tuple[str, str]] = []

    def tip(self, repository: Repository, branch: str | None = None) -> str:
        return self.at

    def has_file(self, repository: Repository, *, sha: str, path: str) -> bool:
        return path in self.files[sha]

    def file_paths(self, repository: Repository, *, sha: str, most: int) -> list[str]:
        return list(self.files[sha])

    def read_text(self, repository: Repository, *, sha: str, path: str, most: int) -> str:
        if path not in self.files.get(sha, {}):
            raise NotFound(f"{sha} has no {path}")
        return self.files[sha][path]

    def fix_claims(
        self, repository: Repository, *, after: str, upto: str, limit: int
    ) -> list[tuple[str, str]]:
        self.looked.append((after, upto))
        return self.claims

    def is_ancestor(self, repository: Repository, *, ancestor: str, descendant: str) -> bool:
        self.asked.append((ancestor, descendant))
        raise NotFound("no such commit")


class Record:
    """The reading half of a forge."""

    def __init__(self) -> None:
        self.known: dict[str, Change] = {}
        self.listed: list[str] | None = None

    def put(
        self, number: int, state: Literal["open", "landed", "ejected", "closed"], branch: str = ""
    ) -> None:
        change = Change(
            id=f"shop/{number}",
            repository="shop",
            branch=branch or f"{QUARANTINE_BRANCHES}{number}",
            head=HEAD,
            title="Quarantine 1 flaky test",
            body="",
            author=Author(kind="agent", name="flaky_tests"),
            priority=Priority.NORMAL,
            state=state,
            opened_at=NOW,
        )
        self.known[change.id] = change

    def list_changes(self, repository: str, *, limit: int = 50) -> list[Change]:
        return [one for name, one in self.known.items() if self.listed is None or name in self.listed]

    def change(self, change: str) -> Change:
        if change not in self.known:
            raise NotFound(change)
        return self.known[change]


class Places:
    """The addresses of issues."""

    def address(self, repository: str, *, key: str) -> str:
        return f"https://git.example/{repository}?q={key}"


class World:
    """What is asked for facts, and what it reads: a real store, files by commit, and a forge's changes."""

    def __init__(self, home: Path) -> None:
        self.store = ResultsStore(store_at(home / "store.db"))
        self.trees, self.record = Trees(), Record()
        repositories = {"shop": a_repository("shop")}
        track, changes = cast(Track, self.trees), cast(Changes, self.record)
        self.folding = ResultActivities(self.store, track, repositories, Keeping())
        self.gatherer = FlakyFactsGatherer(
            self.store, self.folding, track, changes, repositories, issues=cast(Issues, Places())
        )
        self.runs = 0

    def tell(self, *signs: str, test: str = FLAKY, beside: Sequence[str] = (OTHER,)) -> None:
        """A run of main for each, a day apart until yesterday, that came just when it was made."""
        for one in signs:
            self.runs += 1
            at = NOW - timedelta(days=100 - self.runs)
            told = {test: one, **dict.fromkeys(beside, ".")}
            sha = f"{self.runs:040x}"
            self.store.keep(report(told, run=str(self.runs), sha=sha, at=at, markers=("slow",)), at=at)

    def write(self, *tests: str, sha: str = TIP, since: date = TODAY) -> None:
        entries = tuple(
            Quarantined(
                test=Untrusted(test),
                masks=(SIGNATURE,),
                since=since,
                expires=since + timedelta(days=30),
                evidence="seen",
                owner="@ada",
            )
            for test in sorted(tests)
        )
        self.trees.files[sha][PLACE] = rendered(QuarantineFile(entries=entries))
