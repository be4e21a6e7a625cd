"""The number of each test: given once, in the order in which tests first appear, and never to another."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, select, update

from activities.backends.results_tables import test_suites, tests
from activities.backends.store_sql import insert, reading
from leverframe.model.errors import BadInput
from leverframe.model.test_reports import MOST_TESTS

LOOKUP = 500
"""Values per query: SQLite bounds the number of parameters."""
_AT_ONCE = 10_000
_WHOLE = 4
"""Where more than one in so many tests is asked for, all are read."""

T = TypeVar("T")


def numbered(engine: Engine, repository: str, paths: Mapping[str, str], at: int) -> dict[str, int]:
    """The number of each test, new ones included; `paths` has their files, which may have moved.

    Raises BadInput for a test that would be one too many.
    """
    keys = {key_of(test): test for test in paths}
    with reading(engine) as connection:
        known = _known(connection, repository, keys)
    new = [key for key in keys if key not in known]
    moved = {
        number: paths[keys[key]]
        for key, (number, path) in known.items()
        if paths[keys[key]] and paths[keys[key]] != path
    }
    if new or moved:
        with engine.begin() as connection:
            known |= _give(connection, repository, {key: keys[key] for key in new}, paths, at)
            for number, path in moved.items():
                connection.execute(
                    update(tests)
                    .where(tests.c.repository == repository, tests.c.number == number)
                    .values(path=path)
                )
    return {keys[key]: number for key, (number, _) in known.items()}


def key_of(test: str) -> bytes:
    """What a test is found by: an identity may be longer than an index allows."""
    return blake2b(test.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def count(connection: Connection, repository: str) -> int:
    """Numbers that were given so far: all numbers are less."""
    given = select(test_suites.c.numbers).where(test_suites.c.repository == repository)
    return connection.execute(given).scalar() or 0


def chunks(values: Iterable[T], size: int = LOOKUP) -> Iterator[list[T]]:
    """So many at a time."""
    iterator = iter(values)
    while some := list(islice(iterator, size)):
        yield some


def _known(
    connection: Connection, repository: str, keys: Mapping[bytes, str]
) -> dict[bytes, tuple[int, str]]:
    ours = select(tests.c.key, tests.c.number, tests.c.path).where(tests.c.repository == repository)
    if len(keys) * _WHOLE >= count(connection, repository):
        parts = connection.execute(ours).partitions(_AT_ONCE)
        return {key: (number, path) for part in parts for key, number, path in part if key in keys}
    found: dict[bytes, tuple[int, str]] = {}
    for some in chunks(keys):
        rows = connection.execute(ours.where(tests.c.key.in_(some)))
        found |= {key: (number, path) for key, number, path in rows}
    return found


def _give(
    connection: Connection, repository: str, new: Mapping[bytes, str], paths: Mapping[str, str], at: int
) -> dict[bytes, tuple[int, str]]:
    """Numbers for new tests, of which another process may have given some by now."""
    begun = insert(connection, test_suites).on_conflict_do_nothing()
    connection.execute(begun, {"repository": repository, "numbers": 0})
    given = connection.execute(
        select(test_suites.c.numbers).where(test_suites.c.repository == repository).with_for_update()
    ).scalar_one()
    known = _known(connection, repository, new)
    left = [key for key in new if key not in known]
    if not left:
        return known
    if given + len(left) > MOST_TESTS:
        raise BadInput(
            f"{repository} would have {given + len(left):,} tests, and {MOST_TESTS:,} are kept of one "
            "repository: do names of tests hold times, addresses or random numbers?"
        )
    rows: list[dict[str, Any]] = [
        {
            "repository": repository,
            "number": number,
            "key": key,
            "test": new[key],
            "path": paths[new[key]],
            "first_at": at,
        }
        for number, key in enumerate(left, given)
    ]
    connection.execute(tests.insert(), rows)
    connection.execute(
        update(test_suites).where(test_suites.c.repository == repository).values(numbers=given + len(left))
    )
    return known | {row["key"]: (row["number"], row["path"]) for row in rows}
