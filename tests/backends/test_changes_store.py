"""What the record of changes in the store promises beyond the port."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, event

from activities.backends.changes_store import ChangesStore
from leverframe.model.changes import Author, ChangeSpec

ADA = Author(kind="person", name="ada")
HEAD = "a" * 40


def spec(branch: str = "work", title: str = "Do it") -> ChangeSpec:
    return ChangeSpec(repository="shop", branch=branch, head=HEAD, title=title, author=ADA)


@pytest.fixture
def store(engine: Engine) -> ChangesStore:
    return ChangesStore(engine)


def test_writers_at_the_same_time_get_different_numbers_and_one_change_per_branch(
    store: ChangesStore,
) -> None:
    branches = [f"work-{number % 6}" for number in range(18)]
    with ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(lambda branch: store.open_change(spec(branch)).id, branches))
    assert sorted(set(ids)) == [f"shop/{number}" for number in range(1, 7)]
    assert all(len({ids[at] for at in range(start, 18, 6)}) == 1 for start in range(6))


@pytest.mark.parametrize("engine", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
@pytest.mark.parametrize(("branch", "given"), [("work", "shop/1"), ("other", "shop/2")])
def test_a_change_that_another_writer_forestalls_is_opened_all_the_same(
    engine: Engine, store: ChangesStore, branch: str, given: str
) -> None:
    """The faster writer has taken the number, and for the same branch also opened the change."""

    faster = [spec("work", title="Done before")]

    @event.listens_for(engine, "before_cursor_execute")
    def _forestall(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("INSERT INTO changes") and faster:
            store.open_change(faster.pop())

    assert store.open_change(spec(branch, title="Do it now")).id == given
    assert store.change(given).title == "Do it now"


def test_health_counts_the_changes(store: ChangesStore) -> None:
    store.open_change(spec())
    assert store.health().ok
    assert store.health().detail == "1 changes"
