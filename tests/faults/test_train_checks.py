"""What a train does when checks lie, flake, get lost or change, without an engine.

Where git or the remote has a part in it, it is the real one; else the one in memory, which is quicker.
`docs/reference/train-faults.md` lists these and the faults that are tried elsewhere.
"""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from leverframe.model.changes import Priority
from leverframe.model.topology import TrainRules
from tests.fakes.train_ci import How
from tests.fakes.train_depot import Controller, Depot
from tests.fakes.train_grounds import MemoryGround, declared
from tests.fakes.train_referee import Referee
from tests.fakes.train_stage import CHECKS, EXTRA, ended, enqueued, red_with, tip
from workflows.merge_train.car import CarReport
from workflows.merge_train.driver import RECONCILE, STUCK


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
        [one] = enqueued(train, "one")
        docs = depot.open("docs", {"docs.md": "x\n"})
        train.enqueue(docs)
        two = depot.open("two", {"two.py": "x\n"})
        train.enqueue(two)
        train.settle_down()
        assert [ended(train, work) for work in (one, docs, two)] == ["landed"] * 3
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
