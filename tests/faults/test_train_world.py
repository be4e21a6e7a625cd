"""What a train does when people, the remote or its own process get in its way, without an engine.

Where git or the remote has a part in it, it is the real one; else the one in memory, which is quicker.
`docs/reference/train-faults.md` lists these and the faults that are tried elsewhere.
"""

import pytest

from leverframe.model.changes import CarEjected, Priority
from tests.fakes.train_depot import Controller, Depot
from tests.fakes.train_grounds import GitGround
from tests.fakes.train_referee import Referee
from tests.fakes.train_stage import CHECKS, OnGit, ended, enqueued, tip, until
from workflows.merge_train.driver import RECONCILE
from workflows.merge_train.messages import FreezeRequest, Vouch


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
        _moves(depot, how)
        train.settle_down()
        assert ended(train, work) == reason
        assert referee.receipts == []

    @pytest.mark.parametrize("how", ["pushed", "deleted"])
    def test_just_before_the_push_so_that_nothing_lands_and_the_author_is_told(
        self, train: Controller, depot: Depot, referee: Referee, how: str
    ) -> None:
        begin, [work] = tip(depot), enqueued(train, "work")
        depot.ground.pushes.faults[:] = [lambda: _moves(depot, how)]
        train.settle_down()
        assert ended(train, work) == ("head_moved" if how == "pushed" else "withdrawn")
        assert (referee.receipts, tip(depot)) == ([], begin)
        if how == "pushed":
            train.enqueue(depot.open("work", {"again.py": "x\n"}))
            train.settle_down()
            assert ended(train, work) == "landed"
            assert referee.receipts[0].head == depot.ground.refs()["refs/heads/work"]

    def test_while_the_remote_takes_the_push_and_just_what_was_tested_lands(
        self, train: Controller, depot: Depot, referee: Referee
    ) -> None:
        assert isinstance(depot.ground, GitGround)
        [work] = enqueued(train, "work")
        newer = depot.ground.write("new", {"work.py": "more\n"}, "work")
        # The remote has told where its branches are, and our push is under way.
        hook = f"env -u GIT_QUARANTINE_PATH git update-ref refs/heads/work {newer}"
        depot.ground.world.hook("pre-receive", f'if grep -q "refs/heads/main$"; then {hook}; fi')
        referee.a_head_that_moved_or_was_closed_does_not_land = lambda receipt, refs: None  # type: ignore[method-assign]  # nobody could know
        train.settle_down()
        assert ended(train, work) == "landed"
        assert depot.ground.refs()["refs/heads/work"] == newer
        assert [receipt.head for receipt in referee.receipts] == [work.head]
        assert not depot.ground.contains(tip(depot), newer)
        assert f"with this change at {work.head[:12]}" in depot.changes.comments(work.id)[-1][1]
        train.enqueue(work, head=newer)
        train.settle_down()
        outcome = train.outcome(work)
        assert isinstance(outcome, CarEjected)
        assert outcome.reason == "empty"
        assert "open a new one for what is left" in outcome.detail

    @pytest.mark.parametrize("how", ["pushed", "deleted", "closed"])
    def test_between_push_and_record_and_what_has_landed_stays_landed(
        self, train: Controller, depot: Depot, referee: Referee, how: str
    ) -> None:
        [work] = enqueued(train, "work")
        train.run()
        depot.ci.finish(next(iter(depot.ci.runs.values())))
        train.read_mail()
        until(train, "land", answered=True)
        assert train.pause is not None
        train.pause.lost = True
        _moves(depot, how)
        train.settle_down()
        assert ended(train, work) == "landed"
        assert len(referee.receipts) == 1


def _moves(depot: Depot, how: str) -> None:
    """What its author does with the change `shop/1` of the branch `work`."""
    match how:
        case "pushed":
            depot.ground.write("work", {"work.py": "more\n"})
        case "forced":
            depot.ground.point("work", depot.ground.write("else", {"work.py": "else\n"}))
        case "closed":
            depot.changes.close("shop/1")
        case _:
            depot.ground.point("work", None)


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
