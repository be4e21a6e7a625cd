"""The model of Argo's analysis in the benchmark follows the rules that Argo's own table tests state."""

import pytest

from bench.canary_argo import Measured, Metric, Phase
from bench.canary_peers import argo

BAD: list[Measured] = ["failed"] * 3
UNSURE: list[Measured] = ["inconclusive"] * 3
BROKEN: list[Measured] = ["error"] * 5
GOOD: list[Measured] = ["successful"] * 10


@pytest.mark.parametrize(
    ("metric", "measured", "running", "over"),
    [
        (Metric(), [], "pending", "successful"),
        (Metric(failures=2), BAD, "failed", "failed"),
        (Metric(failures=3), BAD, "running", "successful"),
        (Metric(inconclusive=2), UNSURE, "inconclusive", "inconclusive"),
        (Metric(inconclusive=3), UNSURE, "running", "successful"),
        (Metric(), BROKEN, "error", "error"),
        (Metric(), BROKEN[:4], "running", "successful"),
        (Metric(count=10), GOOD, "successful", "successful"),
        (Metric(count=10), [*GOOD[:5], *["inconclusive"] * 5], "inconclusive", "inconclusive"),
    ],
)
def test_a_metric_is_assessed_as_argos_tables_say(
    metric: Metric, measured: list[Measured], running: Phase, over: Phase
) -> None:
    assert metric.phase(measured) == running
    assert metric.phase(measured, over=True) == over


def test_errors_count_in_a_row_and_are_no_measurements_while_failures_count_for_ever() -> None:
    again: list[Measured] = [*BROKEN[:4], "successful", *BROKEN[:4]]
    assert Metric(count=2).phase(again) == "running"
    assert Metric(failures=2).phase([*BAD[:2], *GOOD, "failed"]) == "failed"


def test_the_documented_example_aborts_at_the_fourth_bad_window_and_where_there_are_no_requests() -> None:
    rule = argo(0.05, every=5, fixed=True)
    assert rule([(1.0, 6, 100, 0, 9900)] * 40, 0.005) == 20
    assert rule([(1.0, 5, 101, 0, 9900)] * 40, 0.005) is None
    assert rule([(1.0, 0, 0, 0, 10_000)] * 40, 0.005) == 20
