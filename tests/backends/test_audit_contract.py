"""What an audit log promises: it keeps exactly what the ledger wrote, in order, and notices anything else."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, delete, text, update

from activities.audit import AuditActivities, AuditBatch
from activities.backends.audit_store import StoreAudit
from activities.backends.store_tables import audit, metadata, policy_snapshots
from activities.ports import AuditLog
from leverframe.model.errors import Conflict, NotFound, Unavailable
from policies.audit import Head, Record, broken_at, chain
from policies.documents import NO_POLICY
from tests.fakes.asks import NOON, policy


@pytest.fixture
def log(engine: Engine) -> AuditLog:
    return StoreAudit(engine)


def records(count: int, after: Head | None = None, *, words: str = "ü") -> tuple[Record, ...]:
    """So many releases, each chained to the one before it."""
    head, made = after or Head(), []
    for number in range(count):
        at = NOON + timedelta(microseconds=number)
        record = chain(head, "released", {"reservation": f"run/{head.sequence}", "words": words}, at)
        head = Head(sequence=record.sequence, hash=record.hash)
        made.append(record)
    return tuple(made)


def test_records_come_back_exactly_as_they_were_written(log: AuditLog) -> None:
    written = records(5, words="é \u202e \x00 😀")
    log.append("acme", written)
    assert log.read("acme") == list(written)
    assert [record.line() for record in log.read("acme")] == [record.line() for record in written]
    assert broken_at(log.read("acme")) is None


def test_an_empty_log_ends_at_its_beginning(log: AuditLog) -> None:
    log.append("acme", ())
    assert (log.head("acme"), log.read("acme")) == (Head(), [])


def test_the_same_records_again_change_nothing_also_when_more_follow(log: AuditLog) -> None:
    written = records(6)
    log.append("acme", written[:4])
    log.append("acme", written[:4])
    log.append("acme", written[2:])
    assert log.read("acme") == list(written)
    assert log.head("acme") == Head(sequence=6, hash=written[5].hash)


def test_pages_follow_one_another(log: AuditLog) -> None:
    written = records(7)
    log.append("acme", written)
    pages = [log.read("acme", after=after, limit=3) for after in (0, 3, 6, 7)]
    assert [[record.sequence for record in page] for page in pages] == [[1, 2, 3], [4, 5, 6], [7], []]


def test_each_organisation_has_a_log_of_its_own(log: AuditLog) -> None:
    log.append("acme", records(2))
    log.append("globex", records(3, words="other"))
    assert [log.head(name).sequence for name in ("acme", "globex", "initech")] == [2, 3, 0]


def test_another_record_under_a_number_that_is_taken_is_a_conflict_and_nothing_is_written(
    log: AuditLog,
) -> None:
    written = records(3)
    log.append("acme", written)
    fork = records(4, words="forged")
    with pytest.raises(Conflict, match="another record 1"):
        log.append("acme", fork)
    tail = records(2, Head(sequence=2, hash=fork[1].hash), words="forged")
    with pytest.raises(Conflict, match="another record 2"):
        log.append("acme", tail)
    assert log.read("acme") == list(written)


def test_a_record_that_is_left_out_is_a_conflict_and_nothing_is_written(log: AuditLog) -> None:
    written = records(6)
    log.append("acme", written[:2])
    with pytest.raises(Conflict, match="record 3 of the audit log is missing"):
        log.append("acme", written[3:])
    with pytest.raises(Conflict, match="record 4 is missing"):
        log.append("acme", (written[2], written[4]))
    assert log.head("acme").sequence == 2


def test_a_record_whose_content_was_changed_on_its_way_is_a_conflict(log: AuditLog) -> None:
    (record,) = records(1)
    with pytest.raises(Conflict, match="content does not have its hash"):
        log.append("acme", (record.model_copy(update={"data": {"reservation": "run/9"}}),))
    with pytest.raises(Conflict, match="follows no other"):
        log.append("acme", records(1, Head(sequence=0, hash="a" * 64)))
    assert log.head("acme") == Head()


def test_writers_at_the_same_time_leave_one_whole_chain(log: AuditLog) -> None:
    written = records(40)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: log.append("acme", written), range(8)))
    assert log.read("acme") == list(written)


def test_what_somebody_changed_or_took_out_behind_the_log_s_back_is_found(
    engine: Engine, log: AuditLog
) -> None:
    written = records(4)
    log.append("acme", written)
    forged = written[1].model_copy(update={"data": {"reservation": "run/9"}})
    with engine.begin() as connection:
        connection.execute(update(audit).where(audit.c.sequence == 2).values(line=forged.line()))
    assert broken_at(log.read("acme")) == (2, "its content does not have its hash")
    with engine.begin() as connection:
        connection.execute(delete(audit).where(audit.c.sequence == 2))
    assert broken_at(log.read("acme")) == (3, "record 2 is missing")
    with engine.begin() as connection:
        connection.execute(update(audit).where(audit.c.sequence == 3).values(line="{}"))
    with pytest.raises(Conflict, match="row 3 of the audit log is no record"):
        log.read("acme")


def test_a_policy_is_kept_by_its_digest_for_each_organisation(log: AuditLog) -> None:
    kept = policy()
    for _ in range(2):
        log.keep_snapshot("acme", kept)
    log.keep_snapshot("acme", NO_POLICY)
    assert log.snapshot("acme", kept.digest) == kept
    assert log.snapshot("acme", NO_POLICY.digest) == NO_POLICY
    with pytest.raises(NotFound, match="is kept for globex"):
        log.snapshot("globex", kept.digest)


def test_a_kept_policy_that_somebody_changed_is_not_taken_for_the_old_one(
    engine: Engine, log: AuditLog
) -> None:
    kept = policy()
    log.keep_snapshot("acme", kept)
    for content in (policy(kill_switch=True).model_dump_json(), "{}"):
        with engine.begin() as connection:
            connection.execute(update(policy_snapshots).values(content=content))
        with pytest.raises(Conflict, match="somebody changed it"):
            log.snapshot("acme", kept.digest)


def test_a_batch_is_kept_with_its_policies_and_again_without_harm(log: AuditLog) -> None:
    batch = AuditBatch(organisation="acme", records=records(3), snapshots=(policy(),))
    for _ in range(2):
        AuditActivities(log).append(batch)
    assert AuditActivities(log).end("acme") == batch.records[-1].as_head()
    assert log.snapshot("acme", policy().digest) == policy()


def test_a_store_that_does_not_answer_is_unavailable(engine: Engine, log: AuditLog) -> None:
    assert log.health().ok
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE audit"))
        connection.execute(text("DROP TABLE policy_snapshots"))
    for ask in (
        lambda: log.append("acme", records(1)),
        lambda: log.read("acme"),
        lambda: log.head("acme"),
        lambda: log.keep_snapshot("acme", NO_POLICY),
        lambda: log.snapshot("acme", "a"),
    ):
        with pytest.raises(Unavailable, match="the store did not answer"):
            ask()
    assert not log.health().ok
    metadata.create_all(engine)
