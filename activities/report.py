"""The weekly report: flaky tests, and what each agent was allowed, how it turned out, and which level that
suggests.

Runs on the hands queue. It suggests; only a person and a landed policy file change a level.
"""

from collections.abc import Callable, Iterator, Sequence
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
    """The report of one organisation, from its audit log and what is known of its tests."""

    def __init__(
        self,
        audit: AuditLog,
        organisation: str,
        flaky_tests: Callable[[datetime], Sequence[str]] = lambda now: (),
    ) -> None:
        """`flaky_tests`: paragraphs about them, such as `FlakyDigest.sections`."""
        self._audit = audit
        self._organisation = organisation
        self._flaky_tests = flaky_tests

    @activity.defn(name="weekly_report")
    @typed_failures
    @with_pulse
    def weekly(self) -> str:
        """The report as plain text; empty when no agent asked for anything and no test is flaky."""
        now = datetime.now(UTC)
        found = report(self._records(), since=now - SPAN, now=now)
        paragraphs = list(self._flaky_tests(now))
        for agent in found.agents:
            facts = [f"{name}: {value}" for name, value in agent.fields().items() if value != ""]
            paragraphs.append("\n".join([*facts, *(f"→ {suggestion}" for suggestion in agent.suggestions)]))
        return "\n\n".join(paragraphs)

    def _records(self) -> Iterator[Record]:
        after = 0
        while page := self._audit.read(self._organisation, after=after, limit=PAGE):
            yield from page
            after = page[-1].sequence
