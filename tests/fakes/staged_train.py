"""A train that shows what a test tells it to."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.merge_train.view import TrainView


@workflow.defn(name="StagedTrain")
class StagedTrain:
    """Answers the query of a real train."""

    @workflow.init
    def __init__(self, shown: TrainView) -> None:
        self._shown = shown

    @workflow.run
    async def run(self, shown: TrainView) -> None:
        """For ever."""
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def show(self, shown: TrainView) -> None:
        self._shown = shown

    @workflow.query
    def view(self) -> TrainView:
        return self._shown


@workflow.defn(name="StrangeTrain")
class StrangeTrain:
    """One of another version, whose view has what this one does not know."""

    @workflow.run
    async def run(self) -> None:
        """For ever."""
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def view(self) -> dict[str, str]:
        return {"repository": "shop", "steam": "100 %"}
