"""How checks of cars ended is kept as attempts of jobs, once for each test, and costs the train nothing."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from activities.car_jobs import keep_car_job
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from leverframe.model.ids import car_test_id, trial_of
from tests.fakes.github_setup import declared
from tests.fakes.report_shelf import ReportShelf

SHA = "a" * 40
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOP = declared("shop").model_copy(
    update={"checks": (Check(name="unit", command=("true",)), Check(name="ci", runs_on="forge"))}
)


def keep(
    shelf: ReportShelf,
    outcome: Literal["passed", "failed", "inconclusive"] = "passed",
    *,
    check: str = "unit",
    trial: int = 7,
    test: str = "",
) -> None:
    result = CheckResult(check=check, sha=SHA, outcome=outcome, seconds=90, summary="it says")
    test = test or car_test_id("shop", SHA, trial)
    keep_car_job(shelf, {"shop": SHOP}, result, test=test, at=AT + timedelta(minutes=trial))


def test_each_test_of_a_commit_is_an_attempt_and_counts_once() -> None:
    shelf = ReportShelf()
    for outcome, trial in (("failed", 7), ("failed", 7), ("inconclusive", 8), ("passed", 1_042)):
        keep(shelf, outcome, trial=trial)  # type: ignore[arg-type]
    told = [(one.attempt, one.conclusion, one.reports_run) for one in shelf.jobs.values()]
    assert told == [(7, "fail", f"{SHA}/7"), (1_042, "pass", f"{SHA}/1042")]
    one = shelf.jobs["shop", "car", f"{SHA}/unit/7"]
    assert (one.run, one.took, one.branch.stored()) == (SHA, timedelta(seconds=90), "train/main")


@pytest.mark.parametrize(
    "named",
    [{"check": "ci"}, {"check": "gone"}, {"test": "car/till/aaaaaaaaaaaa/7"}, {"test": "run/shop/7"}],
    ids=["the forge runs it", "no such check", "no such repository", "no test of a car"],
)
def test_what_the_sandbox_did_not_run_for_a_car_is_passed_over(named: dict[str, str]) -> None:
    shelf = ReportShelf()
    keep(shelf, **named)  # type: ignore[arg-type]
    assert shelf.jobs == {}


def test_a_store_that_is_away_costs_the_train_nothing() -> None:
    shelf = ReportShelf()
    shelf.away = True
    keep(shelf)
    assert shelf.jobs == {}


def test_a_trial_is_read_from_the_id_of_a_cars_test_alone() -> None:
    assert trial_of(car_test_id("shop", SHA, 12)) == ("shop", 12)
    assert [trial_of(other) for other in ("train/shop/main", "car/shop", "car", "")] == [None] * 4
