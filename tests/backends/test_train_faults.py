"""What a train does when its world misbehaves, fault by fault: its own driver, without an engine.

Where git or the remote has a part in it, it is the real one; else the one in memory, which is quicker.
`docs/reference/train-faults.md` lists these and the faults that are tried elsewhere.
"""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.backends.store_sql import open_store
from leverframe.model.changes import CarEjected, CarLanded, Change, Priority
from leverframe.model.topology import Check, TrainRules
from tests.fakes.git_world import GitWorld
from tests.fakes.train_ci import How
from tests.fakes.train_depot import Controller, Depot
from tests.fakes.train_grounds import MAIN, GitGround, Ground, MemoryGround, declared, quick_root
from tests.fakes.train_referee import Referee
from workflows.merge_train.car import CarReport
from workflows.merge_train.driver import RECONCILE, STUCK
from workflows.merge_train.messages import FreezeRequest, Vouch

CHECKS = (Check(name="fast", phase="fast", command=("true",)), Check(name="slow", command=("true",)))
EXTRA = Check(name="extra", command=("true",))


@pytest.fixture(scope="module")
def template() -> Iterator[GitWorld]:
    root = quick_root()
    yield GitWorld(root)
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return open_store(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db")


@pytest.fixture
def ground() -> Ground:
    return MemoryGround()


class OnGit:
    """Tests whose remote is a bare repository."""

    @pytest.fixture
    def ground(self, template: GitWorld, tmp_path: Path) -> Ground:
        return GitGround(template, tmp_path)


@pytest.fixture
def depot(ground: Ground, engine: Engine) -> Depot:
    depot = Depot(ground, engine, declared(ground.url, CHECKS, train=TrainRules(track="built_in")))
    depot.red = lambda sha, check: "bad.py" in ground.paths(sha) and "mended.py" not in ground.paths(sha)
    return depot


@pytest.fixture
def referee(depot: Depot) -> Referee:
    return Referee(depot)


@pytest.fixture
def train(depot: Depot, referee: Referee) -> Iterator[Controller]:
    train = Controller(depot, watcher=referee)
    yield train
    if not train.failed:
        referee.looks(train)
    train.close()


def red_with(depot: Depot, *names: str) -> None:
    """Every commit that has all of these files is red."""
    depot.red = lambda sha, check: set(names) <= depot.ground.paths(sha)


def enqueued(train: Controller, *names: str) -> list[Change]:
    changes = [train.depot.open(name, {f"{name}.py": f"{name}\n"}) for name in names]
    for change in changes:
        train.enqueue(change)
    return changes


def until(train: Controller, call: str, *, answered: bool) -> None:
    """Up to this call, before it is made or before its answer arrives."""
    for _ in range(200):
        if train.pause and (train.pause.name, train.pause.answered) == (call, answered):
            return
        assert train.advance(), f"the train rests before {call}"
    raise AssertionError(f"{call} is never made")


def ended(train: Controller, change: Change) -> str:
    outcome = train.outcome(change)
    assert outcome is not None, f"{change.id} has not ended"
    return outcome.kind if isinstance(outcome, CarLanded) else outcome.reason


def tip(depot: Depot) -> str:
    return depot.ground.refs()[MAIN]


class TestTheControllerDies(OnGit):
    def test_killed_between_push_and_record_it_lands_the_change_once(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        [work] = enqueued(train, "work")
        train.run()
        depot.ci.finish(next(iter(depot.ci.runs.values())))
        train.read_mail()
        until(train, "land", answered=True)
        assert train.pause is not None
        train.pause.lost = True
        train.settle_down()
        assert ended(train, work) == "landed"
        assert len(referee.receipts) == 1

    def test_ended_between_push_and_record_and_begun_anew_it_says_that_the_change_landed(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        [work] = enqueued(train, "work")
        train.run()
        depot.ci.finish(next(iter(depot.ci.runs.values())))
        train.read_mail()
        until(train, "land", answered=True)
        anew = Controller(depot, watcher=referee)
        anew.enqueue(work)
        anew.settle_down()
        assert ended(anew, work) == "landed"
        assert depot.changes.change(work.id).state == "landed"
        assert len(referee.receipts) == 1

    def test_a_second_train_with_an_old_view_lands_only_what_is_proven_on_the_tip(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        enqueued(train, "one", "two")
        train.run()
        second = Controller(depot, train.state, watcher=referee, heard_by_ci=False)
        train.settle_down()
        second.wait(hours=1)
        second.run()
        second.close()
        assert [receipt.change for receipt in referee.receipts] == ["shop/1", "shop/2"]


class TestTheTargetMoves(OnGit):
    @pytest.mark.parametrize("how", ["forward", "forced", "rewound"])
    def test_by_an_outsider_in_the_middle_of_a_test_everything_is_tested_again_on_what_is_there(
        self, train: Controller, depot: Depot, referee: Referee, how: str
    ) -> None:
        begin = tip(depot)
        referee.moved(depot.ground.write("main", {"before.py": "x\n"}))
        work, other = enqueued(train, "work", "other")
        train.run()
        if how != "forward":
            depot.ground.point("main", begin)
        if how != "rewound":
            depot.ground.write("main", {"strange.py": "x\n"})
        referee.moved(tip(depot))
        train.settle_down()
        train.wait(seconds=RECONCILE.total_seconds())
        train.settle_down()
        train.desk.thaw()  # A rewound target stops the train until a person has seen it.
        train.settle_down()
        assert (ended(train, work), ended(train, other)) == ("landed", "landed")
        assert depot.ground.contains(tip(depot), referee.receipts[-1].sha)

    def test_just_before_the_push_nothing_of_the_outsiders_is_lost(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        [work] = enqueued(train, "work")

        def faster() -> None:
            referee.moved(depot.ground.write("main", {"strange.py": "x\n"}))

        depot.ground.pushes.faults[:] = [faster]
        train.settle_down()
        assert ended(train, work) == "landed"
        assert {"strange.py", "work.py"} <= depot.ground.paths(tip(depot))
        assert depot.ci.passed(tip(depot), "slow")

    def test_while_news_never_end_it_is_seen_all_the_same(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        train.run()
        referee.moved(depot.ground.write("main", {"strange.py": "x\n"}))
        for _ in range(6):
            train.wait(minutes=1)
            train.book.heard += 1
            train.run()
        assert train.state.tip == tip(depot)


class TestASourceMoves(OnGit):
    @pytest.mark.parametrize(
        ("how", "reason"),
        [
            ("pushed", "head_moved"),
            ("forced", "head_moved"),
            ("closed", "withdrawn"),
            ("deleted", "withdrawn"),
        ],
    )
    def test_in_the_middle_of_its_ride_and_the_old_head_does_not_land(
        self, train: Controller, depot: Depot, referee: Referee, how: str, reason: str
    ) -> None:
        [work] = enqueued(train, "work")
        train.run()
        match how:
            case "pushed":
                depot.ground.write("work", {"work.py": "more\n"})
            case "forced":
                depot.ground.point("work", depot.ground.write("else", {"work.py": "else\n"}))
            case "closed":
                depot.changes.close(work.id)
            case _:
                depot.ground.point("work", None)
        train.settle_down()
        assert ended(train, work) == reason
        assert referee.receipts == []


class TestTheCi:
    def test_never_reports_so_its_test_is_stopped_and_the_check_asked_again(
        self, train: Controller, depot: Depot
    ) -> None:
        [work] = enqueued(train, "work")
        train.run()
        [first] = depot.ci.runs
        train.wait(seconds=(STUCK + timedelta(hours=1)).total_seconds())
        train.run()
        [second] = depot.ci.runs
        assert second[0] == first[0]
        assert second[1] > first[1]
        train.settle_down()
        assert ended(train, work) == "landed"

    def test_reports_doubled_late_and_in_any_order_and_nothing_is_different(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        works = enqueued(train, "one", "two", "three")
        train.run()
        for run in list(depot.ci.runs.values()):
            depot.ci.finish(run)
        late = list(depot.ci.mail)
        depot.ci.mail[:] = [*late[::-1], *late]
        train.read_mail()
        train.settle_down()
        for report in late:
            train.driver.tester.heard(report)
        train.settle_down()
        assert [ended(train, work) for work in works] == ["landed"] * 3
        assert [receipt.sequence for receipt in referee.receipts] == [1, 2, 3]

    @pytest.mark.parametrize("about", ["another commit", "another check"])
    def test_is_green_about_something_else_and_that_proves_nothing(
        self, train: Controller, depot: Depot, referee: Referee, about: str
    ) -> None:
        enqueued(train, "work")
        train.run()
        [run] = depot.ci.runs.values()
        sha = tip(depot) if about == "another commit" else run.test.sha
        names = ["fast", "slow"] if about == "another commit" else ["fast", "slow2"]
        results = tuple(depot.ci.result(sha, name, "passed") for name in names)
        depot.ci.lose(run)
        train.driver.tester.heard(CarReport(trial=run.test.trial, results=results))
        train.run()
        assert referee.receipts == []
        [again] = depot.ci.runs.values()
        assert "slow" in [check.name for check in again.test.checks]

    @pytest.mark.parametrize("which", [(0,), (1,), (0, 1, 2)])
    def test_flakes_once_at_the_head_in_the_middle_or_everywhere_and_nobody_is_taken_off(
        self, train: Controller, depot: Depot, which: tuple[int, ...]
    ) -> None:
        works = enqueued(train, "one", "two", "three")
        train.run()
        for at, run in enumerate(list(depot.ci.runs.values())):
            how: How = "flake" if at in which else "truth"
            depot.ci.finish(run, how)
        train.read_mail()
        train.settle_down()
        assert [ended(train, work) for work in works] == ["landed"] * 3

    def test_is_lost_while_it_looks_whether_the_target_is_red_and_is_asked_again(
        self, train: Controller, depot: Depot
    ) -> None:
        bad = depot.open("bad", {"bad.py": "x\n"})
        train.enqueue(bad)
        train.run()
        while not any(run.test.change == "shop/tip" for run in depot.ci.runs.values()):
            depot.ci.finish(next(iter(depot.ci.runs.values())))
            train.read_mail()
            train.run()
        depot.ci.lose(next(iter(depot.ci.runs.values())))
        train.settle_down()
        assert train.outcome(bad) is None
        train.wait(seconds=(STUCK + timedelta(hours=1)).total_seconds())
        train.settle_down()
        assert ended(train, bad) == "check_failed"


class TestWhatIsRequired:
    def test_grows_in_the_middle_of_a_ride_and_the_car_is_tested_for_the_rest(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        [work] = enqueued(train, "work")
        train.run()
        [run] = depot.ci.runs.values()
        depot.ci.finish(run)
        depot.declare(depot.repository.model_copy(update={"checks": (*CHECKS, EXTRA)}))
        train.read_mail()
        train.settle_down()
        assert ended(train, work) == "landed"
        assert depot.ci.passed(referee.receipts[0].sha, "extra")
        assert sum(one.check == "slow" for one in depot.ci.said) == 1, "what was proven stays so"

    def test_shrinks_in_the_middle_of_a_ride_and_what_is_gone_blames_nobody(
        self, train: Controller, depot: Depot
    ) -> None:
        depot.declare(depot.repository.model_copy(update={"checks": (*CHECKS, EXTRA)}))
        depot.red = lambda sha, check: check == "extra"
        [work] = enqueued(train, "work")
        train.run()
        depot.declare(depot.repository.model_copy(update={"checks": CHECKS}))
        train.wait(seconds=RECONCILE.total_seconds())
        train.settle_down()
        assert ended(train, work) == "landed"

    def test_is_what_is_declared_whatever_a_car_does_to_the_ci(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        files = {
            ".github/workflows/ci.yml": "on: never\n",
            ".ci/run": "true\n",
            "leverframe.toml": "checks = []\n",
        }
        work = depot.open("work", files)
        train.enqueue(work)
        train.settle_down()
        assert ended(train, work) == "landed"
        assert {result.check for result in referee.receipts[0].checks} == {"fast", "slow"}

    def test_of_a_batch_is_what_any_of_its_changes_requires(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        rules = TrainRules(track="built_in", strategy="batch", runners=1)
        checks = tuple(check.model_copy(update={"skip_when_only": ("*.md",)}) for check in CHECKS)
        depot.declare(depot.repository.model_copy(update={"checks": checks, "train": rules}))
        enqueued(train, "one", "two")
        train.enqueue(depot.open("docs", {"docs.md": "x\n"}))
        train.settle_down()
        assert len(referee.receipts) == 3


class TestChangesThatDoNotGoTogether:
    @pytest.mark.parametrize("names", [("one", "two"), ("one", "two", "three")])
    def test_though_each_is_green_alone_and_the_last_of_them_leaves(
        self, train: Controller, depot: Depot, names: tuple[str, ...]
    ) -> None:
        red_with(depot, *(f"{name}.py" for name in names))
        works = enqueued(train, *names, "else")
        train.settle_down()
        assert [ended(train, work) for work in works[:-2]] == ["landed"] * (len(names) - 1)
        assert ended(train, works[-2]) in ("check_failed", "incompatible")
        assert ended(train, works[-1]) == "landed"

    def test_in_text_and_the_one_before_leaves_so_the_other_lands(
        self, train: Controller, depot: Depot
    ) -> None:
        bad = depot.open("bad", {"bad.py": "x\n", "app.py": "mine\n"})
        good = depot.open("good", {"app.py": "yours\n"})
        train.enqueue(bad)
        train.enqueue(good)
        train.settle_down()
        assert (ended(train, bad), ended(train, good)) == ("check_failed", "landed")

    def test_two_reds_by_different_checks_on_a_red_target_blame_nobody_and_end(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        referee.moved(depot.ground.write("main", {"broken.py": "x\n"}))
        paths = depot.ground.paths
        depot.red = lambda sha, check: (
            "mended.py" not in paths(sha)
            and (check == "slow" or (check == "fast" and "one.py" in paths(sha)))
        )
        one, two = enqueued(train, "one", "two")
        train.settle_down()
        assert (train.outcome(two), train.state.freeze is not None) == (None, True)
        begun = depot.ci.begun
        train.wait(minutes=10)
        train.settle_down()
        assert depot.ci.begun == begun, "nothing is tested again and again"
        fix = depot.open("fix", {"mended.py": "x\n"})
        train.enqueue(fix, priority=Priority.HOTFIX)
        train.settle_down()
        assert (ended(train, fix), ended(train, two)) == ("landed", "landed")
        assert ended(train, one) in ("landed", "check_failed")


class TestSteering:
    def test_a_hotfix_lands_while_the_train_is_frozen_for_hotfixes_and_nobody_else_though_green(
        self, train: Controller, depot: Depot
    ) -> None:
        [work] = enqueued(train, "work")
        train.run()
        depot.ci.finish(next(iter(depot.ci.runs.values())))
        train.desk.freeze(FreezeRequest(mode="hotfix_only", owner="ada", reason="incident"))
        train.read_mail()
        train.settle_down()
        assert train.outcome(work) is None
        fix = depot.open("fix", {"fix.py": "x\n"})
        train.enqueue(fix, priority=Priority.HOTFIX)
        train.settle_down()
        assert (ended(train, fix), train.outcome(work)) == ("landed", None)
        train.desk.thaw()
        train.settle_down()
        assert ended(train, work) == "landed"

    @pytest.mark.parametrize("when", [False, True])
    def test_a_withdrawal_and_a_landing_at_once_have_one_winner(
        self, train: Controller, depot: Depot, referee: Referee, when: bool
    ) -> None:
        [work] = enqueued(train, "work")
        train.run()
        depot.ci.finish(next(iter(depot.ci.runs.values())))
        train.read_mail()
        until(train, "land", answered=when)
        train.desk.withdraw(work.id)
        train.settle_down()
        assert ended(train, work) == "landed"
        assert len(referee.receipts) == 1

    def test_an_override_that_names_a_check_which_the_paths_would_skip_is_tested_by_it(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        checks = tuple(check.model_copy(update={"skip_when_only": ("*.md",)}) for check in CHECKS)
        depot.declare(depot.repository.model_copy(update={"checks": checks}))
        docs = depot.open("docs", {"docs.md": "x\n"})
        train.enqueue(docs)
        for person in ("grace", "edsger"):
            asked = Vouch(change=docs.id, head=docs.head, person=person, reason="it burns", checks=("fast",))
            assert train.desk.objection(asked) == ""
            train.desk.vouch(asked)
        train.settle_down()
        assert ended(train, docs) == "landed"
        assert depot.ci.passed(referee.receipts[0].sha, "fast")

    def test_a_clock_that_goes_back_stops_nothing(self, train: Controller, depot: Depot) -> None:
        works = enqueued(train, "one", "two")
        train.run()
        train.wait(hours=-3)
        train.settle_down()
        assert [ended(train, work) for work in works] == ["landed"] * 2


class TestTheRemote(OnGit):
    def test_does_not_take_atomic_pushes_and_the_change_is_refused_with_its_words(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        assert isinstance(depot.ground, GitGround)
        depot.ground.world.git("config", "receive.advertiseAtomic", "false")
        [work] = enqueued(train, "work")
        referee.only_a_remote_that_refused_takes_a_change_off_as_refused = lambda outcome: None  # type: ignore[method-assign]  # it does refuse
        train.settle_down()
        outcome = train.outcome(work)
        assert isinstance(outcome, CarEjected)
        assert "--atomic" in outcome.detail.replace("\\", "")

    @pytest.mark.parametrize("fault", ["lost before", "lost after"])
    def test_is_away_for_several_pushes_and_the_change_lands_once(
        self, train: Controller, depot: Depot, referee: Referee, fault: str
    ) -> None:
        [work] = enqueued(train, "work")
        depot.ground.pushes.faults[:] = [fault] * 5
        train.settle_down()
        assert ended(train, work) == "landed"
        assert len(referee.receipts) == 1


def test_serial_window_and_speculate_land_the_same_changes(engine: Engine) -> None:
    """What is bad alone, and what does not go together, is so whoever is tested first."""

    def landed(strategy: str) -> set[str]:
        ground = MemoryGround()
        rules = TrainRules.model_validate({"track": "built_in", "strategy": strategy, "runners": 3})
        depot = Depot(ground, engine, declared(ground.url, CHECKS, train=rules))
        depot.red = lambda sha, check: any(
            names <= ground.paths(sha) for names in ({"b.py"}, {"a.py", "d.py"}, {"c.py", "e.py", "f.py"})
        )
        train = Controller(depot)
        changes = enqueued(train, *"abcdefg")
        train.settle_down()
        return {change.branch for change in changes if ended(train, change) == "landed"}

    found = [landed(strategy) for strategy in ("serial", "window", "speculate")]
    assert found == [{"a", "c", "e", "g"}] * 3
