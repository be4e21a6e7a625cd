"""Simulated rollouts: the same whoever draws them, in whatever batches."""

import pytest

from bench.canary import batch
from bench.canary_worlds import GOOD, Cell


@pytest.mark.parametrize("world", GOOD)
def test_a_rollout_is_the_same_in_whatever_batch_it_is_drawn(world: str) -> None:
    cell = Cell(100, 0.005, world=world, poll=15)
    at_once = cell.rollouts(1, 0, 4)
    assert at_once == [*cell.rollouts(1, 0, 1), *cell.rollouts(1, 1, 3)]
    assert at_once != cell.rollouts(2, 0, 4)
    assert {(one[0], one[2] + one[4]) for one in at_once[0]} == {
        (1.0, 1500),
        (5.0, 1500),
        (25.0, 1500),
        (50.0, 1500),
    }


def test_our_judge_takes_a_bad_one_back_and_counts_what_it_cost_until_then() -> None:
    [(end, bad)] = batch("leverframe", Cell(100, 0.005, harm=10.0, poll=15), 1, 0, 1)
    assert end is not None
    [polls] = Cell(100, 0.005, harm=10.0, poll=15).rollouts(1, 0, 1)
    assert bad == sum(one[1] for one in polls[:end])
