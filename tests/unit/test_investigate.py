"""Facts: only what a source of ours confirms."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from activities.investigate import InvestigateActivities, suffixes
from activities.ports import ErrorGroup, Health
from leverframe.model.changes import Author, Change, Priority
from leverframe.model.facts import ErrorFactsRequest, FlagObservation, FlagState, LandedCommit
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted
from tests.fakes.remediation_world import BEGAN, FLAG, LIVE, PREVIOUS, SHOP, SUSPECT, MemoryFlags

AGENT = Author(kind="agent", name="sentry_spike")


class OneGroup:
    """An error tracker that knows one group with these frames."""

    def __init__(self, frames: Sequence[tuple[str, int]]) -> None:
        self.frames = frames

    def group(self, *, service: str, subject: str, since: datetime, max_events: int) -> ErrorGroup:
        return ErrorGroup(
            title=Untrusted("TypeError"),
            exception=Untrusted("TypeError"),
            trace=Untrusted("trace"),
            route=Untrusted("/"),
            total=9,
            sampled=9,
            first_at=BEGAN,
            frames=tuple((path, Untrusted("f"), line) for path, line in self.frames),
            flags=tuple(FlagObservation(flag=flag, value=True, errors=9) for flag in (FLAG, "forged")),
            releases=(),
        )

    def count(self, *, service: str, subject: str, since: datetime) -> int:
        return 3

    def health(self) -> Health:
        return Health(ok=True, detail="one group")


class Tree:
    """The reading half of a track: one tree and one line of history."""

    files = frozenset({"shop/pricing.py", "shop/app.py", "app.py"})

    def __init__(self) -> None:
        self.asked: list[str] = []

    def overlay_sha(self, repository: Repository, environment: str) -> str | None:
        return LIVE

    def live_before(self, repository: Repository, *, sha: str) -> str | None:
        return PREVIOUS

    def has_file(self, repository: Repository, *, sha: str, path: str) -> bool:
        self.asked.append(path)
        return sha == LIVE and path in self.files

    def blame(self, repository: Repository, *, sha: str, path: str, line: int) -> str | None:
        return SUSPECT if line < 100 else None

    def commits(self, repository: Repository, *, limit: int) -> list[LandedCommit]:
        return [
            LandedCommit(
                sha=SUSPECT, subject=Untrusted("x"), landed_at=BEGAN, paths=(), authors=("bob@example.com",)
            )
        ]


class OneChange:
    """The reading half of a record of changes."""

    def __init__(self, author: Author = AGENT) -> None:
        self._author = author

    def list_changes(self, repository: str, *, limit: int = 50) -> list[Change]:
        return [
            Change(
                id="shop/4",
                repository="shop",
                branch="b",
                head=SUSPECT,
                title="t",
                body="",
                author=self._author,
                priority=Priority.NORMAL,
                state="landed",
                landed_as=SUSPECT,
                opened_at=BEGAN,
            )
        ]


def investigating(
    frames: Sequence[tuple[str, int]], tree: Tree | None = None, record: OneChange | None = None
) -> InvestigateActivities:
    return InvestigateActivities(
        OneGroup(frames),
        tree or Tree(),  # type: ignore[arg-type]  # only the reading half of the port
        record or OneChange(),  # type: ignore[arg-type]  # only the reading half of the port
        MemoryFlags({FLAG: True}),
        {"shop": SHOP},
    )


REQUEST = ErrorFactsRequest(repository="shop", service="shop", subject="SHOP-1", since=BEGAN)


@pytest.mark.parametrize(
    "told",
    [
        "shop/pricing.py",
        "/srv/releases/current/shop/pricing.py",
        "./shop/pricing.py",
        "C:\\deploy\\shop\\pricing.py",
    ],
)
def test_a_path_is_found_behind_any_deployment_directory(told: str) -> None:
    (frame,) = investigating([(told, 14)]).gather(REQUEST).frames
    assert (frame.path, frame.line, frame.blamed) == ("shop/pricing.py", 14, SUSPECT)


def test_the_longest_matching_suffix_wins() -> None:
    (frame,) = investigating([("/srv/shop/app.py", 1)]).gather(REQUEST).frames
    assert frame.path == "shop/app.py"


@pytest.mark.parametrize(
    "told",
    [
        "../../etc/passwd",
        "/srv/../shop/pricing.py",
        "shop/pricing.py\x00",
        "shop/\u202epricing.py",
        "/usr/lib/python3.11/json/decoder.py",
        "a/" * 300 + "shop/pricing.py",
        "",
    ],
)
def test_hostile_and_foreign_paths_are_dropped(told: str) -> None:
    assert investigating([(told, 14)]).gather(REQUEST).frames == ()


def test_a_path_that_climbs_is_never_looked_up() -> None:
    assert suffixes("a/../b.py") == []


def test_only_flags_that_the_backend_knows_are_facts() -> None:
    facts = investigating([]).gather(REQUEST)
    assert [seen.flag for seen in facts.flags] == [FLAG]
    assert facts.flag_states == (FlagState(flag=FLAG, on=True),)


def test_the_live_and_the_previous_release_come_from_the_overlays_history() -> None:
    facts = investigating([]).gather(REQUEST)
    assert (facts.live, facts.previous) == (LIVE, PREVIOUS)


def test_a_commit_carries_its_change_and_whether_an_agent_made_it() -> None:
    (commit,) = investigating([]).gather(REQUEST).commits
    assert (commit.change, commit.by_agent) == ("shop/4", True)


@pytest.mark.parametrize(
    ("opened_by", "authors"),
    [
        (Author(kind="person", name="ada"), ("ada", "bob@example.com")),
        (AGENT, ("bob@example.com",)),
    ],
)
def test_a_person_who_opened_a_change_is_among_its_authors(
    opened_by: Author, authors: tuple[str, ...]
) -> None:
    (commit,) = investigating([], record=OneChange(opened_by)).gather(REQUEST).commits
    assert commit.authors == authors


def test_a_known_deployment_directory_saves_look_ups() -> None:
    tree = Tree()
    investigating([("/srv/a/b/c/shop/pricing.py", 1), ("/srv/a/b/c/shop/app.py", 2)], tree).gather(REQUEST)
    assert tree.asked[-1] == "shop/app.py"
    assert tree.asked.count("srv/a/b/c/shop/app.py") == 0


def test_frames_beyond_the_fifth_are_left_out() -> None:
    frames = [("shop/pricing.py", line) for line in range(1, 20)]
    assert [frame.line for frame in investigating(frames).gather(REQUEST).frames] == [1, 2, 3, 4, 5]
