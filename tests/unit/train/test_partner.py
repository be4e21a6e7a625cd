"""The search for the change that another one does not go together with."""

import pytest

from workflows.merge_train.partner import MOST_PROBES, Inquiry, Landed


def inquiry(count: int) -> Inquiry:
    among = tuple(Landed(change=f"shop/{number}", tip=f"{number:040x}") for number in range(1, count + 1))
    return Inquiry(sequence=99, check="unit", among=among, red=count)


@pytest.mark.parametrize("count", range(1, 33))
def test_exactly_the_partner_is_found_wherever_it_is_in_few_tests(count: int) -> None:
    for partner in range(1, count + 1):
        asked = inquiry(count)
        while not asked.over:
            red = int(asked.base, 16) >= partner
            probed = asked.model_copy(update={"probes": asked.probes + 1})
            asked = probed.answered("failed" if red else "passed")
        assert asked.partners == (f"shop/{partner}",)
        assert asked.probes <= MOST_PROBES


def test_a_test_without_a_verdict_ends_the_search_and_those_left_are_named() -> None:
    asked = inquiry(8).answered("failed").answered("inconclusive")
    assert asked.over
    assert asked.partners == ("shop/1", "shop/2", "shop/3", "shop/4")


def test_of_very_many_those_that_are_left_are_named() -> None:
    asked = inquiry(200)
    while not asked.over:
        asked = asked.model_copy(update={"probes": asked.probes + 1}).answered("failed")
    assert asked.partners == tuple(f"shop/{number}" for number in range(1, 7))


def test_a_change_with_nothing_landed_since_has_no_partner() -> None:
    assert (inquiry(0).over, inquiry(0).partners) == (True, ())
