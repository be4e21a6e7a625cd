"""Instance-seconds: what counts as a restart, and out of what."""

from hypothesis import given
from hypothesis import strategies as st

from leverframe.delivery.lifetimes import KEPT, Lifetime, Lifetimes
from leverframe.model.releases import Count


def test_each_second_in_which_a_process_died_counts_once() -> None:
    life = Lifetime()
    life.begin(100.0)
    for moment in (100.2, 100.4, 100.9, 103.5):
        life.died(moment)
    assert life.count(104.0) == Count(bad=2, total=5)


def test_the_end_that_was_wanted_is_no_restart_and_the_next_instance_goes_on_counting() -> None:
    life = Lifetime()
    life.begin(0.0)
    life.died(1.0)
    life.end(9.5)
    life.died(9.6)
    assert life.count(500.0) == Count(bad=1, total=10)
    life.begin(500.0)
    assert life.count(504.5) == Count(bad=1, total=15)


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
def test_counts_never_go_back_and_bad_seconds_never_outnumber_all(steps: list[tuple[float, bool]]) -> None:
    life, now, before = Lifetime(), 0.0, Count()
    life.begin(now)
    for pause, died in steps:
        now += pause
        if died:
            life.died(now)
        count = life.count(now)
        assert count.bad >= before.bad
        assert count.total >= before.total
        before = count


def test_the_oldest_sha_is_forgotten_first() -> None:
    lifetimes = Lifetimes(lambda: 0.0)
    for number in range(KEPT + 1):
        lifetimes.begin(f"{number:040x}")
    assert lifetimes.count(f"{0:040x}") == Count()
    assert lifetimes.count(f"{KEPT:040x}") == Count(total=1)
