"""The weekly report: what each agent was allowed, how it turned out, and which level that suggests.

Runs on the hands queue. It suggests; only a person and a landed policy file change a level.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.failures import typed_failures
from activities.ports import AuditLog
from activities.pulse import with_pulse
from policies.audit import Record
from policies.report import report

SPAN = timedelta(days=30)
"""A level is earned over a month, told week by week."""
PAGE = 1000


class ReportActivities:
    """The report of one organisation, from its audit log."""

    def __init__(self, audit: AuditLog, organisation: str) -> None:
        self._audit = audit
        self._organisation = organisation

    @activity.defn(name="weekly_report")
    @typed_failures
    @with_pulse
    def weekly(self) -> str:
        """The report as plain text; empty when no agent asked for anything."""
        now = datetime.now(UTC)
        found = report(self._records(), since=now - SPAN, now=now)
        paragraphs = []
        for agent in found.agents:
            facts = [f"{name}: {value}" for name, value in agent.fields().items() if value != ""]
            paragraphs.append("\n".join([*facts, *(f"→ {suggestion}" for suggestion in agent.suggestions)]))
        return "\n\n".join(paragraphs)

    def _records(self) -> Iterator[Record]:
        after = 0
        while page := self._audit.read(self._organisation, after=after, limit=PAGE):
            yield from page
            after = page[-1].sequence
