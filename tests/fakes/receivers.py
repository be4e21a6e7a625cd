"""Workflows that stand where others will: they take a signal or a request, and remember it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import CarOutcome
    from leverframe.model.releases import ReleaseRequest


@workflow.defn(name="CarReceiver")
class CarReceiver:
    """Waits for one car and returns how it ended."""

    def __init__(self) -> None:
        self._outcomes: list[CarOutcome] = []

    @workflow.run
    async def run(self) -> CarOutcome:
        """The first outcome that is signalled."""
        await workflow.wait_condition(lambda: bool(self._outcomes))
        return self._outcomes[0]

    @workflow.signal
    def car_settled(self, outcome: CarOutcome) -> None:
        """A train tells."""
        self._outcomes.append(outcome)


@workflow.defn(name="ReleaseWorkflow")
class InstantRelease:
    """A release that is over as soon as it starts."""

    @workflow.run
    async def run(self, request: ReleaseRequest) -> str:
        """The released SHA."""
        return request.receipt.sha
