"""When a run is due: which reports arrived, and nothing of what they say.

A suite of 100,000 tests does not fit in a workflow. Its state by test lies in the store; the run's facts are
gathered by an activity that folds the reports in, each once, and reads what has changed.
"""

from datetime import datetime, timedelta

from pydantic import Field

from agents.contract import Due, Nothing, Wait
from leverframe.model.frozen import Frozen, Instant
from leverframe.model.proposals import Measurement
from leverframe.model.signals import ReportArrived

MOST_PENDING = 500
"""Reports that are named; more are only counted, since a run folds in whatever the store has."""
SETTLE = timedelta(minutes=10)
"""From the first report that waits until a run: reports of one hour become one change."""
AFTERWARDS = timedelta(hours=1)
"""From the end of a run until the next."""


class SuiteWatch(Frozen):
    """One repository's suite, as the watch remembers it."""

    pending: tuple[str, ...] = Field(default=(), max_length=MOST_PENDING)
    more: int = Field(default=0, ge=0)
    taken: tuple[str, ...] = Field(default=(), max_length=MOST_PENDING)
    """Those that the run was started for: what arrives during it waits for the next one."""
    first_at: Instant | None = None
    not_before: Instant | None = None


def observe(state: SuiteWatch, signal: ReportArrived) -> SuiteWatch:
    """Note the report. Bounded however many come; one that is pending already changes nothing."""
    if signal.id in state.pending:
        return state
    full = len(state.pending) >= MOST_PENDING
    return state.model_copy(
        update={
            "pending": state.pending if full else (*state.pending, signal.id),
            "more": state.more + full,
            "first_at": state.first_at or signal.received_at,
        }
    )


def decide(state: SuiteWatch, now: datetime) -> tuple[SuiteWatch, Due | Wait | Nothing]:
    """Due once the first report has waited long enough, and the last run is long enough ago."""
    if state.first_at is None:
        return state, Nothing()
    until = max(state.first_at + SETTLE, state.not_before or state.first_at)
    if now < until:
        return state, Wait(until=until)
    count = len(state.pending) + state.more
    reports = Measurement(name="test reports that arrived", observed=count, threshold=1, unit="reports")
    taken = state.taken or state.pending
    return state.model_copy(update={"taken": taken}), Due(
        reason=f"{count:,} test reports arrived since the last look",
        evidence=(reports,),
        since=state.first_at,
    )


def settled(state: SuiteWatch, now: datetime) -> SuiteWatch:
    """The run has folded in all that the store had when it began; what arrived since waits for the next."""
    left = tuple(report for report in state.pending if report not in set(state.taken))
    return SuiteWatch(pending=left, first_at=now if left or state.more else None, not_before=now + AFTERWARDS)
