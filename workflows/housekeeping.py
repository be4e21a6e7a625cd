"""Housekeeping: one entity per organisation that does what nobody asks for, over and over.

It reloads the policy, settles reservations that no run can settle, scores agents in observe mode, has reports
of tests fetched that no webhook told of, folds them in, has tests executed again and forgets old results, and
gives people their digest and their weekly report. A chore that fails is noted and tried again; it stops no
other.
"""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from pydantic import Field
from temporalio import workflow
from temporalio.common import RetryPolicy, VersioningBehavior
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.chat import ChatActivities
    from activities.executing import ExecutionActivities
    from activities.ledger import LedgerActivities
    from activities.look import Look, LookActivities, Sighted
    from activities.missed_reports import LookedForRuns, MissedReports
    from activities.policies import PolicyActivities
    from activities.pulse import MISSED_AFTER
    from activities.reconcile import ReconcileActivities, Stranded, Unscored
    from activities.report import ReportActivities
    from activities.test_results import ResultActivities
    from leverframe.model.frozen import Frozen, Instant, Slug
    from leverframe.model.outcomes import Outcome
    from leverframe.model.untrusted import Untrusted
    from policies.reservations import RefusedPolicy, SettledBy, Settlement, ShadowScore
    from workflows.expiring import told_of_expired, woken_before_expiry
    from workflows.timetable import Chore, Done, Rhythm, next_time

HOUSEKEEPING = "HousekeepingWorkflow"
RECONCILER = "reconciler"

RENEW_AT = 500
"""Events of history after which the workflow continues in a fresh run."""

AT_ONCE = (Chore.RELOAD, Chore.RECONCILE, Chore.SCORE)
"""What `tidy` does at once. The digest and the report keep their hours: people count on them."""

LONGEST_PATIENCE = timedelta(hours=1)
"""A reservation that the world says nothing about is looked at after 1, 2, 4 … minutes, then every hour."""

SCORED_AFTER = timedelta(days=1)
"""People get this long to do what an agent in observe mode would have done."""

UNSCORABLE_FOR = timedelta(days=1)
"""An observation that the world says nothing about lets others go first for so long."""

CERTAIN = 2
"""Looks that must say no: what a dying run had begun can still arrive after the first."""

_TRIES = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=3)
"""The chore comes again soon anyway."""
_CHAT_TRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=8)
"""Each chat gets its turn."""
_TIMEOUT = timedelta(minutes=1)
_RESULTS_TIMEOUT = timedelta(minutes=10)
"""Folding ends by itself after seconds; what is forgotten after a change of settings may be much."""


class Looked(Frozen):
    """How often the world was asked about one reservation, in vain."""

    times: int
    again_at: Instant


class HousekeepingStart(Frozen):
    """Input of the workflow, and what it carries into its next run."""

    organisation: Slug
    rhythm: Rhythm = Rhythm()
    done: dict[Chore, Done] = Field(default_factory=dict)
    looked: dict[str, Looked] = Field(default_factory=dict)
    """By reservation."""
    unscorable: dict[str, Instant] = Field(default_factory=dict)
    """By observation, when the world is asked again what people did."""
    told: str = ""
    """The refused policy that people have been told of."""
    looked_for_runs: LookedForRuns = LookedForRuns()


class Tidied(Frozen):
    """Where every chore stands."""

    done: dict[Chore, Done]


class _Refused(Exception):
    """A chore was done, and what it found is for people."""


@workflow.defn(name=HOUSEKEEPING, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class HousekeepingWorkflow:
    """Does each chore when it is due, one at a time."""

    @workflow.init
    def __init__(self, start: HousekeepingStart) -> None:
        self._organisation = start.organisation
        self._rhythm = start.rhythm
        self._done = dict(start.done)
        self._looked = dict(start.looked)
        self._unscorable = dict(start.unscorable)
        self._told = start.told
        self._looked_for_runs = start.looked_for_runs
        self._asked = 0
        self._answered = 0
        self._chores = tuple(Chore)

    @workflow.run
    async def run(self, start: HousekeepingStart) -> None:
        """Work until history is long enough to start afresh."""
        if not workflow.patched("test-results"):
            self._chores = tuple(chore for chore in Chore if chore not in (Chore.RESULTS, Chore.FETCH))
        elif not workflow.patched("missed-reports"):
            self._chores = tuple(chore for chore in Chore if chore is not Chore.FETCH)
        while not (self._renewal_due() and workflow.all_handlers_finished()):
            asked = self._asked
            for chore in self._chores:
                if self._is_due(chore) or (asked > self._answered and chore in AT_ONCE):
                    await self._do(chore)
            self._answered = asked
            await self._rest()
        workflow.continue_as_new(
            HousekeepingStart(
                organisation=self._organisation,
                rhythm=self._rhythm,
                done=self._done,
                looked=self._looked,
                unscorable=self._unscorable,
                told=self._told,
                looked_for_runs=self._looked_for_runs,
            )
        )

    @workflow.update(description="Reload the policy and look after reservations now, then keep this rhythm.")
    async def tidy(self, rhythm: Rhythm | None = None) -> Tidied:
        """Answers when it is done."""
        if rhythm is not None:
            self._rhythm = rhythm
        self._asked += 1
        mine = self._asked
        await workflow.wait_condition(lambda: self._answered >= mine)
        return self.standing()

    @workflow.query(description="When each chore was last done, and what came of it.")
    def standing(self) -> Tidied:
        return Tidied(done=dict(self._done))

    def _is_due(self, chore: Chore) -> bool:
        now = workflow.now()
        return next_time(chore, self._rhythm, self._done.get(chore), now) <= now

    async def _rest(self) -> None:
        """Until the next chore is due, or somebody asks, or history is long enough."""
        now = workflow.now()
        due = min(next_time(chore, self._rhythm, self._done.get(chore), now) for chore in self._chores)
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._asked > self._answered or self._renewal_due(),
                timeout=max(due - now, timedelta(0)),
                timeout_summary="the next chore",
            )

    def _renewal_due(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() >= RENEW_AT or info.is_continue_as_new_suggested()

    async def _do(self, chore: Chore) -> None:
        chores: dict[Chore, Callable[[], Awaitable[str]]] = {
            Chore.RELOAD: self._reload,
            Chore.RECONCILE: self._reconcile,
            Chore.SCORE: self._score,
            Chore.FETCH: self._fetch,
            Chore.RESULTS: self._results,
            Chore.DIGEST: self._digest,
            Chore.REPORT: self._report,
        }
        try:
            said, failed = await chores[chore](), False
        except _Refused as refusal:
            said, failed = str(refusal), True
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            said, failed = str(error.cause or error), True
        self._done[chore] = Done(at=workflow.now(), said=said, failed=failed)
        workflow.set_current_details(self._details())

    async def _reload(self) -> str:
        """Put what has changed in force. When it can't be, people are told once. Raises _Refused."""
        reloaded = await workflow.execute_activity_method(
            PolicyActivities.reload, start_to_close_timeout=_TIMEOUT, retry_policy=_TRIES
        )
        if reloaded.refused is None:
            self._told = ""
            word = "now in force" if reloaded.changed else "in force"
            return f"policy {reloaded.policy_digest[:12]} is {word}"
        if self._told != reloaded.alert:
            await self._tell(reloaded.alert, _alarm(reloaded.refused, reloaded.policy_digest))
            self._told = reloaded.alert
        problems = "; ".join(reloaded.refused.problems)
        raise _Refused(f"{reloaded.policy_digest[:12]} stays in force: {problems}")

    async def _reconcile(self) -> str:
        """Look at what no run will settle, and settle what is certain."""
        now = workflow.now()
        asked = self._asked > self._answered
        not_now = [] if asked else [name for name, tried in self._looked.items() if tried.again_at > now]
        stranded: list[Stranded] = await workflow.execute_activity_method(
            ReconcileActivities.stranded, not_now, start_to_close_timeout=_TIMEOUT, retry_policy=_TRIES
        )
        settled = [each.reservation for each in stranded if await self._settle(each)]
        # What is no longer stranded needs no memory; what was left out of this pass keeps its own.
        kept = {*not_now, *(each.reservation for each in stranded)}
        self._looked = {name: tried for name, tried in self._looked.items() if name in kept}
        waiting = len(self._looked)
        return (
            f"{len(settled)} settled by looking, {waiting} not certain yet"
            if stranded
            else "all accounted for"
        )

    async def _settle(self, stranded: Stranded) -> bool:
        """Whether the world says how it ended, and the ledger has heard."""
        name = stranded.reservation
        times = self._looked[name].times + 1 if name in self._looked else 1
        sighted = await self._look(stranded.look)
        outcome = settled_as(sighted, committed=stranded.committed, times=times)
        if outcome is not None and await self._say(name, outcome, sighted.detail):
            self._looked.pop(name, None)
            return True
        again = min(timedelta(minutes=2 ** min(times - 1, 10)), LONGEST_PATIENCE)
        self._looked[name] = Looked(times=times, again_at=workflow.now() + again)
        return False

    async def _say(self, reservation: str, outcome: Outcome, seen: str) -> bool:
        """Tell the ledger. One that can't be told is no reason to leave the others."""
        settled_by = SettledBy(by=RECONCILER, reason=seen[:500])
        try:
            await workflow.execute_activity_method(
                LedgerActivities.settle,
                Settlement(reservation=reservation, outcome=outcome, settled_by=settled_by),
                start_to_close_timeout=_TIMEOUT,
                retry_policy=_TRIES,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("%s can't be settled: %s", reservation, error.cause)
            return False
        return True

    async def _score(self) -> str:
        """Did people do what observing agents would have done? What nobody can tell blocks no other."""
        now = workflow.now()
        self._unscorable = {name: again for name, again in self._unscorable.items() if again > now}
        unscored: list[Unscored] = await workflow.execute_activity_method(
            ReconcileActivities.unscored,
            args=[now - SCORED_AFTER, list(self._unscorable)],
            start_to_close_timeout=_TIMEOUT,
            retry_policy=_TRIES,
        )
        scored = 0
        for each in unscored:
            sighted = await self._look(each.look)
            if sighted.happened == "unknown":
                self._unscorable[each.id] = now + UNSCORABLE_FOR
                continue
            scored += 1
            await workflow.execute_activity_method(
                LedgerActivities.score,
                ShadowScore(id=each.id, matched=sighted.happened == "yes"),
                start_to_close_timeout=_TIMEOUT,
                retry_policy=_TRIES,
            )
        return f"{scored} scored" if unscored else "nothing to score"

    async def _look(self, look: Look) -> Sighted:
        """What the world says; a part of it that does not answer says nothing."""
        try:
            return await workflow.execute_activity_method(
                LookActivities.look,
                look,
                start_to_close_timeout=_TIMEOUT,
                heartbeat_timeout=MISSED_AFTER,
                retry_policy=_TRIES,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return Sighted(happened="unknown", by_reservation=False, outcome=None, detail=str(error.cause))

    async def _fetch(self) -> str:
        """What ended since the last time that the forge could say it. Raises _Refused."""
        now = workflow.now()
        begun = await workflow.execute_activity_method(
            MissedReports.begin_fetches,
            self._looked_for_runs,
            start_to_close_timeout=_RESULTS_TIMEOUT,
            heartbeat_timeout=MISSED_AFTER,
            retry_policy=_TRIES,
        )
        self._looked_for_runs = LookedForRuns(at=self._looked_for_runs.at | dict.fromkeys(begun.looked, now))
        said = f"{begun.fetches:,} runs are fetched of which no webhook told"
        if begun.trouble:
            raise _Refused(f"{said}; {begun.trouble}")
        return said

    async def _results(self) -> str:
        said = await workflow.execute_activity_method(
            ResultActivities.tend_results,
            start_to_close_timeout=_RESULTS_TIMEOUT,
            heartbeat_timeout=MISSED_AFTER,
            retry_policy=_TRIES,
        )
        if not workflow.patched("executions"):
            return said
        begun = await workflow.execute_activity_method(
            ExecutionActivities.begin_executions, start_to_close_timeout=_TIMEOUT, retry_policy=_TRIES
        )
        return f"{said}; tests are executed again in {begun:,} repositories" if begun else said

    async def _digest(self) -> str:
        shown: int = await workflow.execute_activity_method(
            ChatActivities.digest,
            workflow.now().date().isoformat(),
            start_to_close_timeout=_TIMEOUT,
            retry_policy=_CHAT_TRIES,
        )
        said = f"{shown} questions in today's digest"
        if workflow.patched("expired-quarantines"):
            said += await told_of_expired(self._tell)
        if workflow.patched("expiring-quarantines"):
            said += await woken_before_expiry()
        return said

    async def _report(self) -> str:
        year, week, _ = workflow.now().isocalendar()
        text = await workflow.execute_activity_method(
            ReportActivities.weekly,
            start_to_close_timeout=5 * _TIMEOUT,
            heartbeat_timeout=MISSED_AFTER,
            retry_policy=_TRIES,
        )
        if not text:
            return "nothing to report"
        await self._tell(f"report/{year}-W{week:02d}", text)
        return f"told people about week {week}"

    async def _tell(self, key: str, text: str) -> None:
        await workflow.execute_activity_method(
            ChatActivities.tell,
            args=[key, text],
            start_to_close_timeout=_TIMEOUT,
            retry_policy=_CHAT_TRIES,
        )

    def _details(self) -> str:
        """Markdown for the Temporal UI."""
        rows = [
            f"| {chore} | {done.at:%Y-%m-%d %H:%M:%S} | {_cell(done)} |" for chore, done in self._done.items()
        ]
        return "\n".join(["| chore | last done (UTC) | what came of it |", "|---|---|---|", *rows])


def settled_as(sighted: Sighted, *, committed: bool, times: int) -> Outcome | None:
    """How a stranded reservation ended, or None while that is not certain.

    A reservation that lapsed before its commit and did nothing has simply expired: it says nothing about how
    the agent's effects turn out, so the breaker must not count it.
    """
    if sighted.outcome is None or sighted.happened == "unknown":
        return None
    if sighted.happened == "no" and times < CERTAIN:
        return None
    if sighted.happened == "no" and sighted.outcome is Outcome.FAILED and not committed:
        return Outcome.EXPIRED
    return sighted.outcome


def _alarm(refused: RefusedPolicy, policy_digest: str) -> str:
    problems = "\n".join(f"- {problem}" for problem in refused.problems)
    return (
        f"The policy at {refused.revision} can't be put in force, and {policy_digest[:12]} stays:\n{problems}"
    )


def _cell(done: Done) -> str:
    said = Untrusted(done.said).for_markdown(300)
    return f"failed: {said}" if done.failed else said
