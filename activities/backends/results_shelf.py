"""Where the histories of tests lie: the detector's shelf, over the store.

Only what one run needs is loaded: counts by page, and the histories of tests that failed or whose passes
matter one by one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, select

from activities.backends.results_numbers import chunks
from activities.backends.results_pages import OF_TEST, SEEN, Pages
from activities.backends.results_tables import test_pages, test_states
from activities.backends.store_sql import insert
from agents.flaky_tests.detector import verdict
from agents.flaky_tests.history import History
from agents.flaky_tests.stored_form import restored, stored


class StoreShelf:
    """The `Shelf` of one run: what was loaded for it, and what it changes."""

    def __init__(self, connection: Connection, repository: str, others: Iterable[int]) -> None:
        self.connection, self.repository = connection, repository
        self.counts = Pages(OF_TEST, pages_of(connection, test_pages, repository))
        ours = select(test_states.c.number, test_states.c.history, test_states.c.attentive).where(
            test_states.c.repository == repository
        )
        rows = list(connection.execute(ours.where(test_states.c.attentive)))
        self._attentive = tuple(row.number for row in rows)
        for some in chunks(sorted({*others}.difference(self._attentive))):
            rows += connection.execute(ours.where(test_states.c.number.in_(some)))
        self._histories = {row.number: restored(row.history) for row in rows}

    def seen(self, test: int) -> int:
        return self.counts.get(test, SEEN)

    def history(self, test: int) -> History | None:
        return self._histories.get(test)

    def keep(self, test: int, history: History) -> None:
        self._histories[test] = history

    def attentive(self) -> Iterable[int]:
        return self._attentive

    def count(self, tests: Iterable[int]) -> None:
        self.counts.add(tests, SEEN)


def keep_histories(
    connection: Connection,
    repository: str,
    histories: Mapping[int, History],
    seen: Callable[[int], int],
    at: int,
) -> None:
    """Write what is remembered of these tests."""
    rows = [
        {
            "repository": repository,
            "number": number,
            "history": stored(history),
            "attentive": history.attentive,
            "verdict": verdict(history, seen(number)).value,
            "quarantined": history.quarantine is not None,
            "quarantines": history.quarantines,
            "changed_at": at,
        }
        for number, history in histories.items()
    ]
    replace_rows(connection, test_states, rows, ("repository", "number"))


def pages_of(
    connection: Connection, table: Table, repository: str, *more: ColumnElement[bool]
) -> Callable[[int], bytes | None]:
    """Reads one page of counts."""

    def load(page: int) -> bytes | None:
        query = select(table.c.counts).where(table.c.repository == repository, table.c.page == page, *more)
        return connection.execute(query).scalar()

    return load


def replace_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]
) -> None:
    """Write rows over those that are there."""
    if not rows:
        return
    statement = insert(connection, table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed), list(rows))
