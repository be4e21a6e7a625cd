"""The audit log in the store: one row a record, exactly as the ledger wrote it, and policies by digest.

The store checks the chain as it grows, so that neither a second writer nor a lost record goes unnoticed.
"""

from collections.abc import Sequence

from pydantic import ValidationError
from sqlalchemy import Engine, select

from activities.backends.store_sql import answering, insert, reading
from activities.backends.store_tables import audit, policy_snapshots
from activities.ports import Backend, Health
from leverframe.model.errors import Conflict, NotFound, Unavailable
from policies.audit import BEGINNING, Head, Record, broken_at
from policies.documents import PolicySnapshot


class StoreAudit:
    """The audit logs of all organisations. Raises Unavailable when the store does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(self, organisation: str, records: Sequence[Record]) -> None:
        """Keep these records, all or none. What is kept already is compared, not written again.

        Raises:
            Conflict: another record has the same number, one is left out, or the chain is broken.
        """
        if not records:
            return
        before = Head(sequence=records[0].sequence - 1, hash=records[0].previous)
        broken = broken_at(records, before)
        if broken is not None:
            raise Conflict(f"record {broken[0]} can't be appended to the audit log: {broken[1]}")
        rows = [
            {
                "organisation": organisation,
                "sequence": record.sequence,
                "hash": record.hash,
                "line": record.line(),
            }
            for record in records
        ]
        kept = select(audit.c.sequence, audit.c.hash).where(
            audit.c.organisation == organisation,
            audit.c.sequence.between(before.sequence, records[-1].sequence),
        )
        with answering(), self._engine.begin() as connection:
            connection.execute(insert(connection, audit).on_conflict_do_nothing(), rows)
            hashes = {row.sequence: row.hash for row in connection.execute(kept)}
            _follow(hashes, before, records)

    def read(self, organisation: str, *, after: int = 0, limit: int = 1000) -> list[Record]:
        """The records that follow, oldest first. Raises Conflict for a row that is no record any more."""
        query = (
            select(audit.c.sequence, audit.c.line)
            .where(audit.c.organisation == organisation, audit.c.sequence > after)
            .order_by(audit.c.sequence)
            .limit(limit)
        )
        with answering(), reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [_record(row.sequence, row.line) for row in rows]

    def head(self, organisation: str) -> Head:
        """Where the log ends; its beginning when nothing is kept."""
        query = (
            select(audit.c.sequence, audit.c.hash)
            .where(audit.c.organisation == organisation)
            .order_by(audit.c.sequence.desc())
            .limit(1)
        )
        with answering(), reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return Head() if row is None else Head(sequence=row.sequence, hash=row.hash)

    def keep_snapshot(self, organisation: str, snapshot: PolicySnapshot) -> None:
        """Keep a policy by its digest. One that is kept already stays as it is."""
        row = insert(self._engine, policy_snapshots).values(
            organisation=organisation, digest=snapshot.digest, content=snapshot.model_dump_json()
        )
        with answering(), self._engine.begin() as connection:
            connection.execute(row.on_conflict_do_nothing())

    def snapshot(self, organisation: str, policy_digest: str) -> PolicySnapshot:
        """Raises NotFound, and Conflict for a policy that does not have its digest any more."""
        query = select(policy_snapshots.c.content).where(
            policy_snapshots.c.organisation == organisation, policy_snapshots.c.digest == policy_digest
        )
        with answering(), reading(self._engine) as connection:
            content = connection.execute(query).scalar_one_or_none()
        if content is None:
            raise NotFound(f"no policy {policy_digest} is kept for {organisation}")
        return _snapshot(policy_digest, content)

    def health(self) -> Health:
        """Whether the store answers."""
        try:
            with answering(), reading(self._engine) as connection:
                organisations = connection.execute(select(audit.c.organisation).distinct()).all()
        except Unavailable as error:
            return Health(
                ok=False,
                detail=str(error),
                remedy="Check store.url and that the store runs: without it the ledger soon grants nothing.",
            )
        return Health(ok=True, detail=f"audit logs of {len(organisations)} organisations")


def _follow(hashes: dict[int, str], before: Head, records: Sequence[Record]) -> None:
    """Whether what is kept now are these records after the one they name. Raises Conflict."""
    if before.sequence == 0 and before.hash != BEGINNING:
        raise Conflict("the first record of an audit log follows no other")
    for sequence, expected in (
        (before.sequence, before.hash),
        *((record.sequence, record.hash) for record in records),
    ):
        found = hashes.get(sequence, BEGINNING if sequence == 0 else None)
        if found is None:
            raise Conflict(f"record {sequence} of the audit log is missing: nothing can follow it")
        if found != expected:
            raise Conflict(f"the audit log has another record {sequence}: two ledgers write to it")


def _record(sequence: int, line: str) -> Record:
    try:
        return Record.model_validate_json(line)
    except ValidationError as error:
        raise Conflict(f"row {sequence} of the audit log is no record: somebody changed it") from error


def _snapshot(policy_digest: str, content: str) -> PolicySnapshot:
    try:
        found = PolicySnapshot.model_validate_json(content)
    except ValidationError as error:
        raise Conflict(f"the policy kept as {policy_digest} is none: somebody changed it") from error
    if PolicySnapshot.of(found.documents, found.people).digest != policy_digest:
        raise Conflict(f"the policy kept as {policy_digest} has another digest: somebody changed it")
    return found


BACKEND = Backend(kind="audit", name="store", scopes=(), build=StoreAudit)
