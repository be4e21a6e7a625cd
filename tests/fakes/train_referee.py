"""What must hold of a train whatever happens, judged by the remote's refs and the CI's own log.

The referee trusts nothing that the train says of itself where the world can be asked instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from activities.train import LandCars
from leverframe.model.changes import CarEjected, CarOutcome, Priority, Receipt
from tests.fakes.train_depot import Controller, Depot
from tests.fakes.train_grounds import MAIN
from workflows.merge_train import sighting
from workflows.merge_train.attribution import RUNS_WITHOUT_WORD
from workflows.merge_train.car import CarTest
from workflows.merge_train.driver import STUCK
from workflows.merge_train.planning import plan
from workflows.merge_train.state import Testing
from workflows.merge_train.window import FLOOR

LANDED = "refs/train/main/landed/"
CARS = "refs/train/main/cars/"


@dataclass
class Referee:
    """Watches every controller, and remembers what people did."""

    depot: Depot
    target: str = field(init=False)
    """Where the target is, by all that anybody was seen to do."""
    tips: set[str] = field(default_factory=set)
    """Every commit that the target was ever at."""
    peoples: set[str] = field(default_factory=set)
    """Commits that people pushed to the target."""
    receipts: list[Receipt] = field(default_factory=list)
    outcomes: list[CarOutcome] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    overtakers: dict[int, set[int]] = field(default_factory=dict)
    seen: dict[int, datetime] = field(default_factory=dict)
    """When each change was first in line."""
    pinned: set[int] = field(default_factory=set)
    """Changes that have waited so long that nobody but a hotfix may pass them."""
    stopped: list[tuple[int, ...]] = field(default_factory=list)
    used: int = 0
    """Tests begun and cars composed in this step."""

    def __post_init__(self) -> None:
        self.target = self.depot.ground.refs()[MAIN]
        self.moved(self.target)

    def moved(self, sha: str) -> None:
        """People moved the target, or it began here."""
        self.target = sha
        self.tips.add(sha)
        self.peoples.add(sha)

    # What controllers do.

    def asks(self, by: Controller, name: str, arguments: tuple[Any, ...]) -> None:
        self.used += name in ("start_test", "compose")
        if name == "land":
            self.nothing_lands_that_a_freeze_in_force_holds_back(by, arguments[0])
        if name == "start_test":
            self.past_the_budget_nothing_is_tested_ahead(by, arguments[0])

    def called(self, by: Controller, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "settle_change":
            outcome = arguments[0]
            self.outcomes.append(outcome)
            if isinstance(outcome, CarEjected) and by.heard_by_ci:
                self.what_has_landed_is_never_taken_off(by, outcome)
                self.only_a_settled_base_judges_a_change(by, outcome)
                self.only_a_remote_that_refused_takes_a_change_off_as_refused(outcome)

    def answered(self, by: Controller, name: str, arguments: tuple[Any, ...], answer: object) -> None:
        if name == "land":
            self._landed()

    def cancelled(self, by: Controller, sha: str, trial: int) -> None:
        self._stopped(by, trial)

    def _landed(self) -> None:
        refs = self.depot.ground.refs()
        numbers = sorted(int(ref.removeprefix(LANDED)) for ref in refs if ref.startswith(LANDED))
        assert numbers == list(range(1, len(numbers) + 1)), "receipts are numbered without gaps"
        if len(numbers) > len(self.receipts):
            known = len(self.receipts)
            limit = len(numbers) - known
            new = self.depot.ground.track.receipts(self.depot.repository, limit=limit)[::-1]
            self.the_target_moves_forward_from_the_tested_base(new, refs[MAIN])
            for receipt in new:
                self.the_required_checks_were_green_on_what_landed(receipt, new)
                self.what_landed_is_the_change_composed_on_its_base(receipt)
                self.a_head_that_moved_or_was_closed_does_not_land(receipt, refs)
                self.receipts.append(receipt)
            self.target = refs[MAIN]
            # In composed lanes the car that was tested is as settled as what landed in its place.
            self.tips |= {sha for one in new for sha in (one.sha, one.covered_by) if sha}
        assert refs[MAIN] == self.target, "nobody but people moves the target without a receipt"

    # What must hold.

    def nothing_lands_that_a_freeze_in_force_holds_back(self, by: Controller, asked: LandCars) -> None:
        freeze = by.state.freeze
        if freeze is None or freeze.mode == "drain":
            return
        items = [by.state.queue.get(car.rider.sequence) for car in asked.cars]
        hot = all(item is not None and item.priority is Priority.HOTFIX for item in items)
        assert (freeze.mode, hot) == ("hotfix_only", True), (
            f"{asked.cars[-1].rider.change} lands while {freeze.mode}"
        )

    def the_target_moves_forward_from_the_tested_base(self, new: list[Receipt], tip: str) -> None:
        ground = self.depot.ground
        if tip != self.target:
            assert new[0].base == self.target, "the old value of the swap is the base that was tested"
            assert tip == new[-1].sha
            assert ground.contains(tip, self.target), "only people take something back from the target"
        else:
            assert all(ground.contains(tip, receipt.sha) for receipt in new)
        known = self.peoples | {receipt.sha for receipt in self.receipts} | {one.sha for one in new}
        assert all(receipt.base in known for receipt in new), "each stands on a landing or on what people did"

    def the_required_checks_were_green_on_what_landed(self, receipt: Receipt, new: list[Receipt]) -> None:
        ci, repository = self.depot.ci, self.depot.repository
        paths = receipt.paths
        on = receipt.sha
        if receipt.evidence in ("covered", "composed"):
            assert receipt.covered_by is not None
            on = receipt.covered_by
        if receipt.evidence == "covered" or any(one.covered_by == receipt.sha for one in new):
            batch = [one for one in new if on in (one.covered_by, one.sha)]
            paths = tuple(path for one in batch for path in one.paths)
        required = {check.name for check in repository.required_checks(paths)}
        if receipt.evidence == "override":
            assert receipt.override is not None
            assert len({*receipt.override.people, receipt.author.name}) == 3, "two people, not its author"
            required = set(receipt.override.checks)
        for name in required:
            assert ci.passed(on, name), f"{receipt.change} landed without {name} on {on[:12]}"
        if repository.dev_seconds(receipt.paths) is not None:
            assert ci.passed(receipt.sha, "dev"), f"{receipt.change} landed though dev never had it"

    def what_landed_is_the_change_composed_on_its_base(self, receipt: Receipt) -> None:
        """So that composing the changes again in the order of their receipts gives the target's tree."""
        merged = self.depot.ground.merged(receipt.base, receipt.head)
        assert merged == receipt.tree, f"{receipt.change} landed as something else"

    def a_head_that_moved_or_was_closed_does_not_land(self, receipt: Receipt, refs: dict[str, str]) -> None:
        change = self.depot.changes.change(receipt.change)
        assert refs.get(f"refs/heads/{change.branch}") == receipt.head, (
            f"{change.id} had moved before it landed"
        )
        assert change.state != "closed", f"{change.id} was closed before it landed"

    def what_has_landed_is_never_taken_off(self, by: Controller, outcome: CarEjected) -> None:
        line = self.depot.ground.line(self.target)
        items = [item for item in by.state.queue.items if item.change == outcome.change]
        known = {(receipt.change, receipt.head) for receipt in self.receipts if receipt.sha in line}
        landed = [item for item in items if (item.change, item.head) in known]
        # The words of `empty` are for what landed under another head.
        assert len(landed) < len(items) or not items, f"{outcome.change} had landed: {outcome.detail}"

    def only_a_settled_base_judges_a_change(self, by: Controller, outcome: CarEjected) -> None:
        if outcome.reason not in ("check_failed", "incompatible", "check_inconclusive", "conflict"):
            return
        assert any(self._judges(by, outcome, car) for car in self._cars_of(by, outcome.change)), (
            f"{outcome.change} was taken off without a verdict: {outcome.detail}"
        )

    def only_a_remote_that_refused_takes_a_change_off_as_refused(self, outcome: CarEjected) -> None:
        """What the train did not prove, or asked wrongly, is its own fault and not the change's."""
        if outcome.reason == "refused":
            assert "main is protected" in outcome.detail, outcome.detail

    def _judges(self, by: Controller, outcome: CarEjected, car: Testing) -> bool:
        """Whether this car, by what the world knows of it, is reason enough."""
        ci = self.depot.ci
        if car.base not in self.tips:
            return False
        if outcome.reason == "conflict":
            item = by.state.queue.get(car.sequence)
            return item is not None and self.depot.ground.merged(car.base, item.head) is None
        if car.facts is None:
            return False
        if outcome.reason == "check_inconclusive":
            silent = [one for one in ci.said if one.sha == car.facts.sha and one.outcome == "inconclusive"]
            return len(silent) >= RUNS_WITHOUT_WORD or car.silent is not None
        if car.red is None:
            return False
        check, confirmations = car.red.check, by.book.rules.confirmations
        at_fault = check == "dev" or not self.depot.red(car.base, check)
        assert at_fault, f"{outcome.change} is blamed for {check}, which is red on {car.base[:12]} itself"
        return len(ci.failures(car.facts.sha, check)) > confirmations

    def _cars_of(self, by: Controller, change: str) -> Iterator[Testing]:
        for car in by.state.cars:
            item = by.state.queue.get(car.sequence)
            if item is not None and item.change == change:
                yield car

    def _stopped(self, by: Controller, trial: int) -> None:
        """Note a test that is stopped although nobody that it is about has left or landed."""
        state = by.state
        car = next((car for car in state.cars if car.trial == trial and car.facts), None)
        if car is None or (car.began_at and self.depot.now - car.began_at > STUCK):
            return  # It was given up for lost.
        if state.declared != self.depot.repository.requirements:
            return  # Other checks are required by now, so every car is put together anew.
        chain = self._chain(by, car)
        if not chain:
            return
        order = [item.sequence for item in state.queue.items if item.leaving is None]
        at = [order.index(one) if one in order else -1 for one in chain]
        if -1 in at or at != sorted(at):
            return  # Somebody left, or rides before another now.
        self.stopped.append(tuple(chain))

    def a_runner_taken_is_a_runner_used(self, by: Controller) -> None:
        """A test of a car that still stands is stopped only for one that is needed more."""
        if by.between_steps:
            stopped, used = self.stopped, self.used
            self.stopped, self.used = [], 0
            assert len(stopped) <= used, f"the tests of {stopped} were stopped for nothing"

    def _chain(self, by: Controller, car: Testing) -> list[int]:
        """The changes of the car, lowest first; empty when it does not stand on the tip."""
        by_sha = {one.facts.sha: one for one in by.state.cars if one.facts}
        chain = [car.sequence]
        while car.base != by.state.tip:
            if car.base not in by_sha:
                return []
            car = by_sha[car.base]
            chain.insert(0, car.sequence)
        return chain

    def _runners(self, by: Controller) -> int:
        return 1 if by.book.rules.strategy == "serial" else by.book.rules.runners

    def past_the_budget_nothing_is_tested_ahead(self, by: Controller, test: CarTest) -> None:
        allowed, state = by.book.rules.builds_a_day, by.state
        if allowed == "unlimited" or test.again or test.kind != "checks" or test.change.endswith("/tip"):
            return
        since = (self.depot.now - timedelta(hours=24)).strftime("%Y-%m-%dT%H")
        spent = sum(count for hour, count in state.builds.items() if hour > since)
        if spent <= allowed:
            return
        car = next(car for car in state.cars if car.trial == test.trial)
        # Who comes first is the planner's to say: one may be out of the question while the target is red.
        assert car.base == state.tip, f"{test.change} is tested ahead though the budget is used up"

    # What is looked at after every step.

    def looks(self, by: Controller) -> None:
        """After whatever has happened."""
        self.every_commit_of_the_target_is_receipted_or_a_persons()
        self.refs_of_cars_and_receipts_never_change()
        self.runners_and_window_are_kept(by)
        self.no_change_is_overtaken_more_often_or_later_than_the_rules_say(by)
        self.the_plan_depends_on_nothing_but_the_snapshot(by)
        self.cars_of_open_changes_stay_on_the_remote(by)
        self.a_runner_taken_is_a_runner_used(by)
        self.no_test_goes_on_that_nobody_waits_for(by)

    def every_commit_of_the_target_is_receipted_or_a_persons(self) -> None:
        tip = self.depot.ground.refs()[MAIN]
        known = {receipt.sha for receipt in self.receipts} | self.peoples
        line = self.depot.ground.line(tip)
        assert set(line) <= known
        landed = [receipt.change for receipt in self.receipts if receipt.sha in line]
        again = len(landed) - len(
            {(receipt.change, receipt.sha) for receipt in self.receipts if receipt.sha in line}
        )
        assert len(set(landed)) == len(landed) - again, "a change lands once"

    def refs_of_cars_and_receipts_never_change(self) -> None:
        refs = self.depot.ground.refs()
        for ref, value in self.refs.items():
            if ref.startswith(LANDED):
                assert refs.get(ref) == value, f"{ref} was changed"
            elif ref.startswith(CARS) and ref in refs:
                assert refs[ref] == value, f"{ref} was changed"
        self.refs = {ref: value for ref, value in refs.items() if ref.startswith((LANDED, CARS))}

    def runners_and_window_are_kept(self, by: Controller) -> None:
        rules, clamp = by.book.rules, by.state.clamp.limit
        under_test = [car for car in by.state.cars if car.running and car.facts and car.missing]
        assert len(under_test) <= self._runners(by), f"{len(under_test)} cars are tested at once"
        assert clamp is None or min(FLOOR, rules.window) <= clamp <= rules.window

    def no_test_goes_on_that_nobody_waits_for(self, by: Controller) -> None:
        """A runner that a forgotten test holds is one that nobody gets. The tip's tests end by themselves."""
        trials = {car.trial for car in by.state.cars if car.running}
        runs = [run.test for run in self.depot.ci.runs.values()]
        strays = [
            one.change
            for one in runs
            if one.kind == "checks" and not one.change.endswith("/tip") and one.trial not in trials
        ]
        assert not strays or not by.between_steps, f"the tests of {strays} go on, and nobody waits for them"

    def no_change_is_overtaken_more_often_or_later_than_the_rules_say(self, by: Controller) -> None:
        """Waiting is counted from when the change was first seen in line, by the world's own clock."""
        rules, now, items = by.book.rules, self.depot.now, by.state.queue.items
        for at, item in enumerate(items):
            known = self.overtakers.setdefault(item.sequence, set())
            passed = {
                ahead.sequence
                for ahead in items[:at]
                if ahead.sequence > item.sequence and ahead.priority is not Priority.HOTFIX
            }
            assert item.sequence not in self.pinned or passed <= known, f"{item.change} had waited enough"
            known |= passed
            assert len(known) <= rules.max_overtaken
            if now - self.seen.setdefault(item.sequence, now) >= timedelta(minutes=rules.max_wait_minutes):
                self.pinned.add(item.sequence)

    def the_plan_depends_on_nothing_but_the_snapshot(self, by: Controller) -> None:
        seen = sighting.snapshot(by.state, self.depot.now)
        again = seen.model_copy(update={"trials": (*seen.trials[::-1], *seen.trials[:2])})
        one = plan(seen, by.book.rules, by.state.record)
        assert one == plan(again, by.book.rules, by.state.record)

    def cars_of_open_changes_stay_on_the_remote(self, by: Controller) -> None:
        for car in by.state.cars:
            item = by.state.queue.get(car.sequence)
            if car.facts is not None and item is not None and item.leaving is None:
                assert self.depot.ground.there(car.facts.sha), f"the car of {item.change} is gone"
