"""A run's side of the policy ledger: what it asks there, and what it still owes."""

from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.ledger import LedgerActivities
    from leverframe.model.outcomes import Outcome
    from policies.decision import Allowed, Decision, Finding, ReserveRequest
    from policies.explain import effect_words
    from policies.reservations import OPEN, Settlement, Withdrawn
    from workflows.queues import HANDS

PARKED_FIRST = timedelta(seconds=5)
PARKED_NEXT = timedelta(minutes=1)
PARKED_LONG = timedelta(hours=1)
PARKED_LATER = timedelta(minutes=5)
PARKED_AT_MOST = timedelta(hours=24)


def parked_wait(parked: timedelta) -> timedelta | None:
    """How long until a run that has been parked for so long asks again; None: it gives up.

    Soon at first, then ever later up to a minute, and after an hour rarely: each time costs history.
    """
    if parked >= PARKED_AT_MOST:
        return None
    return PARKED_LATER if parked >= PARKED_LONG else min(max(parked, PARKED_FIRST), PARKED_NEXT)


@dataclass
class RunLedger:
    """The run's reservations at the policy ledger, and which of them it still has to settle."""

    unsettled: list[str] = field(default_factory=list)
    committed: set[str] = field(default_factory=set)

    async def reserve(self, request: ReserveRequest) -> Decision:
        """Ask for one effect; the same request again gets the same answer."""
        if request.reservation not in self.unsettled:
            # Before the answer: a grant whose answer gets lost keeps its place all the same.
            self.unsettled.append(request.reservation)
        decision = await workflow.execute_activity_method(
            LedgerActivities.reserve,
            request,
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=20),
            schedule_to_close_timeout=timedelta(minutes=30),
            summary=f"ask policy to {effect_words(request.effect)}",
        )
        if not isinstance(decision, Allowed):
            self.unsettled.remove(request.reservation)
        return decision

    async def commit(self, reservation: str) -> tuple[Finding, ...]:
        """Ask the last time; findings mean that the effect must not happen."""
        answer = await workflow.execute_activity_method(
            LedgerActivities.commit,
            reservation,
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=20),
            schedule_to_close_timeout=timedelta(minutes=10),
            summary="ask policy once more, right before the effect",
        )
        if isinstance(answer, Withdrawn):
            return answer.findings  # one that had lapsed keeps its place until it is settled
        self.committed.add(reservation)
        return ()

    async def settle(self, reservation: str, outcome: Outcome | None) -> None:
        """Say how an effect ended. What can't be said is logged: the ledger keeps the place, safely.

        With `outcome` None the run does not know the end of what it committed: that keeps its place until the
        reconciler has looked. What was never committed did not happen, whatever `outcome` says: it is given
        back, or has expired.

        Raises ActivityError when the run is cancelled meanwhile; the reservation is still to be settled.
        """
        if reservation not in self.unsettled:
            return
        self.unsettled.remove(reservation)
        try:
            if reservation not in self.committed:
                standing = await workflow.execute_activity_method(
                    LedgerActivities.release,
                    reservation,
                    task_queue=HANDS,
                    start_to_close_timeout=timedelta(seconds=20),
                    schedule_to_close_timeout=timedelta(days=1),
                    summary="give an unused reservation back",
                )
                if standing.phase not in OPEN:
                    return
                # It had lapsed, or its commit's answer got lost: no effect, nothing for a breaker to count.
                outcome = Outcome.EXPIRED
            if outcome is None:
                workflow.logger.warning("%s is left to the reconciler: its end is not known", reservation)
                return
            await workflow.execute_activity_method(
                LedgerActivities.settle,
                # No lever spends anything that its estimate does not have: the estimate is the actual cost.
                Settlement(reservation=reservation, outcome=outcome),
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=20),
                schedule_to_close_timeout=timedelta(days=1),
                summary=f"tell the ledger: {outcome.value}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                self.unsettled.append(reservation)
                raise
            workflow.logger.warning("could not settle %s: %s", reservation, error.cause)
