"""The ledger's workflow with a window and a handle for tests: its whole state, and a new run on demand."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.ledger import LEDGER
    from leverframe.model.errors import LeverframeError
    from policies.reservations import LedgerStart, LedgerState
    from workflows.policy_ledger import PolicyLedgerWorkflow


@workflow.defn(name=LEDGER, failure_exception_types=[LeverframeError])
class WatchedLedger(PolicyLedgerWorkflow):
    """Decides nothing itself."""

    @workflow.init
    def __init__(self, start: LedgerStart) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: LedgerStart) -> None:
        """As the ledger does."""
        await super().run(start)

    @workflow.query
    def whole(self) -> LedgerState:
        """Everything but what waits for the store, which comes and goes by itself."""
        return self._ledger.state.model_copy(update={"unwritten": ()})

    @workflow.signal
    def renew(self) -> None:
        """Continue as new, now."""
        self._renew_at = 0
