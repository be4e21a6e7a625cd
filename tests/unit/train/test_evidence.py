"""What the planner makes of evidence: whom a red accuses, and what idle runners are used for."""

from datetime import UTC, datetime, timedelta

import pytest

from leverframe.model.changes import Priority
from leverframe.model.topology import TrainRules
from workflows.merge_train.beliefs import believed
from workflows.merge_train.lane import Entry, Path, Plan, Snapshot, Trial
from workflows.merge_train.line import lined_up
from workflows.merge_train.moves import after_landing
from workflows.merge_train.planning import plan
from workflows.merge_train.predictor import ByRecord
from workflows.merge_train.record import Record, decided

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def entries(count: int, **more: bool) -> tuple[Entry, ...]:
    return tuple(
        Entry(sequence=number, priority=Priority.NORMAL, actor="person", enqueued_at=NOW, **more)
        for number in range(1, count + 1)
    )


def trial(*path: int, state: str = "passed", overtaken: bool = False) -> Trial:
    return Trial.model_validate(
        {
            "path": path,
            "state": state,
            "failed_runs": int(state == "failed"),
            "began_at": NOW,
            "overtaken": overtaken,
        }
    )


def lands(count: int, *trials: Trial) -> list[float]:
    """Each change's chance to land."""
    line = lined_up(entries(count), composed=False)
    found = believed(line, trials, (), Record(), ByRecord())
    assert sum(view.weight for view in found.views) == pytest.approx(1)
    return [found.lands(at) for at in range(count)]


def planned(count: int, *trials: Trial, runners: int = 30, left: int | None = None, **more: bool) -> Plan:
    seen = Snapshot(entries=entries(count, **more), trials=trials, builds_left=left, now=NOW)
    return plan(seen, TrainRules(runners=runners, window=1, batch=1), Record())


def front(count: int) -> list[Trial]:
    """The first ones under test, each on all before it."""
    return [trial(*range(1, number + 1), state="running") for number in range(1, count + 1)]


def by_themselves(made: Plan) -> list[Path]:
    return [path for path in made.start if len(path) == 1]


class TestExplanations:
    def test_a_red_accuses_whoever_is_not_proven(self) -> None:
        first, second, third = lands(3, trial(1, 2), trial(1, 2, 3, state="failed"))
        assert (first > 0.95, second > 0.95, third < 0.1) == (True, True, True)

    def test_a_red_of_several_who_are_not_proven_accuses_each_a_little(self) -> None:
        chances = lands(3, trial(1, 2, 3, state="failed"))
        assert all(0.5 < chance < 0.8 for chance in chances)
        # One of three is bad, most likely; the last one might also clash with one of the others.
        assert chances[2] < chances[0]

    def test_two_reds_point_at_what_they_share(self) -> None:
        chances = lands(4, trial(1, 2, state="failed"), trial(2, 3, 4, state="failed"))
        assert chances[1] == min(chances) < 0.3
        assert min(chances[0], chances[2], chances[3]) > 0.7

    def test_a_red_explained_by_a_bad_change_accuses_nobody_else(self) -> None:
        alone = lands(3, trial(1, state="failed"))
        more = lands(3, trial(1, state="failed"), trial(1, 2, 3, state="failed"))
        assert more[1:] == pytest.approx(alone[1:], abs=0.02)

    def test_the_same_evidence_twice_or_in_another_order_says_the_same(self) -> None:
        trials = (trial(1, 2, state="failed"), trial(1, 3), trial(2, 3, 4, state="failed"))
        assert lands(4, *trials, *reversed(trials)) == lands(4, *trials)


class TestScreening:
    def test_idle_runners_test_changes_by_themselves_once_a_test_on_the_others_hardly_counts(self) -> None:
        made = planned(20)
        chained = [path for path in made.start if len(path) > 1]
        assert chained == [tuple(range(1, number + 1)) for number in range(2, len(chained) + 2)]
        assert 5 < len(chained) < 15
        assert by_themselves(made) == [(1,), *((number,) for number in range(len(chained) + 2, 21))]

    def test_it_needs_a_runner_that_nobody_else_wants(self) -> None:
        assert len(planned(20, runners=6).start) == 6
        assert by_themselves(planned(20, runners=6)) == [(1,)]

    def test_a_budget_is_kept_for_tests_that_land(self) -> None:
        assert by_themselves(planned(20, left=500)) == [(1,)]

    def test_solo_and_proven_changes_are_not_tested_by_themselves(self) -> None:
        assert by_themselves(planned(20, solo=True)) == [(1,)]
        assert (19,) not in planned(20, *front(10), trial(18, 19)).start

    def test_others_land_past_it_and_it_goes_on(self) -> None:
        before = (trial(1), trial(20, state="running"))
        assert after_landing(before, (1,), entries(20), composed=False) == (
            trial(20, state="running", overtaken=True),
        )
        made = planned(20, *front(3), trial(20, state="running", overtaken=True))
        assert (20,) not in (*made.cancel, *made.start)

    def test_a_red_there_is_a_verdict_once_it_is_confirmed(self) -> None:
        red = trial(20, state="failed", overtaken=True)
        assert planned(20, *front(3), red).again == ((20,),)
        again = red.model_copy(update={"failed_runs": 2})
        assert [gone.sequence for gone in planned(20, *front(3), again).ejected] == [20]

    def test_the_first_in_line_is_tested_anew_on_the_tip(self) -> None:
        made = planned(3, trial(1, state="running", overtaken=True))
        assert made.cancel == ((1,),)
        assert (1,) in made.start


class TestLearning:
    def test_a_red_that_was_never_green_is_shared_out_between_a_fault_and_a_clash(self) -> None:
        [entry] = entries(1)
        alone = decided(Record(), entry, landed=False, among=0)
        among = decided(Record(), entry, landed=False, among=30)
        assert alone.together == Record().together
        assert among.together.ill > Record().together.ill
        assert alone.passing.mean < among.passing.mean < Record().passing.mean

    def test_a_clash_that_was_seen_is_all_a_clash(self) -> None:
        [entry] = entries(1)
        clashed = decided(Record(), entry, landed=False, incompatible=True, among=30)
        assert clashed.together.ill == pytest.approx(2)
        assert clashed.passing.mean > Record().passing.mean

    def test_pairs_of_a_long_line_do_not_drown_what_was_learned(self) -> None:
        [entry] = entries(1)
        record = Record()
        for _ in range(100):
            record = decided(record, entry, landed=False, incompatible=True, among=900)
            record = decided(record, entry, landed=True, among=900)
        assert 1 - record.together.mean == pytest.approx(1 / 80, rel=0.1)


def test_minutes_are_not_needed() -> None:
    """A plan depends on what has ended, not on the clock."""
    seen = Snapshot(entries=entries(9), trials=tuple(front(3)), now=NOW)
    later = seen.model_copy(update={"now": NOW + timedelta(hours=3)})
    assert plan(seen, TrainRules(), Record()) == plan(later, TrainRules(), Record())
