"""The audit log as the ledger reaches it: what it decided goes out in order and is kept for good."""

from temporalio import activity

from activities.failures import typed_failures
from activities.ports import AuditLog
from leverframe.model.frozen import Frozen
from policies.audit import Head, Record
from policies.documents import PolicySnapshot


class AuditBatch(Frozen):
    """What the ledger wants kept."""

    organisation: str
    records: tuple[Record, ...] = ()
    """In order, without a gap."""
    snapshots: tuple[PolicySnapshot, ...] = ()
    """The policies that came into force."""


class AuditActivities:
    """Runs on the hands queue. Appending again what is kept already changes nothing."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    @activity.defn(name="append_audit")
    @typed_failures
    def append(self, batch: AuditBatch) -> None:
        """Keep the policies first, so that no record names one that nobody has."""
        for snapshot in batch.snapshots:
            self._audit.keep_snapshot(batch.organisation, snapshot)
        self._audit.append(batch.organisation, batch.records)

    @activity.defn(name="end_of_audit")
    @typed_failures
    def end(self, organisation: str) -> Head:
        """Where the organisation's log ends: a ledger that has written nothing goes on there."""
        return self._audit.head(organisation)
