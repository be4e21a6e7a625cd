"""The record of changes on a real store."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from activities.backends.changes_store import ChangesStore
from activities.backends.store_sql import open_store
from leverframe.model.changes import Author, ChangeSpec, CheckResult, Priority
from leverframe.model.errors import Conflict, NotFound

ADA = Author(kind="person", name="ada")
HEAD, NEXT, LANDED = "a" * 40, "b" * 40, "c" * 40


def spec(
    branch: str = "work", head: str = HEAD, repository: str = "shop", title: str = "Do it"
) -> ChangeSpec:
    return ChangeSpec(repository=repository, branch=branch, head=head, title=title, author=ADA)


def result(outcome: str = "passed", check: str = "unit", sha: str = HEAD) -> CheckResult:
    return CheckResult.model_validate(
        {"check": check, "sha": sha, "outcome": outcome, "seconds": 1.5, "summary": "ok", "log": "a\nb"}
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChangesStore]:
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    yield ChangesStore(engine)
    engine.dispose()


def test_numbers_count_up_within_each_repository(store: ChangesStore) -> None:
    ids = [store.open_change(spec(branch)).id for branch in ("one", "two")]
    assert [*ids, store.open_change(spec(repository="till")).id] == ["shop/1", "shop/2", "till/1"]


def test_the_same_branch_is_the_same_change_and_a_moved_head_updates_it(store: ChangesStore) -> None:
    first = store.open_change(spec())
    assert store.open_change(spec()) == first
    moved = store.open_change(spec(head=NEXT, title="Do it better"))
    assert (moved.id, moved.head, moved.title, moved.opened_at) == (
        first.id, NEXT, "Do it better", first.opened_at,
    )  # fmt: skip
    assert store.change(first.id) == moved


def test_a_change_keeps_everything_it_was_opened_with(store: ChangesStore) -> None:
    wanted = ChangeSpec(
        repository="shop",
        branch="leverframe/revert-1",
        head=HEAD,
        title="Undo 'it' \u202e",
        body="**why**\0",
        author=Author(kind="agent", name="sentry_spike"),
        priority=Priority.HOTFIX,
    )
    change = store.change(store.open_change(wanted).id)
    assert change.body == "**why**\N{REPLACEMENT CHARACTER}"
    assert (change.title, change.author, change.priority) == (wanted.title, wanted.author, wanted.priority)
    assert (change.state, change.landed_as) == ("open", None)


def test_a_branch_whose_change_has_landed_cannot_be_opened_again(store: ChangesStore) -> None:
    change = store.open_change(spec())
    store.mark_landed(change.id, LANDED)
    with pytest.raises(Conflict, match="has landed"):
        store.open_change(spec(head=NEXT))


def test_a_change_that_was_taken_off_opens_again(store: ChangesStore) -> None:
    change = store.open_change(spec())
    assert store.mark_ejected(change.id, "red").state == "ejected"
    assert store.open_change(spec(head=NEXT)).state == "open"


@pytest.mark.parametrize("landed_first", [True, False])
def test_a_landing_wins_over_an_ejection_whichever_comes_first(
    store: ChangesStore, landed_first: bool
) -> None:
    change = store.open_change(spec()).id
    if not landed_first:
        store.mark_ejected(change, "red")
    store.mark_landed(change, LANDED)
    store.mark_ejected(change, "late")
    settled = store.change(change)
    assert (settled.state, settled.landed_as) == ("landed", LANDED)


def test_changes_are_listed_newest_first(store: ChangesStore) -> None:
    for branch in ("one", "two", "three"):
        store.open_change(spec(branch))
    store.open_change(spec(repository="till"))
    assert [change.branch for change in store.list_changes("shop", limit=2)] == ["three", "two"]


def test_a_comments_key_names_it_so_that_writing_again_replaces_it_in_its_place(store: ChangesStore) -> None:
    change = store.open_change(spec()).id
    for key, body in (("train", "queued"), ("run", "why"), ("train", "landed")):
        store.comment(change, key=key, body=body)
    assert store.comments(change) == [("train", "landed"), ("run", "why")]


def test_a_later_result_replaces_the_one_of_the_same_check_and_commit(store: ChangesStore) -> None:
    for said in (result("failed"), result(), result(check="lint"), result(sha=NEXT)):
        store.record_check("shop/1", said)
    assert store.checks(HEAD) == [result(check="lint"), result()]
    assert store.checks(LANDED) == []


def test_an_unknown_change_is_not_found(store: ChangesStore) -> None:
    for act in (
        lambda: store.change("shop/9"),
        lambda: store.mark_landed("shop/9", LANDED),
        lambda: store.mark_ejected("shop/9", "x"),
        lambda: store.comment("shop/9", key="k", body="b"),
    ):
        with pytest.raises(NotFound):
            act()


def test_writers_at_the_same_time_get_different_numbers_and_one_change_per_branch(
    store: ChangesStore,
) -> None:
    branches = [f"work-{number % 6}" for number in range(18)]
    with ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(lambda branch: store.open_change(spec(branch)).id, branches))
    assert sorted(set(ids)) == [f"shop/{number}" for number in range(1, 7)]
    assert all(len({ids[at] for at in range(start, 18, 6)}) == 1 for start in range(6))


def test_health_counts_the_changes(store: ChangesStore) -> None:
    store.open_change(spec())
    assert store.health().ok
    assert store.health().detail == "1 changes"
