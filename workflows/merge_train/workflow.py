"""The train: one per repository and target branch. The exact commit tested is the commit that lands.

Every event is only a reason to plan again: `Driver.step` looks, plans from one snapshot and carries the plan
out. All that is known lies in `TrainState`, so the train can continue as new between any two steps; cars
are tested by runs of their own, which go on meanwhile.
"""

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import Enqueue
    from leverframe.model.trains import Look
    from workflows import attributes
    from workflows.merge_train import board
    from workflows.merge_train.book import Book
    from workflows.merge_train.calls import Calls
    from workflows.merge_train.car import CarReport
    from workflows.merge_train.desk import Desk
    from workflows.merge_train.driver import RECONCILE, Driver
    from workflows.merge_train.messages import (
        FreezeRequest,
        QueuePlace,
        ThawRequest,
        TrainStart,
        Vouch,
    )
    from workflows.merge_train.state import TrainState
    from workflows.merge_train.view import Explanation, TrainView, explain, front, view

MAX_EVENTS = 500
"""Events of one run; the train continues as new at the first pause past it."""


@workflow.defn(name="MergeTrainWorkflow", versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class MergeTrainWorkflow:
    """Carries changes onto their target branch."""

    @workflow.init
    def __init__(self, start: TrainStart) -> None:
        self._book = Book(start.repository, start.state, train=workflow.info().workflow_id, now=workflow.now)
        self._desk = Desk(self._book)
        self._driver = Driver(self._book, Calls(start.repository))

    @workflow.run
    async def run(self, start: TrainStart) -> None:
        """Look, plan and act for ever."""
        book = self._book
        workflow.upsert_search_attributes([attributes.REPOSITORY.value_set(book.repository)])
        while True:
            self._show()
            if self._is_long():
                if book.state.loose:
                    await self._driver.tidy()
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(TrainStart(repository=book.repository, state=book.state))
            heard = book.heard
            if not await self._driver.step():
                await self._rest(heard)

    @workflow.update(description="Ask the train to carry a change at exactly this head")
    def enqueue(self, asked: Enqueue) -> QueuePlace:
        """Give the change a place. Asked twice, answered the same.

        A change that has landed at this head is not carried again; everybody in `notify` is told. One
        that was taken off rides again when it is asked for by a new request.
        """
        update = workflow.current_update_info()
        place = self._desk.enqueue(asked, update.id if update else "")
        self._show()
        return place

    @enqueue.validator
    def _may_enqueue(self, asked: Enqueue) -> None:
        if problem := self._desk.misdirected(asked):
            raise _no(problem, "BadInput")
        if problem := self._desk.full(asked):
            raise _no(problem, "Unavailable")

    @workflow.update(description="Take a change off before it lands")
    def withdraw(self, change: str) -> bool:
        """True if the change was queued or riding. A landing that is under way wins."""
        return self._desk.withdraw(change)

    @workflow.update(description="Stop the train, in one of three ways, until somebody thaws it or a time")
    def freeze(self, asked: FreezeRequest) -> TrainView:
        """Freeze; a freeze in force is replaced. Cars under test go on."""
        self._desk.freeze(asked)
        self._show()
        return view(self._book.repository, self._book.state, workflow.now())

    @freeze.validator
    def _may_freeze(self, asked: FreezeRequest) -> None:
        if asked.until is not None and asked.until <= workflow.now():
            raise _no("the freeze would be over already: give a later time", "BadInput")

    @workflow.update(description="Let the train go on")
    def thaw(self, asked: ThawRequest) -> TrainView:
        """End the freeze; findings of an audit count as seen by this person."""
        workflow.logger.info("thawed by %s: %s", asked.owner, asked.reason)
        self._desk.thaw()
        self._show()
        return view(self._book.repository, self._book.state, workflow.now())

    @workflow.update(description="Say that dev is what the target says, when putting it back fails")
    def vouch_for_dev(self, asked: ThawRequest) -> TrainView:
        """Dev counts as put back, on this person's word; infrastructure is shown to it again."""
        workflow.logger.info("dev is vouched for by %s: %s", asked.owner, asked.reason)
        self._desk.vouch_for_dev()
        self._show()
        return view(self._book.repository, self._book.state, workflow.now())

    @vouch_for_dev.validator
    def _may_vouch_for_dev(self, asked: ThawRequest) -> None:
        if problem := self._desk.objection_about_dev():
            raise _no(problem, "Refused")

    @workflow.update(description="One of two people who want a change landed with fewer checks")
    def vouch(self, asked: Vouch) -> str:
        """`first` or `override`: whether a second person is still needed."""
        return self._desk.vouch(asked)

    @vouch.validator
    def _may_vouch(self, asked: Vouch) -> None:
        if problem := self._desk.objection(asked):
            raise _no(problem, "Refused")

    @workflow.signal(description="A car's test has something to say")
    def car_tested(self, report: CarReport) -> None:
        """Fold the report into the car that it is about; one about a car that is gone changes nothing."""
        self._driver.heard(report)

    @workflow.signal(description="Something has happened at the forge: look")
    def look(self, look: Look) -> None:
        """Look at the world soon; what exactly happened is for the looking to find out."""
        self._driver.look_soon(look.reason)

    @workflow.query(description="The whole state")
    def board(self) -> TrainState:
        """Queue, cars, newest outcomes."""
        return self._book.state

    @workflow.query(description="The train as people see it")
    def view(self) -> TrainView:
        """Everything that is drawn or listed."""
        return view(self._book.repository, self._book.state, workflow.now())

    @workflow.query(description="Where a change is, what it waits for, and how it fared")
    def explain(self, change: str) -> Explanation:
        """In words; for a change that the train does not know, too."""
        return explain(self._book.repository, self._book.state, change, workflow.now())

    def _show(self) -> None:
        # Planned anew for each step and each request, a long line would cost more than it carries.
        shown = front(self._book.repository, self._book.state, self._driver.waits, most=board.READ)
        workflow.set_current_details(board.markdown(shown))

    def _is_long(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() >= MAX_EVENTS or info.is_continue_as_new_suggested()

    async def _rest(self, heard: int) -> None:
        """Wait until there is news, or time to look although there is none."""
        try:
            await workflow.wait_condition(
                lambda: self._is_long() or self._book.heard != heard,
                timeout=self._driver.patience(RECONCILE),
                timeout_summary="Look again",
            )
        except TimeoutError:
            self._driver.look_soon("it is time")


def _no(words: str, kind: str) -> ApplicationError:
    return ApplicationError(words, type=kind, non_retryable=True)
