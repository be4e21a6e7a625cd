"""A state machine that does to a train whatever the world may do, in any order, and asks the referee."""

from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Engine

from leverframe.model.changes import Author, Priority
from leverframe.model.topology import Infrastructure, TrainRules
from leverframe.model.trains import FreezeMode
from tests.fakes.train_ci import How, Run
from tests.fakes.train_depot import Controller, Depot
from tests.fakes.train_grounds import MAIN, Ground, declared
from tests.fakes.train_referee import Referee
from tests.fakes.train_wishes import (
    AREAS,
    CHECKS,
    EXTRA,
    NUMBERS,
    PEOPLE,
    STRANGER,
    Person,
    Truth,
    numbers,
    pauses,
    rules,
    truths,
)
from workflows.merge_train.car import CarReport
from workflows.merge_train.messages import FreezeRequest, Vouch
from workflows.merge_train.queue import MAX_KEPT


class TrainMachine(RuleBasedStateMachine):
    """The lives of one train. `make_ground` and `engine` come from the test."""

    make_ground: ClassVar[Callable[[], Ground]]
    engine: ClassVar[Engine]

    @initialize(
        rules=rules,
        truth=truths,
        areas=st.lists(st.sampled_from(AREAS), min_size=len(NUMBERS), max_size=len(NUMBERS)),
        shared=st.lists(st.sampled_from([None, None, 1, 2]), min_size=len(NUMBERS), max_size=len(NUMBERS)),
        with_infrastructure=st.booleans(),
    )
    def begin(
        self,
        rules: TrainRules,
        truth: Truth,
        areas: list[str],
        shared: list[int | None],
        with_infrastructure: bool,
    ) -> None:
        ground = type(self).make_ground()
        infrastructure = (
            Infrastructure(paths=("infra/**",), directory="infra") if with_infrastructure else None
        )
        repository = declared(ground.url, CHECKS, train=rules, infrastructure=infrastructure)
        self.depot = Depot(ground, self.engine, repository)
        self.depot.red = lambda sha, check: truth.red(ground.paths(sha), check)
        self.referee = Referee(self.depot)
        self.train = Controller(self.depot, watcher=self.referee)
        self.train.run()  # Before its first look a train does not know its rules.
        self.stale: Controller | None = None
        self.asked: set[tuple[str, str]] = set()
        self.requests = 0
        self.people = {
            number: Person(
                area,
                edits,
                Author(kind="agent", name="fixer") if number % 3 == 0 else Author(kind="person", name="ada"),
            )
            for number, area, edits in zip(NUMBERS, areas, shared, strict=True)
        }

    # People and their changes.

    @rule(
        number=numbers,
        priority=st.sampled_from([*Priority, Priority.NORMAL]),
        solo=st.booleans(),
        then=pauses,
    )
    def enqueue(self, number: int, priority: Priority, solo: bool, then: int) -> None:
        self._enqueue(number, priority, solo)
        self.train.run(then)

    @rule(several=st.lists(numbers, min_size=2, max_size=5, unique=True), then=pauses)
    def enqueue_several(self, several: list[int], then: int) -> None:
        for number in several:
            self._enqueue(number, Priority.NORMAL, False)
        self.train.run(then)

    def _enqueue(self, number: int, priority: Priority, solo: bool) -> None:
        person = self.people[number]
        if person.change is None:
            self._push(number)
        assert person.change is not None
        self.requests += 1
        answer = self.train.enqueue(
            person.change,
            priority=priority,
            solo=solo,
            request=f"r{self.requests}",
            notify=(f"r{self.requests}",),
        )
        if answer in ("waiting", "riding", "settled"):
            self.asked.add((person.change.id, f"r{self.requests}"))

    @rule(number=numbers, mends=st.booleans(), then=pauses)
    def push_to_a_source(self, number: int, mends: bool, then: int) -> None:
        self._push_to_an_open_one(number, mends=mends)
        self.train.run(then)

    def _push_to_an_open_one(self, number: int, *, mends: bool = False) -> None:
        change = self.people[number].change
        if change is not None and self.depot.changes.change(change.id).state in ("open", "ejected"):
            self._push(number, mends=mends)

    def _push(self, number: int, *, mends: bool = False) -> None:
        person = self.people[number]
        person.pushes += 1
        files = {
            f"{person.area}/m{number}": f"{number}",
            f"{person.area}/r{number}": f"{person.pushes} of {number}",
        }
        if person.shared is not None:
            files[f"{person.area}/text{person.shared}"] = f"by {number}"
        if mends:
            files[f"{person.area}/fixed{number}"] = "yes"
        if person.change is not None:
            # A branch that was deleted comes back.
            person.change = self.depot.open(
                f"work/{number}", files, author=person.author, onto=person.heads[-1]
            )
        else:
            person.change = self.depot.open(f"work/{number}", files, author=person.author)
        person.heads.append(person.change.head)

    @rule(
        number=numbers, what=st.sampled_from(["withdraw", "close", "reopen", "delete", "force"]), then=pauses
    )
    def interfere_with_a_change(self, number: int, what: str, then: int) -> None:
        person = self.people[number]
        if person.change is None:
            return
        match what:
            case "withdraw":
                self.train.desk.withdraw(person.change.id)
            case "close":
                self.depot.changes.close(person.change.id)
            case "reopen":
                self.depot.changes.reopen(person.change.id)
            case "delete":
                self.depot.ground.point(f"work/{number}", None)
            case "force":
                self.depot.ground.point(f"work/{number}", person.heads[0])
        self.train.run(then)

    @rule(number=numbers, person=st.sampled_from(PEOPLE), checks=st.sampled_from([(), ("fast",)]))
    def vouch(self, number: int, person: str, checks: tuple[str, ...]) -> None:
        change = self.people[number].change
        if change is None:
            return
        asked = Vouch(change=change.id, head=change.head, person=person, reason="it burns", checks=checks)
        if not self.train.desk.objection(asked):
            self.train.desk.vouch(asked)

    # The CI and its mail.

    @rule(
        at=st.integers(0, 5), how=st.sampled_from(["truth", "truth", "truth", "flake", "silent"]), then=pauses
    )
    def end_a_test(self, at: int, how: How, then: int) -> None:
        if run := self._running(at):
            self.depot.ci.finish(run, how)
            self._deliver(-1)
        self.train.run(then)

    @rule(then=pauses)
    def end_all_tests(self, then: int) -> None:
        for run in list(self.depot.ci.runs.values()):
            self.depot.ci.finish(run)
        self.train.read_mail()
        self.train.run(then)

    @rule(
        at=st.integers(0, 5),
        what=st.sampled_from(["red early", "lost", "ends unheard", "lies about another commit"]),
    )
    def trouble_a_test(self, at: int, what: str) -> None:
        run, ci = self._running(at), self.depot.ci
        if run is None:
            return
        match what:
            case "red early":
                ci.tell_red(run)
            case "lost":
                ci.lose(run)
            case "ends unheard":
                ci.finish(run)
            case "lies about another commit":
                other = self.another_commit(run)
                results = tuple(ci.result(other, check.name, "passed") for check in run.test.checks)
                ci.lose(run)
                ci.mail.append(CarReport(trial=run.test.trial, results=results))

    def another_commit(self, run: Run) -> str:
        """Some commit that this test is not about."""
        return "e" * 40 if run.test.sha == self.referee.target else self.referee.target

    @rule(at=st.integers(0, 5), stays=st.booleans(), then=pauses)
    def deliver_some_mail(self, at: int, stays: bool, then: int) -> None:
        """In any order, perhaps twice."""
        if self.depot.ci.mail:
            self._deliver(at % len(self.depot.ci.mail), stays=stays)
        self.train.run(then)

    def _deliver(self, at: int, *, stays: bool = False) -> None:
        mail = self.depot.ci.mail
        self.train.driver.heard(mail[at] if stays else mail.pop(at))

    def _running(self, at: int) -> Run | None:
        runs = list(self.depot.ci.runs.values())
        return runs[at % len(runs)] if runs else None

    # The target and its remote.

    @rule(
        what=st.sampled_from(["forward", "forward, red", "rewound", "forced"]),
        back=st.integers(1, 3),
        then=pauses,
    )
    def push_to_the_target(self, what: str, back: int, then: int) -> None:
        self._outsider(what, back)
        self.train.run(then)

    def _outsider(self, what: str, back: int) -> None:
        ground = self.depot.ground
        line = ground.line(ground.refs()[MAIN])
        if what in ("rewound", "forced"):
            ground.point("main", line[min(back, len(line) - 1)])
        if what != "rewound":
            number = len(self.referee.peoples)
            mark = {f"a/m{STRANGER + back % 2}": "x"} if what == "forward, red" else {}
            ground.write("main", {f"a/p{number}": f"{number}", **mark})
        self.referee.moved(ground.refs()[MAIN])

    @rule(
        faults=st.lists(
            st.sampled_from(["lost before", "lost after", "refused", "raced", "source moves"]),
            min_size=1,
            max_size=4,
        ),
        number=numbers,
        then=pauses,
    )
    def hurt_the_next_pushes(self, faults: list[str], number: int, then: int) -> None:
        faster = {
            "raced": lambda: self._outsider("forward", 1),
            "source moves": lambda: self._push_to_an_open_one(number),
        }
        self.depot.ground.pushes.faults[:] = [faster.get(fault, fault) for fault in faults]
        self.train.run(then)

    @rule(more=st.booleans())
    def declare_other_checks(self, more: bool) -> None:
        checks = (*CHECKS, EXTRA) if more else CHECKS
        self.depot.declare(self.depot.repository.model_copy(update={"checks": checks}))

    @rule(hours=st.integers(0, 30))
    def take_old_cars_away(self, hours: int) -> None:
        keep = [car.facts.sha for car in self.train.state.cars if car.facts]
        before = self.depot.now - timedelta(hours=hours)
        self.depot.ground.track.drop_cars(self.depot.repository, keep=keep, before=before)

    # The train itself.

    @rule(then=pauses)
    def run_the_train(self, then: int) -> None:
        self.train.run(then)

    @rule(minutes=st.sampled_from([1, 6, 60, 60 * 6, 60 * 25]), then=pauses)
    def let_time_pass(self, minutes: int, then: int) -> None:
        self.train.wait(minutes=minutes)
        self.train.run(then)

    @rule(then=pauses)
    def tell_the_train_to_look(self, then: int) -> None:
        self.train.driver.look_soon("something was pushed")
        self.train.run(then)

    @rule(
        mode=st.sampled_from(["drain", "hold_landing", "hotfix_only", None]),
        minutes=st.sampled_from([None, 30]),
        then=pauses,
    )
    def freeze_or_thaw(self, mode: FreezeMode | None, minutes: int | None, then: int) -> None:
        until = self.depot.now + timedelta(minutes=minutes) if minutes else None
        if mode is None:
            self.train.desk.thaw()
        else:
            self.train.desk.freeze(FreezeRequest(mode=mode, owner="ada", reason="why not", until=until))
        self.train.run(then)

    @rule(then=pauses)
    def lose_an_answer(self, then: int) -> None:
        """The worker was killed after the call and before it could say so: the call is made again."""
        if self.train.pause is not None and self.train.pause.answered:
            self.train.pause.lost = True
        self.train.run(then)

    @rule(then=pauses)
    def continue_as_new(self, then: int) -> None:
        while not self.train.between_steps:
            self.train.advance()
        self.train.begin(self.train.state)
        self.train.run(then)

    @rule(what=st.sampled_from(["appears", "goes on", "goes on"]), then=pauses)
    def second_controller(self, what: Literal["appears", "goes on"], then: int) -> None:
        """It was cut off with what the train knew then; nobody hears of its tests."""
        if what == "appears" or self.stale is None:
            self._forget_the_second()
            self.stale = Controller(self.depot, self.train.state, watcher=self.referee, heard_by_ci=False)
        self.stale.run(then)
        self.train.run(then)

    def _forget_the_second(self) -> None:
        if self.stale is not None:
            self.stale.close()

    # What must hold.

    @invariant()
    def what_must_hold(self) -> None:
        self.referee.looks(self.train)

    def teardown(self) -> None:
        """As long as events keep coming, every ride ends, and everybody who asked is told once."""
        try:
            if not self.train.failed:
                self._end_well()
        finally:
            self._forget_the_second()
            self.train.close()

    def _end_well(self) -> None:
        self.depot.ground.pushes.faults.clear()
        for _ in range(40):
            self.train.settle_down()
            if not self.train.state.queue.items and not self.train.state.letters:
                break
            if any(self.depot.red(self.depot.ground.refs()[MAIN], check) for check in ("fast", "slow")):
                self.depot.ground.write(
                    "main", {f"a/fixed{STRANGER + n}": "yes" for n in (0, 1)} | self._mended()
                )
                self.referee.moved(self.depot.ground.refs()[MAIN])
            if self.train.state.freeze is not None:
                self.train.desk.thaw()
            self.train.wait(hours=4)
        waiting = [item.change for item in self.train.state.queue.items]
        assert not waiting, f"{waiting} never come to an end: {self.train.state}"
        told = [receiver for receiver, _ in self.depot.told]
        assert len(set(told)) == len(told), f"nobody is told twice: {sorted(told)}"
        for change in {change for change, _ in self.asked}:
            mine = {request for one, request in self.asked if one == change}
            missed = mine - set(told)
            # Of so many who asked for one ride, a later one takes the place of the oldest.
            assert not missed or len(mine) > MAX_KEPT, f"{missed} asked for {change} and hear nothing"
        self.referee.looks(self.train)
        self.what_landed_stays_so()

    def _mended(self) -> dict[str, str]:
        return {f"a/fixed{number}": "yes" for number in NUMBERS}

    def what_landed_stays_so(self) -> None:
        """Whoever was told that a change landed is not told later that it was taken off, nor is the forge."""
        line = self.depot.ground.line(self.depot.ground.refs()[MAIN])
        for receipt in self.referee.receipts:
            if receipt.sha in line:
                assert self.depot.changes.change(receipt.change).state == "landed", receipt.change
