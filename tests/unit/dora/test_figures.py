"""The five figures, by hand on a small history, and what must hold of them on any."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverframe.dora.figures import Figures, Report, report
from leverframe.dora.history import pasts
from leverframe.dora.measures import Rate, Spans
from leverframe.model.deployments import DeploymentHistory, DeploymentRecord
from leverframe.model.errors import BadInput
from tests.fakes.deployment_history import (
    HISTORY,
    MONDAY,
    at,
    landed,
    pointed,
    release,
    sha,
    superseded,
    taken_back,
)

MINUTE = timedelta(minutes=1)
END = at(10)


def shop(history: DeploymentHistory = HISTORY, since: datetime = MONDAY, until: datetime = END) -> Figures:
    [found] = report(history, since=since, until=until, service="shop").services
    return found


def failures(*records: DeploymentRecord, moves: tuple[object, ...] = ()) -> dict[int, tuple[str, str]]:
    """Number of each failed change → how it failed."""
    history = DeploymentHistory.model_validate({"deployments": records, "repointings": moves})
    return {
        each.record.sequence: (each.failure.kind, each.failure.how)
        for past in pasts(history)
        for each in past.deployments
        if each.failure
    }


def test_the_figures_of_ten_days_are_those_that_a_person_counts() -> None:
    """Live: 1, 3, 5, 6, 7 and 8. Taken back at 5 %: 4. Escaped: 6 by the hotfix 7, 8 pointed back.

    1 was live at day 0 + 20', 3 at day 1 + 41', 5 at day 3 + 20', 6 at day 4 + 20', 7 at day 4 + 120', 8 at
    day 8 + 20'. 2 came with 3. 4 never did: 5 undoes it.
    """
    found = shop()
    frequency = found.deployment_frequency
    assert (frequency.deployments, frequency.per_day) == (6, Decimal("0.600"))
    gaps = (1461, 2859, 1440, 100, 5660)
    assert frequency.time_between.median == sorted(gaps)[2] * MINUTE == 1461 * MINUTE

    lead = found.lead_time
    assert lead.from_commit.count == 7
    # 1, 5, 6, 7 and 8 took 60 + 20; 3 took 60 + 40; 2 began at day 1 and was live at day 1 + 41'.
    assert sorted((80, 80, 80, 80, 80, 100, 101))[3] * MINUTE == lead.from_commit.median
    assert lead.from_opened.median == 50 * MINUTE
    assert lead.from_commit.p90 is None

    fails = found.change_failure_rate
    assert (fails.all.count, fails.all.of, fails.all.ppm) == (3, 7, 428_571)
    assert (fails.escaped.count, fails.caught_in_canary.count) == (2, 1)

    recovery = found.failed_deployment_recovery_time
    # 6: first request at day 4 + 5', mended at day 4 + 120'. 8: day 8 + 5' to day 8 + 60'. 4: ten minutes.
    assert recovery.escaped.median == (115 + 55) // 2 * MINUTE
    assert recovery.caught_in_canary.median == 10 * MINUTE
    assert (recovery.all.median, recovery.unknown) == (55 * MINUTE, 0)

    again = found.rework_rate
    assert (again.all.count, again.hotfix, again.revert, again.repair) == (2, 1, 1, 0)
    assert (found.under_way, found.superseded, found.stopped_before_production) == (1, 1, 1)
    assert [(week.deployments, week.caught, week.escaped, week.rework) for week in found.weeks] == [
        (5, 1, 1, 2),
        (1, 0, 1, 0),
    ]


def test_all_services_together_are_the_sum_of_each() -> None:
    found = report(HISTORY, since=MONDAY, until=at(10))
    assert [each.service for each in found.services] == ["shop", "till"]
    assert found.total.deployment_frequency.deployments == 7
    assert found.total.change_failure_rate.all.of == 8


def test_an_empty_store_has_no_figures_and_says_so() -> None:
    found = report(DeploymentHistory(), since=MONDAY, until=at(10)).total
    assert found.known_from is None
    assert found.deployment_frequency.per_day is None
    assert found.change_failure_rate.all.ppm is None
    for why in (
        found.deployment_frequency.why,
        found.lead_time.from_commit.why,
        found.change_failure_rate.all.why,
        found.failed_deployment_recovery_time.all.why,
        found.rework_rate.all.why,
    ):
        assert why.startswith("not enough data")


def test_a_quiet_time_is_zero_deployments_only_where_the_records_reach() -> None:
    quiet = shop(since=at(20), until=at(27)).deployment_frequency
    assert (quiet.deployments, quiet.per_day) == (0, Decimal("0.000"))
    before = shop(since=at(-9), until=at(-2)).deployment_frequency
    assert (before.per_day, before.why[:15]) == (None, "not enough data")
    half = shop(since=at(-10), until=at(10)).deployment_frequency
    assert (half.per_day, half.why) == (Decimal("0.600"), "by the days on record, since 2026-11-02 00:00 UTC")
    young = shop(since=at(-10), until=at(0, 600)).deployment_frequency
    assert (young.per_day, young.deployments) == (None, 1)
    assert "the records cover 10 h" in young.why


def test_a_time_without_length_is_bad_input() -> None:
    with pytest.raises(BadInput, match="is empty"):
        report(HISTORY, since=MONDAY, until=MONDAY)


def test_a_release_that_was_taken_back_from_everybody_has_escaped() -> None:
    assert failures(taken_back(1, at(0), 100), taken_back(2, at(1), 50)) == {
        1: ("escaped", "taken_back"),
        2: ("caught", "taken_back"),
    }


def test_a_revert_counts_against_the_release_that_brought_the_commit() -> None:
    undo = landed(4, at(3), rework="revert", reverts=sha(2))
    assert failures(landed(1, at(0)), superseded(2, at(1)), landed(3, at(1)), undo) == {
        3: ("escaped", "reverted")
    }


def test_a_hotfix_after_a_release_that_the_canary_caught_is_not_held_against_what_was_live() -> None:
    mended = landed(3, at(2), rework="hotfix")
    assert failures(landed(1, at(0)), taken_back(2, at(1)), mended) == {2: ("caught", "taken_back")}


def test_what_is_mended_more_than_a_week_later_was_no_immediate_intervention() -> None:
    late = at(7, 20) + 31 * MINUTE  # its change was opened half an hour before it landed
    first = landed(1, at(0))
    assert failures(first, landed(2, late, rework="hotfix")) == {}
    assert failures(first, landed(2, late - MINUTE, rework="hotfix")) == {1: ("escaped", "hotfixed")}


def test_a_hotfix_that_was_taken_back_itself_has_mended_nothing() -> None:
    tried = taken_back(2, at(1), rework="hotfix")
    history = DeploymentHistory(deployments=(landed(1, at(0)), tried))
    found = shop(history).failed_deployment_recovery_time
    assert (found.escaped.count, found.unknown) == (0, 1)
    both = DeploymentHistory(deployments=(*history.deployments, landed(3, at(2), rework="repair")))
    assert shop(both).failed_deployment_recovery_time.unknown == 1, "3 mends what users met last: 2"


def test_production_that_was_pointed_forward_by_hand_is_no_failure() -> None:
    moves = (pointed(80, 2, at(0, 500)),)
    assert failures(landed(1, at(0)), release(2, at(0, 400)), moves=moves) == {}
    assert failures(landed(1, at(0)), moves=(pointed(80, 1, at(1)),)) == {}


def test_what_the_next_release_found_stable_tells_of_a_way_back_that_nobody_recorded() -> None:
    third = landed(3, at(2), replaced=sha(1))
    assert failures(landed(1, at(0)), landed(2, at(1), replaced=sha(1)), third) == {
        2: ("escaped", "replaced")
    }
    whole = DeploymentHistory(deployments=(landed(1, at(0)), landed(2, at(1)), third))
    assert shop(whole).failed_deployment_recovery_time.unknown == 1


def test_a_revert_of_what_users_never_met_is_no_rework() -> None:
    stopped = release(1, at(0), outcome="failed", ended_at=at(0, 3))
    undo = landed(2, at(1), rework="revert", reverts=sha(1))
    history = DeploymentHistory(deployments=(stopped, undo))
    assert shop(history).rework_rate.all.count == 0
    unknown = landed(2, at(1), rework="revert", reverts="f" * 40)
    assert shop(DeploymentHistory(deployments=(unknown,))).rework_rate.all.count == 1


def test_a_commit_dated_after_it_was_live_is_left_out_and_counted() -> None:
    wrong = landed(1, at(0), committed_at=at(5))
    lead = shop(DeploymentHistory(deployments=(wrong, landed(2, at(1))))).lead_time
    assert (lead.from_commit.count, lead.unusable, lead.from_opened.count) == (1, 1, 2)


def test_a_ninetieth_percentile_needs_ten_and_nine_in_ten_took_no_longer() -> None:
    assert Spans.of((MINUTE * n for n in range(1, 10)), what="x").p90 is None
    assert Spans.of((MINUTE * n for n in range(1, 11)), what="x").p90 == 9 * MINUTE
    assert Spans.of((MINUTE * n for n in range(1, 12)), what="x").p90 == 10 * MINUTE
    assert Spans.of((MINUTE * n for n in (1, 2)), what="x").median == timedelta(seconds=90)


def test_the_interval_of_a_rate_is_wilsons() -> None:
    """By hand for 1 of 10, z = 1.96: centre (0.1 + 0.192073) / 1.384146, reach 0.265190 / 1.384146."""
    rate = Rate.among(1, 10)
    assert rate.ppm == 100_000
    assert rate.low_ppm == pytest.approx(17_875, abs=20)
    assert rate.high_ppm == pytest.approx(404_163, abs=20)
    assert (Rate.among(0, 3).low_ppm, Rate.among(3, 3).high_ppm) == (0, 1_000_000)


moments = st.integers(0, 40_000).map(lambda minute: MONDAY + timedelta(minutes=minute))


@st.composite
def histories(draw: st.DrawFn) -> DeploymentHistory:
    """Any records of a service, as they may be, and hands that moved production."""
    records = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        rework = draw(st.sampled_from([None, None, "hotfix", "revert", "repair"]))
        told: dict[str, object] = {"rework": rework}
        if rework == "revert":
            told["reverts"] = sha(draw(st.integers(1, 9)))
        make = draw(st.sampled_from([landed, taken_back, superseded, release]))
        begun = draw(moments)
        records.append(make(number, begun) if make is superseded else make(number, begun, **told))  # type: ignore[operator]
    moves = [pointed(90 + n, draw(st.integers(1, 9)), draw(moments)) for n in range(draw(st.integers(0, 3)))]
    return DeploymentHistory(deployments=tuple(records), repointings=tuple(moves))


def whole(history: DeploymentHistory) -> Report:
    return report(history, since=MONDAY, until=at(60))


@settings(max_examples=25, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_and_the_repetition_of_records_change_no_figure(
    history: DeploymentHistory, random: object
) -> None:
    records, moves = list(history.deployments), list(history.repointings)
    begun = [record.model_copy(update={"ended_at": None, "outcome": None}) for record in records[:2]]
    unordered = [*records, *records, *begun]
    random.shuffle(unordered)  # type: ignore[attr-defined]
    random.shuffle(moves)  # type: ignore[attr-defined]
    again = DeploymentHistory(deployments=tuple(unordered), repointings=(*moves, *moves))
    kept = {record.sha for record in records if record.ended_at}
    if all(record.sha in kept for record in begun):
        assert whole(again) == whole(history)


@settings(max_examples=25, deadline=None)
@given(histories(), st.integers(1, 40))
def test_adjoining_times_count_each_deployment_once(history: DeploymentHistory, cut: int) -> None:
    parts = [
        report(history, since=MONDAY, until=at(cut)).total,
        report(history, since=at(cut), until=at(60)).total,
    ]
    total = whole(history).total

    def counts(figures: Figures) -> tuple[int, ...]:
        return (
            figures.deployment_frequency.deployments,
            figures.change_failure_rate.all.count,
            figures.change_failure_rate.all.of,
            figures.rework_rate.all.count,
            figures.lead_time.from_commit.count,
            figures.failed_deployment_recovery_time.unknown,
            figures.superseded,
        )

    assert counts(total) == tuple(map(sum, zip(*map(counts, parts), strict=True)))


@settings(max_examples=25, deadline=None)
@given(histories())
def test_what_is_counted_is_a_part_of_what_there_is(history: DeploymentHistory) -> None:
    total = whole(history).total
    fails, again = total.change_failure_rate, total.rework_rate
    assert fails.all.count == fails.escaped.count + fails.caught_in_canary.count <= fails.all.of
    assert again.all.count == again.hotfix + again.revert + again.repair <= again.all.of
    assert sum(week.deployments for week in total.weeks) == total.deployment_frequency.deployments
    recovery = total.failed_deployment_recovery_time
    assert recovery.all.count + recovery.unknown == fails.all.count
