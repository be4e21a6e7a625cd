"""The store on SQLite always, and on PostgreSQL when LEVERFRAME_TEST_POSTGRES_URL names one."""

import multiprocessing
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, func, select, text, update
from sqlalchemy.exc import IntegrityError

from activities.backends.store_sql import (
    MIGRATIONS,
    from_micros,
    insert,
    newest,
    open_store,
    reading,
    to_micros,
)
from activities.backends.store_tables import comments, metadata
from leverframe.model.errors import BadConfiguration, Unavailable

POSTGRES = os.environ.get("LEVERFRAME_TEST_POSTGRES_URL", "")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/a %20 home/store.db"
        return
    if not POSTGRES:
        pytest.skip("LEVERFRAME_TEST_POSTGRES_URL is not set")
    yield POSTGRES
    engine = open_store(POSTGRES)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
    engine.dispose()


@pytest.fixture
def store(url: str) -> Iterator[Engine]:
    engine = open_store(url)
    yield engine
    engine.dispose()


def _row(key: str, position: int) -> dict[str, object]:
    return {"change_id": "shop/1", "key": key, "body": "text", "position": position}


def _open_and_count(url: str, rounds: int) -> None:
    engine = open_store(url)
    for _ in range(rounds):
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(select(comments).with_for_update()).all()
            last = connection.scalar(select(func.max(comments.c.position)))
            connection.execute(update(comments).values(position=(last or 0) + 1))
    engine.dispose()


def test_migrations_lead_to_exactly_the_declared_tables(store: Engine) -> None:
    with store.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_newest_version_is_told_by_the_names_of_the_migrations_as_alembic_tells_it() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert newest() == script.get_current_head()
    assert len(list((MIGRATIONS / "versions").glob("*.py"))) == len(list(script.walk_revisions()))


def test_a_store_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    older = create_engine(url)
    with older.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
    older.dispose()
    engine = open_store(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_opening_a_store_again_keeps_its_rows(url: str) -> None:
    first = open_store(url)
    with first.begin() as connection:
        connection.execute(comments.insert().values(_row("a", 1)))
    first.dispose()
    second = open_store(url)
    with reading(second) as connection:
        assert connection.scalar(select(func.count()).select_from(comments)) == 1
    second.dispose()


def test_processes_that_open_a_new_store_at_once_migrate_it_once_and_lose_no_update(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    openers = [spawn.Process(target=open_store, args=(url,)) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert [opener.exitcode for opener in openers] == [0, 0, 0, 0]

    engine = open_store(url)
    with engine.begin() as connection:
        connection.execute(comments.insert().values(_row("counter", 0)))
    writers = [spawn.Process(target=_open_and_count, args=(url, 25)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with reading(engine) as connection:
        assert connection.scalar(select(comments.c.position)) == 50
    engine.dispose()


def test_an_upsert_replaces_the_row_on_every_dialect(store: Engine) -> None:
    for position in (1, 2):
        with store.begin() as connection:
            statement = insert(connection, comments).values(_row("a", position))
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["change_id", "key"], set_={"position": statement.excluded.position}
                )
            )
    with reading(store) as connection:
        assert connection.execute(select(comments.c.key, comments.c.position)).all() == [("a", 2)]


def test_an_insert_that_conflicts_can_do_nothing(store: Engine) -> None:
    for position in (1, 2):
        with store.begin() as connection:
            connection.execute(insert(store, comments).values(_row("a", position)).on_conflict_do_nothing())
    with reading(store) as connection:
        assert connection.scalar(select(comments.c.position)) == 1


def test_a_failed_transaction_leaves_nothing(store: Engine) -> None:
    def write_the_same_key_twice() -> None:
        with store.begin() as connection:
            connection.execute(comments.insert().values(_row("a", 1)))
            connection.execute(comments.insert().values(_row("a", 2)))

    with pytest.raises(IntegrityError):
        write_the_same_key_twice()
    with reading(store) as connection:
        assert connection.scalar(select(func.count()).select_from(comments)) == 0


def test_sqlite_is_opened_durable_and_concurrent(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    with reading(engine) as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        values = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas}
    engine.dispose()
    assert values == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 10_000}


def test_a_reader_does_not_wait_for_a_writer_on_sqlite(tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    with engine.begin() as writer, reading(engine) as reader:
        writer.execute(comments.insert().values(_row("a", 1)))
        assert reader.scalar(select(func.count()).select_from(comments)) == 0
    engine.dispose()


@pytest.mark.parametrize(
    "instant",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
    ],
)
def test_microseconds_survive_the_store_exactly(instant: datetime) -> None:
    assert from_micros(to_micros(instant)) == instant


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not a SQLAlchemy URL"),
        ("nosuch://x", "not a SQLAlchemy URL"),
        ("mysql://host/base", "supported: sqlite and postgresql"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
    ],
)
def test_a_store_url_that_can_not_work_is_named(url: str, words: str) -> None:
    with pytest.raises(BadConfiguration, match=words):
        open_store(url)


def test_a_database_that_does_not_answer_is_unavailable_and_its_password_is_not_shown() -> None:
    with pytest.raises(Unavailable) as caught:
        open_store("postgresql+psycopg://me:hunter2@127.0.0.1:1/base?connect_timeout=2")
    assert "hunter2" not in str(caught.value)
