"""The gate's judge: plain thresholds on counts."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverframe.model.releases import ArmCounts, HealthDocument
from leverframe.model.topology import CanaryPlan, CanaryStep
from workflows.release.judge import Arm, Evidence, between, judge

CANARY, STABLE = "c" * 40, "a" * 40
T0 = datetime(2026, 1, 1, tzinfo=UTC)
STEP = CanaryStep(percent=5, min_requests=60, min_seconds=30, max_seconds=600)
PLAN = CanaryPlan(steps=(STEP,), max_error_ppm_over_stable=10_000, max_error_ratio=2, min_errors=3)


def evidence(canary: tuple[int, int], stable: tuple[int, int], seconds: float = 60) -> Evidence:
    """Requests and errors of each arm."""
    return Evidence(
        canary=Arm(requests=canary[0], errors=canary[1]),
        stable=Arm(requests=stable[0], errors=stable[1]),
        seconds=seconds,
    )


@pytest.mark.parametrize(
    ("canary", "stable", "seconds", "colour"),
    [
        pytest.param((61, 9), (1204, 2), 60, "red", id="clearly worse on enough data"),
        pytest.param((61, 9), (1204, 2), 1, "red", id="red does not wait for the minimum time"),
        pytest.param((61, 0), (1204, 2), 60, "green", id="no errors on enough data"),
        pytest.param((61, 2), (1204, 0), 60, "green", id="fewer errors than a verdict needs"),
        pytest.param((1000, 10), (1000, 0), 60, "green", id="exactly the allowed difference"),
        pytest.param((1000, 11), (1000, 0), 60, "red", id="just over the allowed difference"),
        pytest.param((1000, 100), (1000, 60), 60, "green", id="stable suffers too: less than twice its rate"),
        pytest.param((1000, 120), (1000, 60), 60, "green", id="exactly twice the rate of stable"),
        pytest.param((1000, 121), (1000, 60), 60, "red", id="just over twice the rate of stable"),
        pytest.param((59, 0), (1204, 2), 60, "hold", id="too few requests"),
        pytest.param((61, 0), (1204, 2), 29, "hold", id="too little time"),
        pytest.param((20, 9), (1204, 2), 60, "hold", id="bad but thin: fewer than half failed"),
        pytest.param((18, 9), (1204, 2), 1, "red", id="a catastrophe is told early"),
        pytest.param((2, 2), (1204, 2), 1, "hold", id="two failures are not a catastrophe"),
        pytest.param((18, 9), (100, 60), 60, "hold", id="everything fails: not the canary's fault"),
        pytest.param((0, 0), (1204, 2), 600, "hold", id="no canary request"),
        pytest.param((61, 9), (0, 0), 60, "red", id="an unseen control counts as faultless"),
    ],
)
def test_each_verdict(canary: tuple[int, int], stable: tuple[int, int], seconds: float, colour: str) -> None:
    assert judge(PLAN, STEP, evidence(canary, stable, seconds)).colour == colour


def test_a_reason_is_a_sentence_with_the_counts() -> None:
    verdict = judge(PLAN, STEP, evidence((61, 9), (1204, 2)))
    assert verdict.reason.replace("\u202f", " ") == (
        "canary 9 errors in 61 requests (14.8 %), stable 2 errors in 1 204 requests (0.2 %): "
        "over 1 percentage points more than stable, and over 2 times its rate"
    )


def test_without_a_minimum_no_request_is_still_not_green() -> None:
    step = CanaryStep(percent=1, min_requests=0, min_seconds=0, max_seconds=1)
    assert judge(PLAN, step, evidence((0, 0), (0, 0), 100)).colour == "hold"
    assert judge(PLAN, step, evidence((1, 0), (0, 0), 100)).colour == "green"


STEPS = st.builds(
    CanaryStep,
    percent=st.integers(1, 100),
    min_requests=st.integers(0, 50),
    min_seconds=st.floats(0, 50),
    max_seconds=st.floats(1, 100),
)
PLANS = st.builds(
    CanaryPlan,
    steps=st.just((STEP,)),
    max_error_ppm_over_stable=st.integers(0, 100_000),
    max_error_ratio=st.integers(1, 10),
    min_errors=st.integers(1, 10),
)


@st.composite
def arms(draw: st.DrawFn) -> Arm:
    requests = draw(st.integers(0, 200))
    return Arm(requests=requests, errors=draw(st.integers(0, requests)))


EVIDENCE = st.builds(Evidence, canary=arms(), stable=arms(), seconds=st.floats(0, 100))


@given(plan=PLANS, step=STEPS, stable=arms(), seconds=st.floats(0, 1000))
def test_no_data_is_never_green(plan: CanaryPlan, step: CanaryStep, stable: Arm, seconds: float) -> None:
    assert judge(plan, step, Evidence(canary=Arm(), stable=stable, seconds=seconds)).colour == "hold"


@given(plan=PLANS, step=STEPS, seen=EVIDENCE, more=st.integers(1, 200))
def test_more_canary_errors_never_make_a_verdict_better(
    plan: CanaryPlan, step: CanaryStep, seen: Evidence, more: int
) -> None:
    errors = min(seen.canary.errors + more, seen.canary.requests)
    worse = seen.model_copy(update={"canary": Arm(requests=seen.canary.requests, errors=errors)})
    before, now = judge(plan, step, seen).colour, judge(plan, step, worse).colour
    assert not (before == "red" and now != "red")
    assert not (before == "hold" and now == "green")


@given(plan=PLANS, step=STEPS, seen=EVIDENCE)
def test_a_verdict_replays_from_its_counts(plan: CanaryPlan, step: CanaryStep, seen: Evidence) -> None:
    again = Evidence.model_validate_json(seen.model_dump_json())
    assert judge(plan, step, again) == judge(plan, step, seen)


def document(canary: tuple[int, int], *, started: datetime = T0) -> HealthDocument:
    return HealthDocument(
        service="shop",
        router_started_at=started,
        taken_at=T0,
        stable=STABLE,
        canary=CANARY,
        canary_percent=5,
        arms=(ArmCounts(sha=CANARY, requests=canary[0], errors=canary[1]),),
    )


def test_counts_between_two_documents_are_their_difference() -> None:
    assert between(document((100, 3)), document((160, 5)), CANARY) == Arm(requests=60, errors=2)
    assert between(document((0, 0)), document((0, 0)), STABLE) == Arm()


def test_documents_of_two_router_starts_can_not_be_compared() -> None:
    later = T0.replace(hour=1)
    assert between(document((100, 3)), document((160, 5), started=later), CANARY) is None


def test_a_counter_that_went_backwards_can_not_be_compared() -> None:
    assert between(document((100, 3)), document((99, 3)), CANARY) is None
    assert between(document((100, 3)), document((120, 2)), CANARY) is None
