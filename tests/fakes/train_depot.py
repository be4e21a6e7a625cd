"""A train without an engine: its own driver and activities, run call by call, in a world that can be hurt.

A `Controller` is suspended before each call and again before its answer arrives, so that anything can happen
in between; an answer can be lost, which is what a killed worker looks like after its replay.
"""

from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Engine
from temporalio.exceptions import ActivityError, ApplicationError

from activities.backends.changes_store import ChangesStore
from activities.backends.store_tables import changes, checks, comments
from activities.forge import ForgeActivities
from activities.train import TrainActivities
from leverframe.model.changes import Author, CarOutcome, Change, ChangeSpec, Enqueue, Priority, Receipt
from leverframe.model.topology import Repository
from tests.fakes.train_ci import Ci
from tests.fakes.train_grounds import Ground
from workflows.merge_train.book import Book
from workflows.merge_train.calls import Calls
from workflows.merge_train.car import CarTest
from workflows.merge_train.desk import Desk
from workflows.merge_train.driver import RECONCILE, Driver
from workflows.merge_train.queue import Queued
from workflows.merge_train.state import TrainState

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADA = Author(kind="person", name="ada")
ENOUGH = 1500
"""More calls than this without a rest: it goes in circles."""


class PeoplesChanges(ChangesStore):
    """The record of changes, which people close and open, too."""

    def close(self, change: str) -> None:
        self._mark(change, from_states=("open", "ejected"), state="closed", landed_as=None)

    def reopen(self, change: str) -> None:
        self._mark(change, from_states=("closed",), state="open", landed_as=None)


@dataclass
class Pause:
    """A controller waits here: before a call is made, or before its answer is heard."""

    name: str
    arguments: tuple[Any, ...]
    answered: bool
    lost: bool = False

    def __await__(self) -> Generator["Pause", None, None]:
        yield self


class Watcher(Protocol):
    """Whoever has to see what a controller does."""

    def asks(self, by: "Controller", name: str, arguments: tuple[Any, ...]) -> None: ...

    def called(self, by: "Controller", name: str, arguments: tuple[Any, ...]) -> None: ...

    def answered(self, by: "Controller", name: str, arguments: tuple[Any, ...], answer: object) -> None: ...

    def cancelled(self, by: "Controller", sha: str, trial: int) -> None: ...


@dataclass
class Depot:
    """The world of one repository: its remote, its record of changes, its CI and its clock."""

    ground: Ground
    engine: Engine
    repository: Repository
    ci: Ci = field(init=False)
    now: datetime = BEGIN
    told: list[tuple[str, CarOutcome]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    paged: dict[str, str] = field(default_factory=dict)
    red: Callable[[str, str], bool] = lambda sha, check: False
    """The truth about every commit."""

    def __post_init__(self) -> None:
        with self.engine.begin() as connection:
            for table in (comments, checks, changes):
                connection.execute(table.delete())
        self.changes = PeoplesChanges(self.engine)
        self.ci = Ci(self._red_now, self.changes.record_check)
        self.declare(self.repository)

    def _red_now(self, sha: str, check: str) -> bool:
        return self.red(sha, check)

    def declare(self, repository: Repository) -> None:
        """What the platform team says from now on; the processes are started anew with it."""
        self.repository = repository
        known = {repository.name: repository}
        self._hands = (
            TrainActivities(self.changes, self.ground.track, known),
            ForgeActivities(self.changes, self.ground.track, known),
        )

    def open(self, branch: str, files: dict[str, str], *, author: Author = ADA, onto: str = "main") -> Change:
        """Push a branch and open its change, or bring it up to date."""
        head = self.ground.write(branch, files, onto)
        return self.changes.open_change(
            ChangeSpec(repository="shop", branch=branch, head=head, title=f"Do {branch}", author=author)
        )

    def do(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """One activity, as a worker would do it."""
        kind, _, name = method.__qualname__.partition(".")
        if kind == "ChatActivities":
            return self.paged.setdefault(*arguments)
        hand = next(hand for hand in self._hands if type(hand).__name__ == kind)
        return getattr(hand, name)(*arguments)


class LocalCalls(Calls):
    """The train's calls, done here instead of by an engine, with a pause before and after each."""

    def __init__(self, depot: Depot, controller: "Controller") -> None:
        super().__init__(depot.repository.name)
        self._depot = depot
        self._by = controller

    async def _by_hand(
        self,
        summary: str,
        method: Callable[..., Any],
        *arguments: Any,
        within: timedelta | None = None,
    ) -> Any:
        name = method.__name__
        self._by.watcher.asks(self._by, name, arguments)
        while True:
            await Pause(name, arguments, answered=False)
            self._by.watcher.called(self._by, name, arguments)
            failed: ApplicationError | None = None
            answer = None
            try:
                answer = self._depot.do(method, *arguments)
            except ApplicationError as error:
                failed = error
            self._by.watcher.answered(self._by, name, arguments, answer)
            pause = Pause(name, arguments, answered=True)
            await pause
            if pause.lost or (failed is not None and not failed.non_retryable):
                continue
            if failed is not None:
                raise _activity_error(name) from failed
            return answer

    async def at_once(self, steps: Iterable[Coroutine[Any, Any, None]]) -> None:
        """One after the other: any order is a possible one."""
        for step in steps:
            await step

    async def release(self, service: str, receipt: Receipt, item: Queued) -> None:
        await Pause("release", (service, receipt), answered=False)
        if receipt.sha not in self._depot.released:
            self._depot.released.append(receipt.sha)

    async def start_test(self, test: CarTest) -> None:
        self._by.watcher.asks(self._by, "start_test", (test,))
        await Pause("start_test", (test,), answered=False)
        if self._by.heard_by_ci:
            self._depot.ci.start(test)

    async def cancel_test(self, sha: str, trial: int) -> None:
        await Pause("cancel_test", (sha, trial), answered=False)
        if self._by.heard_by_ci:
            self._by.watcher.cancelled(self._by, sha, trial)
            self._depot.ci.cancel(sha, trial)

    async def tell(self, receivers: tuple[str, ...], outcome: CarOutcome) -> None:
        await Pause("tell", (receivers, outcome), answered=False)
        if self._by.heard_by_ci:
            self._depot.told += [(receiver, outcome) for receiver in receivers]

    def note(self, said: str) -> None:
        raise AssertionError(f"nothing is noted without a forge's queue: {said}")


class Nobody:
    """Watches nothing."""

    def asks(self, by: "Controller", name: str, arguments: tuple[Any, ...]) -> None: ...

    def called(self, by: "Controller", name: str, arguments: tuple[Any, ...]) -> None: ...

    def answered(self, by: "Controller", name: str, arguments: tuple[Any, ...], answer: object) -> None: ...

    def cancelled(self, by: "Controller", sha: str, trial: int) -> None: ...


class Controller:
    """One life of a train, moved on from outside, pause by pause."""

    def __init__(
        self,
        depot: Depot,
        state: TrainState | None = None,
        *,
        watcher: Watcher | None = None,
        heard_by_ci: bool = True,
    ) -> None:
        self.depot = depot
        self.watcher: Watcher = watcher or Nobody()
        self.heard_by_ci = heard_by_ci
        self.begin(state or TrainState())

    @property
    def state(self) -> TrainState:
        return self.book.state

    def begin(self, state: TrainState) -> None:
        """From this state, of which only what can be written down is left."""
        kept = TrainState.model_validate_json(state.model_dump_json())
        self.book = Book("shop", kept, train="train/shop/main", now=lambda: self.depot.now)
        self.driver = Driver(self.book, LocalCalls(self.depot, self))
        self.desk = Desk(self.book)
        self._step: Coroutine[Any, Any, bool] | None = None
        self.pause: Pause | None = None
        self._rests: tuple[int, datetime] | None = None
        self.failed = False
        """Whether a step ended with an error: nothing can be asked of it any more."""

    def close(self) -> None:
        """End it wherever it is."""
        if self._step is not None:
            self._step.close()
            self._step = None

    @property
    def between_steps(self) -> bool:
        """Whether it could continue as new."""
        return self._step is None

    def advance(self) -> bool:
        """On to the next pause. False while it rests."""
        if self._step is None and not self._wakes():
            return False
        if self._step is None:
            self._heard = self.book.heard
            self._step = self.driver.step()
        self.failed = True
        try:
            self.pause = self._step.send(None)
        except StopIteration as done:
            self._step, self.pause = None, None
            if not done.value:
                self._rests = (self._heard, self.depot.now + self.driver.patience(RECONCILE))
        self.failed = False
        return True

    def _wakes(self) -> bool:
        if self._rests is None:
            return True
        heard, until = self._rests
        if self.book.heard == heard and self.depot.now < until:
            return False
        if self.book.heard == heard:
            self.driver.look_soon("it is time")
        self._rests = None
        return True

    def run(self, most: int = ENOUGH) -> None:
        """Until it rests, or so many pauses."""
        for _ in range(most):
            if not self.advance():
                return
        if most == ENOUGH:
            raise AssertionError(f"the train never rests; it is at {self.pause}")

    def settle_down(self) -> None:
        """Everything that is under test ends as it should, until nothing more happens."""
        for _ in range(ENOUGH):
            self.run()
            if run := next(iter(self.depot.ci.runs.values()), None):
                self.depot.ci.finish(run)
            elif not self.depot.ci.mail:
                return
            self.read_mail()
        raise AssertionError("tests are begun again and again")

    def read_mail(self) -> None:
        """Every report, in the order in which they were sent."""
        for report in self.depot.ci.mail:
            self.driver.heard(report)
        self.depot.ci.mail.clear()

    def wait(self, **time: float) -> None:
        """Time goes by."""
        self.depot.now += timedelta(**time)

    def enqueue(
        self,
        change: Change,
        *,
        head: str | None = None,
        priority: Priority = Priority.NORMAL,
        request: str = "",
        solo: bool = False,
        notify: tuple[str, ...] = (),
    ) -> str:
        """Ask for a ride; an objection comes back as its words."""
        asked = Enqueue(
            change=change.id,
            head=head or change.head,
            priority=priority,
            author=change.author,
            solo=solo,
            notify=notify,
        )
        if problem := self.desk.misdirected(asked) or self.desk.full(asked):
            return problem
        return self.desk.enqueue(asked, request or f"{change.id}@{asked.head}").state

    def outcome(self, change: Change | str) -> CarOutcome | None:
        """How the newest ride of a change ended."""
        wanted = change if isinstance(change, str) else change.id
        found = (one.outcome for one in reversed(self.state.settled) if one.outcome.change == wanted)
        return next(found, None)


def _activity_error(name: str) -> ActivityError:
    return ActivityError(
        f"{name} failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="",
        activity_type=name,
        activity_id="1",
        retry_state=None,
    )
