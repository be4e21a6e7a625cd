"""The store: one SQLAlchemy engine, and the way to the newest schema.

SQLite on a laptop, PostgreSQL in production. Times are integer microseconds since the Unix epoch, UTC.
Each backend writes its own queries against `store_tables`; only this file knows the dialects.
"""

import fcntl
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.pool import ConnectionPoolEntry

from activities.disk_space import writing_to
from leverframe.model.errors import BadConfiguration, DiskFull, Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"

_BUSY_SECONDS = 10
_MIGRATION_LOCK = 0x6C65766672
"""The PostgreSQL advisory lock that is held while the schema changes."""

_DISK_FULL = "53100"
"""SQLSTATE of PostgreSQL; SQLite says so in words."""


def open_store(url: str) -> Engine:
    """An engine on the newest schema. Safe when several processes start at once.

    On SQLite every transaction takes the write lock as it begins, so that read-then-write is atomic;
    `reading` gives a connection that does not.

    Raises:
        BadConfiguration: the URL is none, or names a database that is not supported.
        Unavailable: the database does not answer.
        DiskFull: there is no space for it.
    """
    parsed = _parse(url)
    try:
        if parsed.get_backend_name() == "sqlite":
            return _open_sqlite(parsed)
        engine = create_engine(parsed, pool_pre_ping=True)
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            _upgrade(connection)
    except DBAPIError as error:
        safe = parsed.render_as_string(hide_password=True)
        raise _no_answer(f"the store {safe} can't be opened", error) from error
    return engine


def reading(engine: Engine) -> Connection:
    """A connection for reads only: on SQLite it does not wait for writers."""
    return engine.connect().execution_options(reading=True)


@contextmanager
def answering() -> Iterator[None]:
    """A block that asks the store. A store that fails us is `Unavailable`: nothing was promised in the block.

    Raises:
        DiskFull: its disk has no space left.
    """
    try:
        yield
    except DBAPIError as error:
        raise _no_answer("the store did not answer", error) from error
    except NoConnection as error:
        raise Unavailable("the store has no connection left") from error


def insert(bind: Engine | Connection, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """The dialect's INSERT, which has `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if bind.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(instant: datetime) -> int:
    """Microseconds since the Unix epoch of an aware time, exactly."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The inverse of `to_micros`, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


@functools.cache
def newest() -> str:
    """The newest version of the schema, by the names of the migrations: `0004_questions_in_chats.py`."""
    return max(path.name for path in (MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def _version(connection: Connection) -> str | None:
    """The version of the schema that is there."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    return None if found is None else str(found)


def _no_answer(what: str, error: DBAPIError) -> Unavailable:
    told, full = str(error.orig), getattr(error.orig, "sqlstate", None) == _DISK_FULL
    if full or "disk is full" in told:
        return DiskFull(f"{what}: its disk is full; make room there, and this goes on by itself: {told}")
    return Unavailable(f"{what}: {told}")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise BadConfiguration("store.url is not a SQLAlchemy URL of a known database") from error
    name = parsed.get_backend_name()
    if name not in ("sqlite", "postgresql"):
        raise BadConfiguration(f"store.url names {name}; supported: sqlite and postgresql")
    if name == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise BadConfiguration("store.url must name a file: several processes share the store")
    return parsed


def _open_sqlite(url: URL) -> Engine:
    path = Path(str(url.database))
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _tune_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    # The switch to WAL does not honour the busy timeout, so the first opening is serialised by a file lock.
    with _locked(path.with_name(path.name + ".lock")), engine.begin() as connection:
        _upgrade(connection)
    return engine


def _tune_sqlite(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    # The driver's own BEGIN comes late and deferred; `_begin_sqlite` sends one at the right time.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_SECONDS * 1000}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with writing_to(path):
        handle = path.open("a")
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _upgrade(connection: Connection) -> None:
    if _version(connection) == newest():
        return
    from alembic import command  # noqa: PLC0415 - loads when there is something to do, which is seldom
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    command.upgrade(config, "head")
