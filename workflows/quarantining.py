"""The lever that changes a repository's quarantine file: opened, tested and landed like any other change.

Nothing of it is released, so that there is no canary to wait for. It worked when the landed file names the
tests that were to enter and none that was to leave, and entries that were to change have changed.
"""

from datetime import timedelta
from typing import Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.pulse import heartbeat_timeout
    from activities.quarantining import Ended, QuarantineActivities, QuarantineRequest
    from leverframe.model.changes import Change, Priority
    from leverframe.model.outcomes import Outcome
    from leverframe.model.proposals import ChangeQuarantine
    from policies.decision import Reservation
    from policies.explain import effect_words
    from workflows.levers import Levers
    from workflows.pulled import Pulled, not_landed
    from workflows.queues import HANDS


async def change_quarantine(
    levers: Levers, reservation: Reservation, effect: ChangeQuarantine, timings: dict[str, int]
) -> Pulled:
    """Open the change, ride the train, and see the file on the target."""
    change = await open_change(reservation, effect)
    opened = workflow.now()
    timings["detected_to_opened"] = levers.since_detected(opened)
    ride = await levers.rider.carry(change, Priority.NORMAL)
    if ride.landed_as is None:
        found = await levers.rider.looked_up(change, "it did not land", timedelta(minutes=10))
        if found is not None and found.state == "closed":
            await keep(change.id, effect, "rejected")
            return Pulled(
                result="failed",
                detail=f"a person closed {change.id}: {_not_again(effect)}",
                outcome=Outcome.REJECTED,
                change=change.id,
            )
        return not_landed(change, ride)
    landed = ride.landed_as
    timings["detected_to_landed"] = levers.since_detected(workflow.now())
    await keep(change.id, effect, "over")
    said = f"{change.id} landed as {landed[:12]}"
    if not await holds(effect, landed):
        detail = f"{said}, but its quarantine file does not name exactly these tests"
        return Pulled(result="failed", detail=detail, outcome=Outcome.FAILED, change=change.id)
    levers.took_effect(effect, timings, opened, workflow.now())
    return Pulled(
        result="done",
        detail=f"{said}, and its quarantine file says so",
        outcome=Outcome.LANDED,
        change=change.id,
        proven=True,
    )


async def about_to_ask(reservation: str, effect: ChangeQuarantine) -> None:
    """People are asked once whether a quarantine goes on: remembered before they are, whatever comes then."""
    if effect.renewals:
        await keep(reservation, effect, "asked")


async def turned_down(reservation: str, effect: ChangeQuarantine) -> None:
    """People said no before anything was opened: none of these tests is proposed again."""
    await keep(reservation, effect, "rejected")


async def open_change(reservation: Reservation, effect: ChangeQuarantine) -> Change:
    """The merge request that changes the file as it is reserved."""
    change: Change = await workflow.execute_activity_method(
        QuarantineActivities.change,
        args=[reservation, QuarantineRequest(at=workflow.now())],
        task_queue=HANDS,
        start_to_close_timeout=timedelta(minutes=2),
        schedule_to_close_timeout=timedelta(minutes=30),
        heartbeat_timeout=heartbeat_timeout(QuarantineActivities.change),
        summary=effect_words(effect),
    )
    return change


async def holds(effect: ChangeQuarantine, landed: str) -> bool:
    """Whether the commit's file names every test that entered, and none that left."""
    held: bool = await workflow.execute_activity_method(
        QuarantineActivities.holds,
        args=[effect.repository, landed, effect],
        task_queue=HANDS,
        start_to_close_timeout=timedelta(minutes=2),
        schedule_to_close_timeout=timedelta(minutes=30),
        heartbeat_timeout=heartbeat_timeout(QuarantineActivities.holds),
        summary=f"read the quarantine file of {landed[:12]}",
    )
    return held


async def keep(change: str, effect: ChangeQuarantine, state: Literal["over", "rejected", "asked"]) -> None:
    """Have it remembered how far a change came."""
    await workflow.execute_activity_method(
        QuarantineActivities.ended,
        Ended(repository=effect.repository, change=change, state=state, effect=effect, at=workflow.now()),
        task_queue=HANDS,
        start_to_close_timeout=timedelta(seconds=30),
        schedule_to_close_timeout=timedelta(hours=1),
        summary=f"remember that {change} is {state}",
    )


def _not_again(effect: ChangeQuarantine) -> str:
    if effect.renewals:
        return "nobody is asked again, and the tests leave when they expire"
    return "none of its tests is proposed again"
