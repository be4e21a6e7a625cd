"""The train on the forge's own queue: hands changes over, looks how they fare, and audits what landed."""

from datetime import timedelta

from temporalio.exceptions import ActivityError

from activities.native import HandOver, NativeLook, NativeSight, Receive, Received
from leverframe.model.changes import CarEjected, CarLanded, Priority
from leverframe.model.trains import AuditReport, Capability, NativeEnding, NativeLanded
from leverframe.model.untrusted import Untrusted
from workflows.merge_train import words
from workflows.merge_train.book import Book
from workflows.merge_train.calls import Calls
from workflows.merge_train.landing import Lander
from workflows.merge_train.queue import Queued

PATIENCE = timedelta(minutes=1)
"""How often the forge's queue is looked at while it has something of ours: its webhooks get lost."""

FORGOTTEN = 3
"""So many looks in a row that see a change neither in the queue nor out of it make us hand it over again."""

CAPABILITY_HOLDS = timedelta(hours=1)
"""How long the forge's word on its own queue is believed while it can carry changes, or need not."""

_REFUSALS = ("Refused", "NotFound", "BadInput")


class Native:
    """The steps of a train whose cars are the forge's."""

    def __init__(self, book: Book, calls: Calls, lander: Lander) -> None:
        self._book = book
        self._calls = calls
        self._lander = lander
        self._missed: dict[int, int] = {}
        self._strange: list[AuditReport] = []
        self.uncertain = False
        """Whether something that was handed over may have landed without our having heard of it."""

    async def ask(self, *, now: bool = False) -> Capability | None:
        """Learn whether the forge has a queue of its own, where that matters: now and then, or now."""
        book = self._book
        known, asked = book.state.capability, book.state.capability_asked_at
        holds = known is not None and (known.native or book.rules.track == "auto")
        due = asked is None or not holds or book.now() - asked >= CAPABILITY_HOLDS
        if book.rules.track == "built_in" or not (due or now):
            return known
        try:
            book.update(capability=await self._calls.capability(), capability_asked_at=book.now())
        except ActivityError as error:
            self._note(f"it does not say what it can do: {words.cause_of(error)[1]}")
        return book.state.capability

    async def step(self) -> None:
        """Hand over what may go, take back what may not, settle what has ended."""
        for item in self._book.state.queue.items:
            if item.leaving is None and item.native != self._may_ride(item):
                await self._move(item)
        handed = tuple(item for item in self._book.state.queue.items if item.native)
        if not handed:
            self.uncertain = False
            return
        sight = await self._look(handed)
        self.uncertain = sight is None or bool(sight.missing)
        if sight is not None:
            await self._settled(sight, handed)

    def strange(self) -> tuple[AuditReport, ...]:
        """The reports on landed commits that are not what they should be, since this was last asked."""
        found, self._strange = tuple(self._strange), []
        return found

    async def _look(self, handed: tuple[Queued, ...]) -> NativeSight | None:
        asked = tuple(self._asked(item) for item in handed)
        try:
            return await self._calls.native_look(NativeLook(repository=self._book.repository, handed=asked))
        except ActivityError as error:
            kind, message = words.cause_of(error)
            self._note(f"{kind}: {message}")
            return None

    async def take_back(self, items: tuple[Queued, ...]) -> None:
        """Take changes out of the forge's queue, and settle those that have landed all the same."""
        for item in items:
            try:
                await self._calls.native_dequeue(self._asked(item))
            except ActivityError as error:
                self._note(words.cause_of(error)[1])
            current = self._book.state.queue.get(item.sequence)
            if current is not None:
                self._book.keep_item(current.model_copy(update={"native": False}))
        sight = await self._look(items)
        landed = sight.endings if sight else ()
        for ending in landed:
            item = next(item for item in items if item.change == ending.change)
            if isinstance(ending, NativeLanded):
                self._strange += await self._end(item, ending)

    def _may_ride(self, item: Queued) -> bool:
        capability, freeze = self._book.state.capability, self._book.state.freeze
        if capability is not None and not capability.native:
            return False  # The rules insist on it; the change waits, and the train says why.
        if freeze is None or freeze.mode == "drain":
            return True
        return freeze.mode == "hotfix_only" and item.priority is Priority.HOTFIX

    async def _move(self, item: Queued) -> None:
        """Hand the change over, or take it back."""
        if item.native:
            await self.take_back((item,))
            return
        try:
            await self._calls.native_enqueue(self._asked(item))
        except ActivityError as error:
            await self._not_taken(item, error)
            return
        current = self._book.state.queue.get(item.sequence)
        if current is not None:
            self._book.keep_item(current.model_copy(update={"native": True}))

    async def _not_taken(self, item: Queued, error: ActivityError) -> None:
        """The forge does not take the change: it leaves for a reason of its own, or stays until it can go."""
        kind, message = words.cause_of(error)
        if kind == "Conflict":
            said = f"{Untrusted(message).for_markdown(300)}; enqueue the new head when it is ready."
            ended = CarEjected(change=item.change, reason="head_moved", detail=said)
            await self._lander.settle(item, ended)
        elif kind in _REFUSALS and await self._still_there():
            await self._lander.settle(item, words.refused(item, error))
        else:
            self._note(f"{item.change} was not taken ({kind}): {message}")

    async def _still_there(self) -> bool:
        """Whether the forge still has a queue: without one, its refusals say nothing about a change."""
        told = await self.ask(now=True)
        return told is None or told.native

    async def _settled(self, sight: NativeSight, handed: tuple[Queued, ...]) -> None:
        for ending in sight.endings:
            item = next((one for one in handed if one.change == ending.change), None)
            if item is not None:
                self._strange += await self._end(item, ending)
        for item in handed:
            gone = self._missed.pop(item.sequence, 0) + 1 if item.change in sight.missing else 0
            current = self._book.state.queue.get(item.sequence)
            if gone and current is not None:
                if gone < FORGOTTEN:
                    self._missed[item.sequence] = gone
                else:
                    self._book.keep_item(current.model_copy(update={"native": False}))

    async def _end(self, item: Queued, ending: NativeEnding) -> list[AuditReport]:
        if not isinstance(ending, NativeLanded):
            if ending.reason in ("refused", "withdrawn") and not await self._still_there():
                # It was let go with the whole queue: our own train carries it, or it waits for the queue.
                current = self._book.state.queue.get(item.sequence) or item
                self._book.keep_item(current.model_copy(update={"native": False}))
                return []
            detail = f"The forge's queue let it go: {ending.detail}"
            await self._lander.settle(
                item, CarEjected(change=item.change, reason=ending.reason, detail=detail)
            )
            return []
        try:
            received = await self._received(item, ending)
        except ActivityError as error:
            kind, message = words.cause_of(error)
            self.uncertain = True
            text = (
                f"{item.change} has landed as {ending.sha[:12]} in the forge's own queue, and its receipt "
                f"can't be written ({kind}): {Untrusted(message).for_terminal(500)}. It is tried again."
            )
            await self._calls.page(f"receipt/{self._book.repository}/{ending.sha}", text)
            return []
        self._book.update(tip=received.receipt.sha, unaudited=self._book.state.unaudited + 1)
        await self._lander.settle(item, CarLanded(change=item.change, receipt=received.receipt))
        return [] if received.report.whole else [received.report]

    async def _received(self, item: Queued, ending: NativeLanded) -> Received:
        return await self._calls.native_receive(
            Receive(
                repository=self._book.repository,
                change=item.change,
                head=ending.head,
                sha=ending.sha,
                author=item.author,
                at=self._book.now(),
            )
        )

    def _asked(self, item: Queued) -> HandOver:
        return HandOver(
            repository=self._book.repository,
            change=item.change,
            head=item.head,
            hotfix=item.priority is Priority.HOTFIX,
        )

    def _note(self, said: str) -> None:
        self._calls.note(f"the forge's queue: {said}")
