"""A stand-in for `RemediationWorkflow`: it runs until it is told to settle."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from leverframe.model.outcomes import Outcome
    from workflows.messages import RunRequest, RunSettled


@workflow.defn(name="RemediationWorkflow")
class PatientRun:
    """Keeps its request, waits for `settle`, then tells its watch."""

    @workflow.init
    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._settle = False

    @workflow.run
    async def run(self, request: RunRequest) -> str:
        await workflow.wait_condition(lambda: self._settle)
        run = workflow.info().workflow_id
        watch = workflow.get_external_workflow_handle(request.watch)
        await watch.signal("run_settled", RunSettled(run=run, outcome=Outcome.LANDED))
        return run

    @workflow.signal
    def settle(self) -> None:
        self._settle = True

    @workflow.query
    def request(self) -> RunRequest:
        return self._request
