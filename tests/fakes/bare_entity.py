"""An entity workflow of the policy ledger's shape that decides nothing: the cost of Temporal alone."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.ledger import LEDGER
    from policies.decision import Allowed, Decision, ReserveRequest
    from policies.documents import NO_POLICY
    from policies.reservations import LEASE, LedgerStart
    from workflows.policy_ledger import RENEW_AT


@workflow.defn(name=LEDGER)
class BareEntity:
    """Says yes to everything, and continues as new at the same length of history as the ledger."""

    @workflow.run
    async def run(self, start: LedgerStart) -> None:
        """Wait for callers."""
        await workflow.wait_condition(lambda: workflow.info().get_current_history_length() >= RENEW_AT)
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(start)

    @workflow.update
    def reserve(self, request: ReserveRequest) -> Decision:
        """An answer of the usual size."""
        now = workflow.now()
        return Allowed.grant(request, policy_digest=NO_POLICY.digest, now=now, lapses_at=now + LEASE)
