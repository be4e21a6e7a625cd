"""What the reconciler works off: reservations whose end nobody will tell, and shadows nobody has scored.

Runs on the hands queue. Reads only: the workflow looks at each in turn and settles what is certain.
"""

from temporalio import activity

from activities.failures import as_application_error
from activities.ledger import LedgerDoor
from activities.look import Look, LookActivities
from leverframe.model.errors import LeverframeError
from leverframe.model.frozen import Frozen, Instant
from policies.reservations import Entry, Phase

AT_ONCE = 20
"""So many are worked off in one pass."""

MOST_RUNS = 500
"""So many runs are asked for in one pass whether they still go on."""


class Stranded(Frozen):
    """A reservation that holds its place although no run will settle it."""

    reservation: str
    committed: bool
    """False: it lapsed before its commit, so the effect should never have begun."""
    look: Look


class Unscored(Frozen):
    """What an agent in observe mode would have done, long enough ago."""

    id: str
    look: Look


class ReconcileActivities:
    """What is left to find out about one organisation's reservations."""

    def __init__(self, ledger: LedgerDoor, look: LookActivities) -> None:
        self._ledger = ledger
        self._look = look

    @activity.defn(name="stranded")
    async def stranded(self, not_now: list[str]) -> list[Stranded]:
        """Lapsed reservations, and committed ones whose run has closed, oldest first, without `not_now`.

        Raises:
            ApplicationError: `Unavailable` (asked again) when the ledger did not answer.
        """
        try:
            entries = await self._ledger.open_entries()
        except LeverframeError as error:
            raise as_application_error(error) from error
        found: list[Stranded] = []
        asked = 0
        for entry in entries:
            if len(found) == AT_ONCE or asked == MOST_RUNS:
                break
            if entry.id in not_now or entry.phase is Phase.RESERVED:
                continue
            if entry.phase is Phase.COMMITTED:
                asked += 1
                if await self._look.run_state(_run(entry)) != "closed":
                    continue
            found.append(_stranded(entry))
        return found

    @activity.defn(name="unscored")
    async def unscored(self, before: Instant, not_now: list[str]) -> list[Unscored]:
        """What was observed before that time and has no score yet, oldest first, without `not_now`.

        Raises:
            ApplicationError: `Unavailable` (asked again) when the ledger did not answer.
        """
        try:
            shadows = await self._ledger.unscored(before)
        except LeverframeError as error:
            raise as_application_error(error) from error
        due = [shadow for shadow in shadows if shadow.id not in not_now]
        return [
            Unscored(
                id=shadow.id,
                look=Look(
                    repository=shadow.intent.repository, effect=shadow.intent.effect(), since=shadow.at
                ),
            )
            for shadow in due[:AT_ONCE]
        ]


def _stranded(entry: Entry) -> Stranded:
    return Stranded(
        reservation=entry.id,
        committed=entry.phase is Phase.COMMITTED,
        look=Look(
            repository=entry.intent.repository,
            effect=entry.intent.effect(),
            reservation=entry.id,
            since=entry.reserved_at,
        ),
    )


def _run(entry: Entry) -> str:
    """The run that holds it: a reservation's id is `<run>/<step>`."""
    return entry.id.rpartition("/")[0] or entry.id
