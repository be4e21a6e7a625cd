"""The fold of a suite: no order of tests matters, and what is at rest costs nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.shelf import MemoryShelf
from agents.flaky_tests.stored_form import LONGEST, stored
from tests.unit.agents.flaky_tests.lives import Lives

SENSITIVE = Bounds(runs_to_false_quarantine=100)
PARTS = st.sampled_from(["B.B.BB.B.BBB.B.B.B.B", "FFFF", "F", "B", "...", "." * 30, "   ", "BF.F"])
LIVES = st.lists(PARTS, min_size=1, max_size=6).map("".join)
SUITES = st.lists(LIVES, min_size=2, max_size=4).map(
    lambda lives: [life.ljust(max(map(len, lives)), ".") for life in lives]
)


@settings(max_examples=12, deadline=None)
@given(SUITES, st.data())
def test_the_order_of_independent_tests_does_not_matter(lives: list[str], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(lives))))
    one, other = Lives(SENSITIVE).tell(*lives), Lives(SENSITIVE).tell(*(lives[place] for place in order))
    assert one.suite == other.suite
    for number, place in enumerate(order):
        assert one.shelf.history(place) == other.shelf.history(number)
        assert one.shelf.seen(place) == other.shelf.seen(number)


@settings(max_examples=20, deadline=None)
@given(LIVES)
def test_what_is_remembered_of_a_test_stays_small_and_one_that_passes_again_is_at_rest(life: str) -> None:
    shelf = MemoryShelf()
    lives = Lives(SENSITIVE, shelf).tell(life)
    history = shelf.history(0)
    assert history is None or len(stored(history)) < LONGEST // 8
    lives.tell("." * 60)
    history = shelf.history(0)
    assert list(shelf.attentive()) == ([0] if history and history.quarantine else [])
