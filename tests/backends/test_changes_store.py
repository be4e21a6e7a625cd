"""What the record of changes in the store promises beyond the port."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from activities.backends.changes_store import ChangesStore
from activities.backends.store_sql import open_store
from leverframe.model.changes import Author, ChangeSpec

ADA = Author(kind="person", name="ada")
HEAD = "a" * 40


def spec(branch: str = "work") -> ChangeSpec:
    return ChangeSpec(repository="shop", branch=branch, head=HEAD, title="Do it", author=ADA)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChangesStore]:
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    yield ChangesStore(engine)
    engine.dispose()


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
