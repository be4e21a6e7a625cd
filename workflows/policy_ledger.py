"""The policy ledger: one entity per organisation that grants effects, one command at a time.

Handlers never wait, so each command is atomic. All rules live in `policies`; this is their durable shell.
"""

import contextlib
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.ledger import DRAINING, LEDGER
    from leverframe.model.errors import LeverframeError
    from leverframe.model.outcomes import Outcome
    from policies import ledger
    from policies.decision import Decision, ReserveRequest
    from policies.documents import PolicySnapshot
    from policies.explain import overview_markdown
    from policies.overview import LedgerOverview, overview
    from policies.reservations import (
        CommitAnswer,
        Installed,
        LedgerStart,
        LedgerState,
        PauseRequest,
        PauseState,
        SettledBy,
        Standing,
        next_lapse,
    )

RENEW_AT = 500
"""Events of history after which the ledger continues in a fresh run, far below the server's limits."""


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
        self._state = start.state
        self._draining = False
        self._become(start.state)

    @workflow.run
    async def run(self, start: LedgerStart) -> None:
        """Let reservations lapse when their time comes, until history is long enough to start afresh."""
        while not self._renewal_due():
            await self._rest_until(next_lapse(self._state))
            self._become(ledger.lapse(self._state, workflow.now()))
        self._draining = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(LedgerStart(organisation=self._organisation, state=self._state))

    @workflow.update(description="Take a place under every limit at once, or none.")
    def reserve(self, request: ReserveRequest) -> Decision:
        state, decision = ledger.reserve(self._state, request, workflow.now())
        self._become(state)
        return decision

    @workflow.update(description="Ask the last time before the effect.")
    def commit(self, reservation: str) -> CommitAnswer:
        state, answer = ledger.commit(self._state, reservation, workflow.now())
        self._become(state)
        return answer

    @workflow.update(description="Give a place back: the effect certainly did not happen.")
    def release(self, reservation: str) -> Standing:
        state, standing = ledger.release(self._state, reservation, workflow.now())
        self._become(state)
        return standing

    @workflow.update(description="Say how the effect ended.")
    def settle(self, reservation: str, outcome: Outcome, settled_by: SettledBy | None = None) -> Standing:
        state, standing = ledger.settle(self._state, reservation, outcome, workflow.now(), settled_by)
        self._become(state)
        return standing

    @workflow.update(description="Stop every reserve and commit.")
    def pause(self, request: PauseRequest) -> PauseState:
        self._become(ledger.pause(self._state, request, workflow.now()))
        return PauseState(pause=self._state.pause)

    @workflow.update(description="Let the policy decide again.")
    def resume(self, request: PauseRequest) -> PauseState:
        self._become(ledger.resume(self._state))
        return PauseState(pause=self._state.pause)

    @workflow.update(description="Put a policy in force.")
    def install(self, snapshot: PolicySnapshot) -> Installed:
        state, installed = ledger.install(self._state, snapshot)
        self._become(state)
        return installed

    @workflow.query(description="The room under each limit and the open reservations.")
    def overview(self) -> LedgerOverview:
        return overview(self._organisation, self._state, workflow.now())

    @reserve.validator
    def _admit_reserve(self, request: ReserveRequest) -> None:
        self._admit()
        ledger.check_reserve(self._state, request)

    @commit.validator
    def _admit_commit(self, reservation: str) -> None:
        self._admit()
        ledger.known(self._state, reservation)

    @release.validator
    def _admit_release(self, reservation: str) -> None:
        self._admit()
        ledger.known(self._state, reservation)

    @settle.validator
    def _admit_settle(self, reservation: str, outcome: Outcome, settled_by: SettledBy | None = None) -> None:
        self._admit()
        ledger.known(self._state, reservation)

    @pause.validator
    def _admit_pause(self, request: PauseRequest) -> None:
        self._admit()

    @resume.validator
    def _admit_resume(self, request: PauseRequest) -> None:
        self._admit()

    @install.validator
    def _admit_install(self, snapshot: PolicySnapshot) -> None:
        self._admit()

    def _admit(self) -> None:
        if self._draining:
            raise ApplicationError("the ledger continues in a new run: ask again", type=DRAINING)

    def _become(self, state: LedgerState) -> None:
        self._state = state
        workflow.set_current_details(overview_markdown(overview(self._organisation, state, workflow.now())))

    def _renewal_due(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() >= RENEW_AT or info.is_continue_as_new_suggested()

    async def _rest_until(self, deadline: datetime | None) -> None:
        """Wait for the next lapse, or for a reservation that lapses earlier, or for the renewal.

        A timer that has become too early finds nothing to do and is armed again: cheaper than a new
        timer for every command.
        """
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._renewal_due() or self._lapses_before(deadline),
                timeout=None if deadline is None else max(deadline - workflow.now(), timedelta(0)),
                timeout_summary="a reservation lapses",
            )

    def _lapses_before(self, armed: datetime | None) -> bool:
        deadline = next_lapse(self._state)
        return deadline is not None and (armed is None or deadline < armed)
