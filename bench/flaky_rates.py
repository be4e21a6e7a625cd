"""How often real flaky tests fail: 51 quantiles of the 811 flaky tests in 23 projects of FlakeFlagger.

Computed from `test-rerun-scripts/test_results.csv` of github.com/AlshammariA/FlakeFlagger at 2fcbafc4713a:
failing runs ÷ all runs of each test that failed at least once and passed at least once in about 10,000 runs
at one commit. Copyright (c) 2021, AlshammariA; BSD 3-Clause License. Alshammari, Morris, Hilton, Bell (2021),
"FlakeFlagger: Predicting Flakiness Without Rerunning Tests". One project makes up the tests at 0.55.
"""

import random

# fmt: off
QUANTILES = (
    0.0001, 0.0001, 0.0001, 0.0001, 0.0001, 0.0001, 0.0001, 0.0002, 0.00025, 0.0003, 0.0003, 0.0004, 0.0004,
    0.0004, 0.0006, 0.0007, 0.001, 0.0012, 0.0021, 0.0043, 0.0043, 0.0049, 0.0065, 0.0065, 0.0065, 0.0071,
    0.0072, 0.0081, 0.014, 0.014, 0.014, 0.014, 0.015, 0.015, 0.016, 0.025, 0.031, 0.11, 0.2, 0.2, 0.2, 0.2,
    0.2, 0.55, 0.55, 0.55, 0.55, 0.55, 0.55, 0.55, 0.88,
)
# fmt: on


def drawn(dice: random.Random) -> float:
    """One test's failure rate, between two neighbouring quantiles."""
    place = dice.random() * (len(QUANTILES) - 1)
    low = int(place)
    return QUANTILES[low] + (QUANTILES[low + 1] - QUANTILES[low]) * (place - low)
