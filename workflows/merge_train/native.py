"""The train on the forge's own queue: hands changes over, looks how they fare, and audits what landed."""

from datetime import timedelta

from temporalio.exceptions import ActivityError

from activities.native import HandOver, NativeLook, NativeSight, Receive, Received
from leverframe.model.changes import CarEjected, CarLanded, Priority
from leverframe.model.trains import AuditReport, NativeEnding, NativeLanded
from workflows.merge_train import words
from workflows.merge_train.book import Book
from workflows.merge_train.calls import Calls
from workflows.merge_train.landing import Lander
from workflows.merge_train.queue import Queued

PATIENCE = timedelta(minutes=1)
"""How often the forge's queue is looked at while it has something of ours: its webhooks get lost."""

FORGOTTEN = 3
"""So many looks in a row that see a change neither in the queue nor out of it make us hand it over again."""


class Native:
    """The steps of a train whose cars are the forge's."""

    def __init__(self, book: Book, calls: Calls, lander: Lander) -> None:
        self._book = book
        self._calls = calls
        self._lander = lander
        self._looked_at: object = None
        self._missed: dict[int, int] = {}

    async def step(self) -> AuditReport | None:
        """Hand over what may go, take back what may not, settle what has ended.

        Returns the report on a landed commit that is not what it should be.
        """
        for item in self._book.state.queue.items:
            if item.leaving is None and item.native != self._may_ride(item):
                await self._move(item)
        handed = [item for item in self._book.state.queue.items if item.native]
        if not handed:
            return None
        try:
            sight = await self._calls.native_look(
                NativeLook(
                    repository=self._book.repository, handed=tuple(self._asked(item) for item in handed)
                )
            )
        except ActivityError as error:
            kind, message = words.cause_of(error)
            self._note(f"{kind}: {message}")
            return None
        return await self._settled(sight, handed)

    async def take_back(self, item: Queued) -> None:
        """Take the change out of the forge's queue, whatever is thought of that."""
        try:
            await self._calls.native_dequeue(self._asked(item))
        except ActivityError as error:
            self._note(words.cause_of(error)[1])

    def _may_ride(self, item: Queued) -> bool:
        freeze = self._book.state.freeze
        if freeze is None or freeze.mode == "drain":
            return True
        return freeze.mode == "hotfix_only" and item.priority is Priority.HOTFIX

    async def _move(self, item: Queued) -> None:
        """Hand the change over, or take it back."""
        if item.native:
            await self.take_back(item)
        else:
            try:
                await self._calls.native_enqueue(self._asked(item))
            except ActivityError as error:
                await self._lander.settle(item, words.refused(item, error))
                return
        current = self._book.state.queue.get(item.sequence)
        if current is not None:
            self._book.keep_item(current.model_copy(update={"native": not item.native}))

    async def _settled(self, sight: NativeSight, handed: list[Queued]) -> AuditReport | None:
        strange = None
        for ending in sight.endings:
            item = next((one for one in handed if one.change == ending.change), None)
            if item is not None:
                strange = await self._end(item, ending) or strange
        for item in handed:
            gone = self._missed.get(item.sequence, 0) + 1 if item.change in sight.missing else 0
            self._missed[item.sequence] = gone
            current = self._book.state.queue.get(item.sequence)
            if gone >= FORGOTTEN and current is not None:
                self._book.keep_item(current.model_copy(update={"native": False}))
                self._missed.pop(item.sequence)
        return strange

    async def _end(self, item: Queued, ending: NativeEnding) -> AuditReport | None:
        if not isinstance(ending, NativeLanded):
            detail = f"The forge's queue let it go: {ending.detail}"
            await self._lander.settle(
                item, CarEjected(change=item.change, reason=ending.reason, detail=detail)
            )
            return None
        received: Received = await self._calls.native_receive(
            Receive(
                repository=self._book.repository,
                change=item.change,
                head=ending.head,
                sha=ending.sha,
                author=item.author,
                at=self._book.now(),
            )
        )
        self._book.update(tip=received.receipt.sha, unaudited=self._book.state.unaudited + 1)
        await self._lander.settle(item, CarLanded(change=item.change, receipt=received.receipt))
        return None if received.report.whole else received.report

    def _asked(self, item: Queued) -> HandOver:
        return HandOver(
            repository=self._book.repository,
            change=item.change,
            head=item.head,
            hotfix=item.priority is Priority.HOTFIX,
        )

    def _note(self, said: str) -> None:
        self._calls.note(f"the forge's queue: {said}")
