"""The number of each test: given once, in the order in which tests first appear, and never to another."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, bindparam, select, update

from activities.backends.results_tables import test_suites, tests
from activities.backends.store_sql import insert, reading
from leverframe.model.errors import BadInput
from leverframe.model.test_reports import MOST_MARKERS, MOST_TESTS, Attempt

LOOKUP = 500
"""Values per query: SQLite bounds the number of parameters."""
_AT_ONCE = 10_000
_WHOLE = 4
"""Where more than one in so many tests is asked for, all are read."""

T = TypeVar("T")


Told = tuple[str, str | None]
"""Of one test: its file, empty where it is not known; its marks as a JSON list, None where they are not."""
Known = tuple[int, str, str | None]
"""A test's number, with the same. Plain tuples: a report may have 250,000."""


def told_of(attempts: Sequence[Attempt]) -> dict[str, Told]:
    """By test: its file, and all marks that one of its attempts tells."""
    paths: dict[str, str] = {}
    markers: dict[str, tuple[str, ...]] = {}
    for attempt in attempts:
        if attempt.path or attempt.test not in paths:
            paths[attempt.test] = attempt.path
        if attempt.markers is not None and (before := markers.get(attempt.test)) != attempt.markers:
            markers[attempt.test] = (*(before or ()), *attempt.markers)
    written = {told: _written(told) for told in set(markers.values())}
    return {test: (path, written[markers[test]] if test in markers else None) for test, path in paths.items()}


def numbered(
    engine: Engine, repository: str, told: Mapping[str, Told], at: int, *, target: bool
) -> dict[str, int]:
    """The number of each test, new ones included; `told` has their files and marks, which may have changed.

    `at`: when the new ones first ran.

    Only reports of the `target` branch take marks away, or move a test to another file: those of another
    branch may be old, or of a change that nobody has looked at, and policy forbids by marks and files. Raises
    BadInput for a test that would be one too many.
    """
    keys = {key_of(test): test for test in told}
    with reading(engine) as connection:
        known = _known(connection, repository, keys)
    new = {key: test for key, test in keys.items() if key not in known}
    changed = {
        key: test
        for key, test in keys.items()
        if (was := known.get(key)) and was[1:] != told[test] and _after(was, told[test], target) != was
    }
    if new or changed:
        with engine.begin() as connection:
            known |= _give(connection, repository, new, told, at)
            # Read again, behind the lock: what another report has told meanwhile must not be undone.
            _change(
                connection,
                repository,
                [
                    _after(one, told[keys[key]], target)
                    for key, one in _known(connection, repository, changed).items()
                ],
            )
    return {keys[key]: number for key, (number, _, _) in known.items()}


def _change(connection: Connection, repository: str, changed: Sequence[Known]) -> None:
    if changed:
        c = tests.c
        statement = update(tests).where(c.repository == repository, c.number == bindparam("of"))
        rows = [{"of": number, "path": path, "markers": markers} for number, path, markers in changed]
        connection.execute(statement.values(path=bindparam("path"), markers=bindparam("markers")), rows)


def _after(before: Known, told: Told, target: bool) -> Known:
    """What is known of a test after a report."""
    number, path, markers = before
    if markers is None or (target and told[1] is not None):
        markers = told[1]
    elif told[1] is not None and told[1] != markers:
        # Where both are too many, what was known stays: else the next report could leave a forbidden one out.
        markers = _written([*json.loads(markers), *json.loads(told[1])]) or markers
    return number, (told[0] or path) if target or not path else path, markers


def _written(markers: Iterable[str]) -> str | None:
    """As the store has them; None where they are too many: one that is left out might be a forbidden one."""
    names = sorted(set(markers))
    return json.dumps(names) if len(names) <= MOST_MARKERS else None


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


def _known(connection: Connection, repository: str, keys: Mapping[bytes, str]) -> dict[bytes, Known]:
    c = tests.c
    ours = select(c.key, c.number, c.path, c.markers).where(c.repository == repository)
    if len(keys) * _WHOLE >= count(connection, repository):
        parts = connection.execute(ours).partitions(_AT_ONCE)
        return {
            key: (number, path, markers)
            for part in parts
            for key, number, path, markers in part
            if key in keys
        }
    found: dict[bytes, Known] = {}
    for some in chunks(keys):
        of_some = connection.execute(ours.where(c.key.in_(some)))
        found |= {key: (number, path, markers) for key, number, path, markers in of_some}
    return found


def _give(
    connection: Connection, repository: str, new: Mapping[bytes, str], told: Mapping[str, Told], at: int
) -> dict[bytes, Known]:
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
            "path": told[new[key]][0],
            "markers": told[new[key]][1],
            "first_at": at,
        }
        for number, key in enumerate(left, given)
    ]
    connection.execute(tests.insert(), rows)
    connection.execute(
        update(test_suites).where(test_suites.c.repository == repository).values(numbers=given + len(left))
    )
    return known | {row["key"]: (row["number"], *told[row["test"]]) for row in rows}
