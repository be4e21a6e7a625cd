"""Dev, which one infrastructure car holds at a time: shown to it, and put back when the car does not land.

A car is applied only while dev is what the target says, so that what dev makes of it says something about it.
An apply is never stopped midway. Whatever was applied and does not land is healed: the target's tip is
applied again, until dev is healthy or a person vouches for it.
"""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import CheckResult, Priority
    from workflows.merge_train import sighting, words
    from workflows.merge_train.book import Book
    from workflows.merge_train.calls import Calls
    from workflows.merge_train.car import DEV, DEV_ATTEMPTS, DEV_MARGIN, CarReport, CarTest
    from workflows.merge_train.queue import Queued
    from workflows.merge_train.state import HEALS_BEFORE_PAGE, Dev, Testing

_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(minutes=15)
"""Between two attempts to put dev back; it doubles from the first to the longest."""

_LOST = timedelta(hours=1)
"""On top of everything that an apply may take: its report was lost."""


class DevKeeper:
    """Keeps one train's dev."""

    def __init__(self, book: Book, calls: Calls) -> None:
        self._book = book
        self._calls = calls

    async def tend(self) -> bool:
        """Put dev back when it is time for that. True if anything has changed."""
        dev, now = self._book.state.dev, self._book.now()
        if dev is None:
            return False
        if dev.state in ("applying", "healing") and now - dev.began_at > _at_most(dev):
            dev = self._dirty(dev, "there was no answer for hours")
        if dev.state == "dirty" and dev.vouched:
            self._book.update(dev=None)
            return True
        if dev.state == "shown" and not sighting.lands_with_dev(self._book.state):
            dev = self._dirty(dev, "")
        if dev.state != "dirty" or (dev.retry_at is not None and dev.retry_at > now):
            return False
        if dev.failed_heals == HEALS_BEFORE_PAGE and not dev.paged:
            self._book.update(dev=dev.model_copy(update={"paged": True}))
            text = f"Dev of {self._book.repository} can't be put back. {words.of_dev(dev)}"
            await self._calls.page(f"dev/{self._book.repository}/{dev.trial}", text)
        await self._heal()
        return True

    def free(self, item: Queued) -> bool:
        """Whether dev is what the target says, and may be shown this change now."""
        freeze = self._book.state.freeze
        if freeze is None or freeze.mode == "drain":
            return self._book.state.dev is None
        hot = freeze.mode == "hotfix_only" and item.priority is Priority.HOTFIX
        return hot and self._book.state.dev is None

    def began(self, car: Testing, change: str, test: CarTest) -> None:
        """The car is being applied."""
        dev = Dev(
            state="applying",
            sequence=car.sequence,
            change=change,
            sha=test.sha,
            trial=test.trial,
            limit_seconds=test.dev_seconds,
            began_at=self._book.now(),
        )
        self._book.update(dev=dev)

    def holds(self, car: Testing) -> bool:
        """Whether the car is being applied at this moment."""
        dev = self._book.state.dev
        return dev is not None and dev.state == "applying" and dev.trial == car.trial

    def heard(self, report: CarReport) -> None:
        """Fold in what an apply or a heal says; a report about another one changes nothing."""
        dev = self._book.state.dev
        if dev is None or dev.trial != report.trial or dev.state not in ("applying", "healing"):
            return
        if not report.finished:
            return
        said = next((result for result in report.results if result.check == DEV), None)
        well = said is not None and said.outcome == "passed"
        if not well:
            self._dirty(dev, said.summary if said else "there was no answer")
        elif dev.state == "healing":
            self._book.update(dev=None)
        else:
            self._book.update(dev=dev.model_copy(update={"state": "shown"}))

    def wakes_in(self, most: timedelta) -> timedelta:
        """How long until dev is to be put back again; at the most so long."""
        dev = self._book.state.dev
        if dev is None or dev.retry_at is None:
            return most
        return min(most, max(timedelta(seconds=1), dev.retry_at - self._book.now()))

    def _dirty(self, dev: Dev, why: str) -> Dev:
        """Dev has what the target has not; after an attempt to put it back, the next one waits a while."""
        update: dict[str, object] = {"state": "dirty", "why": why[:500]}
        if dev.state == "healing":
            pause = min(_FIRST_PAUSE * 2**dev.failed_heals, _LONGEST_PAUSE)
            update |= {"failed_heals": dev.failed_heals + 1, "retry_at": self._book.now() + pause}
        made = dev.model_copy(update=update)
        # Dev forgets what it has seen, so whoever it has seen has to be shown to it again.
        cars = tuple(_unseen(car) if car.dev == "passed" else car for car in self._book.state.cars)
        self._book.update(dev=made, cars=cars)
        return made

    async def _heal(self) -> None:
        dev, tip = self._book.state.dev, self._book.state.tip
        if dev is None or tip is None:
            return
        test = CarTest(
            train=self._book.train,
            trial=self._book.state.next_trial,
            repository=self._book.repository,
            change=f"{self._book.repository}/{DEV}",
            sha=tip,
            kind="heal",
            dev_seconds=dev.limit_seconds,
        )
        began: dict[str, object] = {"state": "healing", "trial": test.trial, "began_at": self._book.now()}
        self._book.state = self._book.state.with_build(self._book.now())
        self._book.update(dev=dev.model_copy(update={**began, "retry_at": None}))
        await self._calls.start_test(test)


def _unseen(car: Testing) -> Testing:
    passed: tuple[CheckResult, ...] = tuple(result for result in car.passed if result.check != DEV)
    return car.model_copy(update={"dev": "waits", "passed": passed})


def _at_most(dev: Dev) -> timedelta:
    return DEV_ATTEMPTS * (timedelta(seconds=dev.limit_seconds) + DEV_MARGIN) + _LOST
