"""The store: one SQLAlchemy engine, the tables, and the way to the newest schema.

SQLite on a laptop, PostgreSQL in production. Times are integer microseconds since the Unix epoch, UTC.
Each backend writes its own queries against the tables here; only this file knows the dialects.
"""

import fcntl
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
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

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

error_events = Table(
    "error_events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("second", Integer, nullable=False, comment="Unix time, seconds"),
    Column("received_at", BigInteger, nullable=False),
    Column("flags", Text, nullable=False, comment="JSON list of [name, value]"),
    Column("payload", LargeBinary, comment="zlib JSON of the scrubbed event; NULL when sampled out"),
    Column("batch", Text, comment="The batch that carried the event to the engine"),
    Column("delivered_at", BigInteger),
    Index(None, "service", "subject", "received_at"),
    Index(None, "delivered_at", "batch"),
)

changes = Table(
    "changes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("repository", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("branch", Text, nullable=False),
    Column("head", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("landed_as", Text),
    Column("opened_at", BigInteger, nullable=False),
    UniqueConstraint("repository", "branch"),
    UniqueConstraint("repository", "number"),
)

vouched_changes = Table(
    "vouched_changes",
    metadata,
    Column("place", Text, primary_key=True, comment="Host, owner and name of a repository on a forge"),
    Column("number", Integer, primary_key=True),
    Column("head", Text, nullable=False, comment="The one head that author and priority are true of"),
    Column("author_kind", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("ejected", Boolean, nullable=False),
    Column("landed_as", Text),
)

checks = Table(
    "checks",
    metadata,
    Column("sha", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("change_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("summary", Text, nullable=False),
    Column("log", Text, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)

comments = Table(
    "comments",
    metadata,
    Column("change_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("position", Integer, nullable=False),
)

chat_cards = Table(
    "chat_cards",
    metadata,
    Column("id", Text, primary_key=True, comment="Opaque: what a button carries"),
    Column("chat", Text, nullable=False, comment="terminal, or slack and the workspace"),
    Column("approval", Text, nullable=False),
    Column("group_name", Text, nullable=False),
    Column("question", Text, nullable=False, comment="JSON, exactly as it was asked"),
    Column("held", Boolean, nullable=False, comment="Kept for the group's next digest"),
    Column("message", Text, comment="The message that shows it"),
    Column("kept_at", BigInteger, nullable=False),
    Column("ending", Text, comment="JSON of how it ended; NULL while it waits for an answer"),
    UniqueConstraint("chat", "approval", "group_name"),
    Index(None, "message"),
    Index(None, "chat", "ending", "kept_at"),
)

chat_notices = Table(
    "chat_notices",
    metadata,
    Column("chat", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("told_at", BigInteger, nullable=False),
)

slack_messages = Table(
    "slack_messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("group_name", Text, nullable=False),
    Column("batch", Text, nullable=False, comment="What its questions have in common"),
    Column("opened_at", BigInteger, nullable=False),
    Column("claimed_at", BigInteger, comment="Since when a process tries to post it"),
    Column("ts", Text, comment="Slack's name of the message; NULL until it is posted"),
    Column("drawn", Text, comment="Hash of what it shows"),
    Index(None, "channel", "group_name", "batch", "opened_at"),
)

slack_clicks = Table(
    "slack_clicks",
    metadata,
    Column("id", Text, primary_key=True, comment="What two deliveries of one click have in common"),
    Column("click", Text, nullable=False, comment="JSON"),
    Column("received_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Index(None, "done_at", "received_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3 … without a gap"),
    Column("hash", Text, nullable=False, comment="SHA-256 over the record and its predecessor's"),
    Column("line", Text, nullable=False, comment="The whole record as canonical JSON, exactly"),
)

policy_snapshots = Table(
    "policy_snapshots",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("content", Text, nullable=False, comment="Every document in force, as JSON"),
)

permits = Table(
    "permits",
    metadata,
    Column("service", Text, primary_key=True),
    Column("sha", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("checksum", Text, nullable=False, comment="The revision that was let in"),
    Column("decided_at", BigInteger, nullable=False),
)


builds = Table(
    "builds",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("sha", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("path", Text, nullable=False, comment="Of a tar, in the artifact directory"),
    Column("image", Text, nullable=False, comment="Of an image, in its registry"),
    Column("recorded_at", BigInteger, nullable=False),
)


deployments = Table(
    "deployments",
    metadata,
    Column("service", Text, primary_key=True),
    Column("sha", Text, primary_key=True),
    Column("repository", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False, comment="Of the receipt"),
    Column("change_id", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("committed_at", BigInteger, comment="The oldest commit's, by its author's clock"),
    Column("opened_at", BigInteger),
    Column("landed_at", BigInteger, nullable=False),
    Column("rework", Text, comment="Why it was not planned; NULL when it was"),
    Column("reverts", Text),
    Column("began_at", BigInteger, nullable=False),
    Column("replaced", Text, comment="What was stable when it entered production"),
    Column("entered_at", BigInteger),
    Column("live_at", BigInteger),
    Column("recovered_at", BigInteger),
    Column("ended_at", BigInteger, comment="NULL while it is on its way"),
    Column("outcome", Text),
    Column("reached_percent", Integer, nullable=False),
    Column("detail", Text, nullable=False),
)

repointings = Table(
    "repointings",
    metadata,
    Column("service", Text, primary_key=True),
    Column("landed_as", Text, primary_key=True, comment="The commit that moved the overlay"),
    Column("named", Text, nullable=False),
    Column("change_id", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("landed_at", BigInteger, nullable=False),
)

release_notes = Table(
    "release_notes",
    metadata,
    Column("service", Text, primary_key=True),
    Column("sha", Text, primary_key=True),
    Column("live_at", BigInteger, nullable=False),
    Column("marked", Text, nullable=False, comment="JSON: the marker and its notes"),
    Index(None, "service", "live_at"),
)


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
