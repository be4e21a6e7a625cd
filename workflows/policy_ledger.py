"""The policy ledger: one entity per organisation that grants effects, one command at a time.

Handlers never wait, so each command is atomic. All rules live in `policies`; this is their durable shell: it
lets leases run out, and hands what was decided to the audit log.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.audit import AuditActivities, AuditBatch
    from activities.ledger import DRAINING, LEDGER
    from leverframe.model.errors import LeverframeError
    from policies.audit import Record
    from policies.decision import Decision, ReserveRequest
    from policies.documents import PolicySnapshot
    from policies.explain import LOST, overview_markdown
    from policies.ledger import Ledger
    from policies.overview import LedgerOverview, overview
    from policies.reservations import (
        AnsweredQuestion,
        AttentionAnswer,
        AttentionRequest,
        CommitAnswer,
        Entry,
        Installed,
        LedgerStart,
        PauseRequest,
        PauseState,
        Promoted,
        PromoteRequest,
        RefusedPolicy,
        Settlement,
        ShadowEntry,
        ShadowScore,
        Standing,
    )

RENEW_AT = 500
"""Events of history after which the ledger continues in a fresh run, far below the server's limits. When it
remembers more entries than that, after as many events: carrying them over costs each command the same then,
however many there are."""

FLUSH_AT = 100
FLUSH_AFTER = timedelta(seconds=1)
"""Audit records go out when there are so many, and at latest so long after the first."""
FLUSH_BYTES = 500_000
"""A message to an activity holds 2 MB."""
REFUSED_PAUSE = timedelta(minutes=1)
"""Before records that the store refused are offered again: a person has to look first."""

PLACED_WITHIN = timedelta(seconds=2)
"""So long a ledger that has just begun lets callers ask again, until it knows where the audit log ends."""

SHOW_EVERY = timedelta(seconds=10)
"""How often the page for people is written anew while commands come in: it costs time for each entry."""

MAX_START = 1_900_000
"""Bytes that a new run can begin with: a message holds 2 MB."""

MAX_UNKEPT = 8
"""Policies that wait for the store; one that is older than so many newer ones is not kept for replay."""
MAX_LISTED = 1000
"""Entries in the answer to one query."""


@workflow.defn(
    name=LEDGER,
    versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    failure_exception_types=[LeverframeError],
)
class PolicyLedgerWorkflow:
    """Holds the policy in force and every reservation that a limit can still see."""

    @workflow.init
    def __init__(self, start: LedgerStart) -> None:
        self._organisation = start.organisation
        with _never_ending():
            self._ledger = Ledger(start.state, carried=len(start.packed))
            self._unkept = start.unkept
        self._ledger.log_known = not self._ledger.unplaced
        self._renew_at = max(RENEW_AT, len(self._ledger.book.entries))
        self._draining = False
        self._trouble = ""
        """Why the audit log refuses what is offered."""
        self._too_large = ""
        """Why it can't go on in a new run."""
        self._began_at = self._shown_at = workflow.now()
        self._show()

    @workflow.run
    async def run(self, start: LedgerStart) -> None:
        """Let reservations lapse when their time comes, until history is long enough to start afresh."""
        keeping = asyncio.create_task(self._keep_audit())
        while True:
            with _never_ending():
                while not self._renewal_due():
                    await self._rest_until(self._ledger.next_lapse(), keeping)
                    self._ledger.lapse(workflow.now())
                    self._show_now_and_then()
            self._draining = True
            await workflow.wait_condition(workflow.all_handlers_finished)
            # What is not written yet travels along; writing it twice changes nothing.
            start = LedgerStart.of(self._organisation, self._ledger.state, self._unkept)
            if start.size <= MAX_START:
                workflow.continue_as_new(start)
            self._stay(start.size)

    def _stay(self, size: int) -> None:
        """A next run could not begin: go on in this one, which the server allows for a while, and say so."""
        self._too_large = f"it has {size} bytes to carry on, and {MAX_START} fit"
        workflow.logger.error(
            "the ledger of %s can't go on in a new run: %s", self._organisation, self._too_large
        )
        self._renew_at = workflow.info().get_current_history_length() + RENEW_AT
        self._draining = False
        self._show()

    @workflow.update(description="Take a place under every limit at once, or none.")
    def reserve(self, request: ReserveRequest) -> Decision:
        return self._ledger.reserve(request, workflow.now())

    @workflow.update(description="Ask the last time before the effect.")
    def commit(self, reservation: str) -> CommitAnswer:
        return self._ledger.commit(reservation, workflow.now())

    @workflow.update(description="Give a place back: the effect certainly did not happen.")
    def release(self, reservation: str) -> Standing:
        return self._ledger.release(reservation, workflow.now())

    @workflow.update(description="Say how the effect ended, and what it cost.")
    def settle(self, settlement: Settlement) -> Standing:
        return self._ledger.settle(settlement, workflow.now())

    @workflow.update(description="Stop reserves and commits: all, or an agent's, or a repository's.")
    def pause(self, request: PauseRequest) -> PauseState:
        state = self._ledger.pause(request, workflow.now())
        self._show()
        return state

    @workflow.update(description="Let the policy decide again.")
    def resume(self, request: PauseRequest) -> PauseState:
        state = self._ledger.resume(request, workflow.now())
        self._show()
        return state

    @workflow.update(description="Lift an agent's demotion.")
    def promote(self, request: PromoteRequest) -> Promoted:
        return self._ledger.promote(request, workflow.now())

    @workflow.update(description="Put a policy in force.")
    def install(self, snapshot: PolicySnapshot) -> Installed:
        installed = self._ledger.install(snapshot, workflow.now())
        if installed.changed:
            self._unkept = [*self._unkept, snapshot][-MAX_UNKEPT:]
        return installed

    @workflow.update(description="Remember why a newer policy is not in force, or that the trouble is over.")
    def refuse_policy(self, refused: RefusedPolicy | None) -> None:
        self._ledger.refuse_policy(refused, workflow.now())

    @workflow.update(description="May these people be asked now, or have they been asked enough?")
    def attend(self, request: AttentionRequest) -> AttentionAnswer:
        return self._ledger.attend(request, workflow.now())

    @workflow.update(description="Say how a question to people ended.")
    def answered(self, answer: AnsweredQuestion) -> None:
        self._ledger.answered(answer, workflow.now())

    @workflow.update(description="Say whether people did what an agent in observe mode would have done.")
    def score(self, score: ShadowScore) -> None:
        self._ledger.score(score, workflow.now())

    @workflow.query(description="The room under each limit, what is open, and what stops the agents.")
    def overview(self) -> LedgerOverview:
        return overview(self._organisation, self._ledger.state, workflow.now())

    @workflow.query(description="What holds a place, oldest first, without the files of its difference.")
    def open_entries(self) -> list[Entry]:
        return [_brief(entry) for entry in self._ledger.state.entries if entry.open][:MAX_LISTED]

    @workflow.query(description="What observed agents asked for before a time and nobody has scored yet.")
    def unscored(self, before: datetime) -> list[ShadowEntry]:
        found = (each for each in self._ledger.state.shadow if each.matched is None and each.at <= before)
        return list(found)[:MAX_LISTED]

    @reserve.validator
    def _admit_reserve(self, request: ReserveRequest) -> None:
        self._admit()
        self._ledger.check_reserve(request)
        if not self._ledger.log_known and workflow.now() < self._began_at + PLACED_WITHIN:
            raise ApplicationError("the ledger sees first where the audit log ends: ask again", type=DRAINING)

    @commit.validator
    def _admit_commit(self, reservation: str) -> None:
        self._admit()
        self._ledger.known(reservation)

    @release.validator
    def _admit_release(self, reservation: str) -> None:
        self._admit()
        self._ledger.known(reservation)

    @settle.validator
    def _admit_settle(self, settlement: Settlement) -> None:
        self._admit()
        self._ledger.known(settlement.reservation)

    @pause.validator
    def _admit_pause(self, request: PauseRequest) -> None:
        self._admit()

    @resume.validator
    def _admit_resume(self, request: PauseRequest) -> None:
        self._admit()

    @promote.validator
    def _admit_promote(self, request: PromoteRequest) -> None:
        self._admit()

    @install.validator
    def _admit_install(self, snapshot: PolicySnapshot) -> None:
        self._admit()

    @refuse_policy.validator
    def _admit_refuse_policy(self, refused: RefusedPolicy | None) -> None:
        self._admit()

    @attend.validator
    def _admit_attend(self, request: AttentionRequest) -> None:
        self._admit()

    @answered.validator
    def _admit_answered(self, answer: AnsweredQuestion) -> None:
        self._admit()

    @score.validator
    def _admit_score(self, score: ShadowScore) -> None:
        self._admit()

    def _admit(self) -> None:
        if self._draining:
            raise ApplicationError("the ledger continues in a new run: ask again", type=DRAINING)

    async def _keep_audit(self) -> None:
        """Hand on what was decided, in order, one batch at a time, for as long as the run lasts."""
        placed = False
        while True:
            try:
                if not placed:
                    await self._find_place()
                    placed = True
                await self._fill_batch()
                await self._flush()
            except ActivityError as error:
                placed = False
                self._trouble = str(error.cause or error)
                workflow.logger.error("the audit log refuses what the ledger decided: %s", self._trouble)
                self._show()
                await workflow.sleep(REFUSED_PAUSE, summary="somebody has to look at the audit log")
            else:
                self._trouble = ""
                self._show_now_and_then()

    async def _find_place(self) -> None:
        """Before anything is written: where does the log end? Again after a refusal.

        An engine that was lost, or a ledger that was terminated, leaves a log that another ledger wrote. What
        it handed to the store last may still arrive: the place is certain once something of ours is written.
        Raises ActivityError when the store refuses to answer.
        """
        if not self._ledger.unplaced:
            return
        end = await workflow.execute_activity_method(
            AuditActivities.end,
            self._organisation,
            start_to_close_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
            summary="see where the audit log ends",
        )
        if self._ledger.follow(end, workflow.now()):
            workflow.logger.warning(
                "the ledger of %s began anew after audit record %d: %s",
                self._organisation,
                end.sequence,
                LOST,
            )
            self._show()

    async def _fill_batch(self) -> None:
        """Wait for something to write, and a moment for more of it."""
        await workflow.wait_condition(lambda: bool(self._ledger.unwritten or self._unkept))
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: len(self._ledger.unwritten) >= FLUSH_AT,
                timeout=FLUSH_AFTER,
                timeout_summary="more audit records may come",
            )

    async def _flush(self) -> None:
        """One policy, or one batch of records. Raises ActivityError when the store refuses it for good."""
        snapshot = self._unkept[0] if self._unkept else None
        records = () if snapshot else _batch(self._ledger.unwritten)
        await workflow.execute_activity_method(
            AuditActivities.append,
            AuditBatch(
                organisation=self._organisation,
                records=records,
                snapshots=(snapshot,) if snapshot else (),
            ),
            start_to_close_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
            summary="keep a policy" if snapshot else f"keep audit records up to {records[-1].sequence}",
        )
        if records:
            self._ledger.written(records[-1].sequence)
        else:
            self._unkept = [each for each in self._unkept if each != snapshot]

    def _show_now_and_then(self) -> None:
        few = len(self._ledger.book.entries) < 100
        if few or workflow.now() >= self._shown_at + SHOW_EVERY:
            self._show()

    def _show(self) -> None:
        """The page for people."""
        self._shown_at = workflow.now()
        told = overview_markdown(overview(self._organisation, self._ledger.state, workflow.now()))
        if self._too_large:
            told = f"**The ledger can't go on in a new run:** {self._too_large}\n\n{told}"
        if self._trouble:
            told = f"**The audit log refuses what the ledger decided:** {self._trouble}\n\n{told}"
        workflow.set_current_details(told)

    def _renewal_due(self) -> bool:
        info = workflow.info()
        length = info.get_current_history_length()
        suggested = info.is_continue_as_new_suggested() and not self._too_large
        return length >= self._renew_at or suggested

    async def _rest_until(self, deadline: datetime | None, keeping: asyncio.Task[None]) -> None:
        """Wait for the next lapse, or for a reservation that lapses earlier, or for the renewal.

        A timer that has become too early finds nothing to do and is armed again: cheaper than a new
        timer for every command. A request to cancel changes nothing: `pause` is how people stop agents,
        and a ledger that ended would forget what it granted.
        """
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await workflow.wait_condition(
                lambda: keeping.done() or self._renewal_due() or self._lapses_before(deadline),
                timeout=None if deadline is None else max(deadline - workflow.now(), timedelta(0)),
                timeout_summary="a reservation lapses",
            )
        if keeping.done():
            keeping.result()

    def _lapses_before(self, armed: datetime | None) -> bool:
        deadline = self._ledger.next_lapse()
        return deadline is not None and (armed is None or deadline < armed)


def _batch(unwritten: Sequence[Record]) -> tuple[Record, ...]:
    """The oldest records, as many as one message takes."""
    batch: list[Record] = []
    size = 0
    for record in unwritten[:FLUSH_AT]:
        size += len(record.line())
        if batch and size > FLUSH_BYTES:
            break
        batch.append(record)
    return tuple(batch)


def _brief(entry: Entry) -> Entry:
    """The entry for whoever asks what became of it: nobody looks at each file again."""
    difference = entry.intent.difference
    if difference is None or not difference.files:
        return entry
    short = difference.model_copy(update={"files": (), "omitted": difference.total_files})
    return entry.model_copy(update={"intent": entry.intent.model_copy(update={"difference": short})})


@contextlib.contextmanager
def _never_ending() -> Iterator[None]:
    """A ledger that ended would forget what it granted: it waits for a corrected worker instead."""
    try:
        yield
    except LeverframeError as error:
        raise RuntimeError(f"the ledger can't go on: {error}") from error
