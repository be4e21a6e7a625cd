"""What lands and what leaves: the push, the ejection, and telling everybody who waits for it."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.train import LandCars, LandingCar, Tested
    from leverframe.model.changes import CarLanded, CarOutcome
    from leverframe.model.trains import Freeze
    from workflows.merge_train import learning, queue, sighting, words
    from workflows.merge_train.book import Book
    from workflows.merge_train.calls import Calls
    from workflows.merge_train.lane import Eject, Land
    from workflows.merge_train.queue import Queued
    from workflows.merge_train.state import (
        MAX_LANDINGS,
        MAX_SETTLED,
        Landing,
        Letter,
        Settled,
        Testing,
        slim,
    )
    from workflows.merge_train.testing import Tester, rider_of


class Lander:
    """Carries out what a plan says of verdicts."""

    def __init__(self, book: Book, calls: Calls, tester: Tester) -> None:
        self._book = book
        self._calls = calls
        self._tester = tester

    async def land(self, land: Land) -> str:
        """Compare-and-swap the target. Returns why the world has to be looked at, if it has."""
        known = sighting.paths(self._book.state)
        cars = [known[land.path[: depth + 1]] for depth in range(len(land.path))]
        items = [item for car in cars if (item := self._book.state.queue.get(car.sequence)) is not None]
        freeze = self._book.state.freeze
        try:
            request = await self._request(cars, items)
            if request is None or not self._still_may(items, freeze):
                return ""
            receipts = await self._calls.land(request)
        except ActivityError as error:
            return await self._not_landed(cars, items[-1], error)
        landed = [
            CarLanded(change=item.change, receipt=one) for item, one in zip(items, receipts, strict=True)
        ]
        for car, outcome in zip(cars, landed, strict=True):
            await self._moved(car, outcome)
        # A batch is told at once: what each of its changes has to hear takes several round trips.
        await self._calls.at_once(self._say(*one) for one in zip(items, landed, cars, strict=True))
        for item, outcome in zip(items, landed, strict=True):
            self._fold(item, outcome)
        return ""

    def _still_may(self, items: list[Queued], freeze: Freeze | None) -> bool:
        """Whether nobody has said anything against it since it was planned."""
        now = [self._book.state.queue.get(item.sequence) for item in items]
        return self._book.state.freeze == freeze and all(item and item.leaving is None for item in now)

    async def eject(self, said: Eject) -> None:
        """Take the change off, with the reason in words."""
        item = self._book.state.queue.get(said.sequence)
        car = sighting.trial_of(self._book.state, said.path)
        if item is None or car is None:
            return
        inquiry = self._book.state.inquiry
        partners: tuple[str, ...] = ()
        if inquiry is not None and inquiry.sequence == item.sequence:
            partners = inquiry.partners
        await self.settle(item, words.verdict(item, car, said, partners), car)

    async def settle(self, item: Queued, outcome: CarOutcome, car: Testing | None = None) -> None:
        """Tell the forge, start the release of what landed, and leave a letter for who asked."""
        await self._say(item, outcome, car)
        self._fold(item, outcome)

    async def _say(self, item: Queued, outcome: CarOutcome, car: Testing | None) -> None:
        await self._calls.settle(outcome)
        asked = self._book.state.inquiry
        if asked is not None and asked.sequence == item.sequence:
            if asked.trial and asked.sha is not None:
                await self._calls.cancel_test(asked.sha, asked.trial)
            self._book.update(inquiry=None)
        if isinstance(outcome, CarLanded):
            # One that landed before this train knew it is looked up.
            known = car.facts if car else None
            releases = known.releases if known else await self._calls.released_by(outcome.receipt)
            if releases is not None:
                latest = self._book.state.queue.get(item.sequence) or item
                await self._calls.release(releases, outcome.receipt, latest)

    def _fold(self, item: Queued, outcome: CarOutcome) -> None:
        # Read after the last wait: whoever asked until now is told, whoever asks later meets the outcome.
        book, now, outcome = self._book, self._book.now(), slim(outcome)
        item = book.state.queue.get(item.sequence) or item
        letter = (Letter(to=item.notify, outcome=outcome),) if item.notify else ()
        book.update(**learning.decided(book.state, item, outcome, book.rules))
        settled = Settled(
            head=item.head, requests=item.requests, outcome=outcome, title=item.title, settled_at=now
        )
        book.update(
            queue=queue.remove(book.state.queue, item.sequence),
            loose=book.state.loose + 1,
            letters=(*book.state.letters, *letter),
            settled=(*book.state.settled, settled)[-MAX_SETTLED:],
        )

    async def _request(self, cars: list[Testing], items: list[Queued]) -> LandCars | None:
        """What to ask of the forge; None when the car can't land as it is and is tested anew."""
        shas = [car.facts.sha for car in cars if car.facts]
        bases, tested, tip = [car.base for car in cars], None, self._book.state.tip
        if bases[0] != tip and tip is not None:
            # Other lanes landed since. The same change on the present tip is a commit that nobody tested.
            composed = (await self._calls.compose(tip, (rider_of(items[0]),)))[0]
            if composed.facts is None or len(cars) > 1 or cars[0].dev is not None:
                await self._tester.drop(tuple(cars))
                return None
            tested, shas, bases = Tested(base=bases[0], sha=shas[0]), [composed.facts.sha], [tip]
        return LandCars(
            repository=self._book.repository,
            cars=tuple(
                LandingCar(rider=rider_of(item), base=base, sha=sha, author=item.author, checks=car.passed)
                for item, base, sha, car in zip(items, bases, shas, cars, strict=True)
            ),
            tested=tested,
            at=self._book.now(),
        )

    async def _moved(self, car: Testing, outcome: CarLanded) -> None:
        """What is known once the target is at this car."""
        book, receipt = self._book, outcome.receipt
        landing = Landing(
            change=outcome.change,
            tested=car.facts.sha if car.facts else receipt.sha,
            landed=receipt.sha,
            before=receipt.base,
            lanes=car.facts.lanes if car.facts else (),
            proven=tuple(result.check for result in receipt.checks if result.sha == receipt.sha),
        )
        book.update(queue=sighting.with_green(book.state))
        await self._tester.drop(sighting.red_with_the_target(book.state))
        dev = book.state.dev
        book.update(
            tip=receipt.sha,
            landings=(*book.state.landings, landing)[-MAX_LANDINGS:],
            dev=None if dev and dev.sha == landing.tested else dev,
            suspicions=(),
            unaudited=book.state.unaudited + 1,
        )
        if book.state.freeze and book.state.freeze.owner == learning.RED_MAIN:
            book.update(freeze=None)  # What landed was tested on the target, and is green.

    async def _not_landed(self, cars: list[Testing], item: Queued, error: ActivityError) -> str:
        kind, _ = words.cause_of(error)
        if kind == "TargetMoved":
            return "the target moved"
        if kind == "Conflict":
            return "a change moved"
        if kind == "Unproven":
            # Composed anew, they know what is required now; what was proven of them stays so.
            await self._tester.drop(tuple(cars))
            return ""
        if cars[0].base != self._book.state.tip:
            # Where it matters the target differs from what was tested: test it there.
            await self._tester.drop(tuple(cars))
            return ""
        await self.settle(item, words.refused(item, error))
        return ""
