"""What is under test: composing cars; starting, repeating and stopping their tests; hearing their reports."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.train import Composed, PlannedCheck, Rider
    from leverframe.model.changes import CarOutcome
    from workflows.merge_train import learning, sighting, words
    from workflows.merge_train.book import Book
    from workflows.merge_train.calls import Calls
    from workflows.merge_train.car import DEV, CarReport, CarTest
    from workflows.merge_train.dev import DevKeeper
    from workflows.merge_train.lane import Path, Plan
    from workflows.merge_train.queue import Queued
    from workflows.merge_train.state import Testing, bounded
    from workflows.merge_train.suspicion import TipTester


class Tester:
    """Carries out what a plan says of tests."""

    def __init__(self, book: Book, calls: Calls) -> None:
        self._book = book
        self._calls = calls
        self.dev = DevKeeper(book, calls)
        self.tip = TipTester(book, calls)
        self.ended: list[tuple[Queued, CarOutcome]] = []
        """Changes that turned out not to be composable at all; for the driver to settle in the same step."""

    async def carry_out(self, planned: Plan) -> bool:
        """Cancel, repeat and start tests. True if anything was done."""
        found = [sighting.trial_of(self._book.state, path) for path in planned.cancel]
        # One that waits for dev has no test to stop, and what is on its way to dev is not stopped.
        refuted = tuple(car for car in found if car and car.running and not self.dev.holds(car))
        await self.drop(refuted, forget=False)
        busy = bool(refuted)
        for path in planned.again:
            car = sighting.trial_of(self._book.state, path)
            busy |= car is not None and await self._begin(car, again=True)
        for path in planned.start:
            busy |= await self._start(path)
        return await self._show_to_dev() or busy

    async def drop(self, cars: tuple[Testing, ...], *, forget: bool = True) -> None:
        """Stop the tests of these cars; `forget` the cars, too, that stand on nothing any more."""
        for car in cars:
            if car.running and car.facts is not None and not self.dev.holds(car):
                await self._calls.cancel_test(car.facts.sha, car.trial)
            current = self._book.state.car(car.sequence, car.base)
            if forget:
                kept = tuple(one for one in self._book.state.cars if one is not current)
                self._book.update(cars=kept)
            elif current is not None:
                self._book.keep(
                    current.model_copy(update={"running": False, "runs": max(0, current.runs - 1)})
                )

    def heard(self, report: CarReport) -> None:
        """Fold what a test says into its car. One about a car that is gone changes nothing."""
        book = self._book
        book.heard += 1
        if self.tip.heard(report):
            return
        self.dev.heard(report)
        car = next((car for car in book.state.cars if car.trial == report.trial and car.running), None)
        if car is None or car.facts is None:
            return
        if not report.finished:
            book.keep(car.model_copy(update={"early_red": True}))
            return
        sha = car.facts.sha
        sound = tuple(bounded(result) for result in report.results if result.sha == sha)
        record = learning.run_ended(book.state.record, car, sound, self._book.now())
        book.update(record=record)
        book.keep(learning.folded(car, sound))

    async def _start(self, path: Path) -> bool:
        """Compose whatever of the path is missing, and test its last car."""
        if path not in sighting.paths(self._book.state) and not await self._compose(path):
            return False
        car = self._covering(path)
        if car is None or car.facts is None or car.running or not car.missing:
            return True  # It is known by now what there is to know.
        return await self._begin(car)

    def _covering(self, path: Path) -> Testing | None:
        """The last car of the path, which has to show what only its test can show of those below it."""
        known = sighting.paths(self._book.state)
        car = known.get(path)
        if car is None or car.facts is None or car.running:
            return car
        below = [known[path[:depth]] for depth in range(1, len(path)) if path[:depth] in known]
        owed = {
            check.name: check for one in below if not one.green and not one.running for check in one.required
        }
        own = {check.name for check in car.facts.required}
        covers = tuple(check for name, check in owed.items() if name not in own)
        covering = car.model_copy(update={"covers": covers})
        self._book.keep(covering)
        return covering

    async def _compose(self, path: Path) -> bool:
        """Put the missing cars of a path together. False when nothing came of it."""
        known = sighting.paths(self._book.state)
        depth = max((depth for depth in range(1, len(path)) if path[:depth] in known), default=0)
        below = known[path[:depth]] if depth else None
        if below is not None and below.facts is None:
            return False
        base = below.facts.sha if below and below.facts else self._book.state.tip
        items = [self._book.state.queue.get(sequence) for sequence in path[depth:]]
        riders = tuple(rider_of(item) for item in items if item is not None)
        if base is None or len(riders) < len(items):
            return False
        asked = {rider.sequence: rider for rider in riders}
        try:
            composed = await self._calls.compose(base, riders)
        except ActivityError as error:
            if len(riders) > 1:  # One of them can't be composed at all; which one shows one by one.
                return await self._compose(path[: depth + 1])
            if (last := self._book.state.queue.get(path[depth])) is not None:
                self.ended.append((last, words.refused(last, error)))
            return True
        for one in composed:
            item = self._book.state.queue.get(one.sequence)
            # Who got an override meanwhile is put together anew: fewer checks are required of it.
            if item is not None and rider_of(item) == asked[one.sequence]:
                self._composed(item, one)
        return True

    def _composed(self, item: Queued, one: Composed) -> None:
        if one.ended is not None:
            self.ended.append((item, one.ended))
            return
        facts = one.facts
        self._book.keep(
            Testing(
                sequence=one.sequence,
                base=one.base,
                facts=facts,
                conflict=one.conflict,
                override=item.override is not None,
                passed=facts.proven if facts else (),
                dev="waits" if facts and facts.dev_seconds is not None else None,
            )
        )
        if facts:
            # Dev sees one change at a time, so that one rides in no batch.
            solo = item.solo or facts.dev_seconds is not None
            self._book.keep_item(item.model_copy(update={"lanes": facts.lanes, "solo": solo}))

    async def _begin(self, car: Testing, *, again: bool = False) -> bool:
        """Start the test of what is missing on this car."""
        item = self._book.state.queue.get(car.sequence)
        if item is None or car.facts is None:
            return False
        missing = set(car.missing)
        checks = tuple(check for check in car.required if check.name in missing)
        if not checks and (car.dev != "waits" or not self.dev.free(item)):
            return False
        await self._run(car, item, checks, again=again)
        return True

    async def _show_to_dev(self) -> bool:
        """Apply the first change in line to dev, once all else about it is green and its base is the tip."""
        state = self._book.state
        first = next((item for item in state.queue.items if item.leaving is None), None)
        car = sighting.paths(state).get((first.sequence,)) if first else None
        if first is None or car is None or car.running or not car.green or car.dev != "waits":
            return False
        tried = (car.red is not None and car.red.check == DEV) or (
            car.silent is not None and car.silent.check == DEV
        )
        if tried or not self.dev.free(first):
            return False  # Then the planner says whether it is tried again.
        await self._run(car, first, (), again=False)
        return True

    async def _run(
        self, car: Testing, item: Queued, checks: tuple[PlannedCheck, ...], *, again: bool
    ) -> None:
        if car.facts is None:
            raise AssertionError(f"{item.change} has no car to test")
        test = self._test(item.change, car.facts.sha, checks, again=again)
        if test.kind == "dev":
            test = test.model_copy(update={"dev_seconds": car.facts.dev_seconds})
            self.dev.began(car, item.change, test)
        began = {"trial": test.trial, "running": True, "early_red": False, "runs": car.runs + 1}
        self._book.state = self._book.state.with_build(self._book.now())
        self._book.keep(car.model_copy(update={**began, "began_at": self._book.now()}))
        await self._calls.start_test(test)

    def _test(self, change: str, sha: str, checks: tuple[PlannedCheck, ...], *, again: bool) -> CarTest:
        return CarTest(
            train=self._book.train,
            trial=self._book.state.next_trial,
            repository=self._book.repository,
            change=change,
            sha=sha,
            kind="checks" if checks else "dev",
            checks=checks,
            again=again,
        )


def rider_of(item: Queued) -> Rider:
    """The item as what composes cars takes it."""
    return Rider(
        sequence=item.sequence,
        change=item.change,
        head=item.head,
        at=item.enqueued_at,
        override=item.override,
    )
