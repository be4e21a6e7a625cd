"""How much counters grew: restarts, births, gaps and ends of series, added up one by one."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.backends.prometheus_counts import Series, first_sample, grown, last_sample, present
from leverframe.model.errors import Unavailable

SINCE = 1000.0
LONG_SEEN = 400.0


def growth(*series: Series, seen_from: float = LONG_SEEN) -> float:
    return grown(series, SINCE, seen_from)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([(900, 10), (1015, 12), (1030, 15)], 5),
        ([(900, 10), (1000, 11), (1015, 12)], 1),
        ([(1015, 7), (1030, 9)], 9),
        ([(900, 10), (1015, 3), (1030, 5)], 5),
        ([(900, 10), (950, 2), (1015, 3)], 1),
        ([(900, 10)], 0),
        ([(900, 10), (1500, 14)], 4),
        ([], 0),
    ],
    ids=[
        "grows from its last sample before",
        "a sample on the edge is before",
        "born since, from zero",
        "restarted, from zero",
        "restarted before",
        "ended",
        "a missing scrape costs nothing",
        "nothing",
    ],
)
def test_a_series_grows(series: Series, expected: float) -> None:
    assert growth(series) == expected


def test_a_pod_that_ends_takes_nothing_away_and_its_successor_counts_from_zero() -> None:
    old = [(900.0, 500.0), (1015.0, 510.0)]
    new = [(1045.0, 4.0), (1060.0, 9.0)]
    assert growth(old, new) == 19


def test_old_processes_that_a_new_prometheus_meets_do_not_count_their_past() -> None:
    """Nothing was seen before: what shows up within two minutes was there before, later series were born."""
    met = [(1010.0, 80_000.0), (1025.0, 80_003.0)]
    born = [(1200.0, 2.0)]
    assert growth(met, born, seen_from=first_sample([met, born])) == 3 + 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_what_is_no_count_is_unavailable(value: float) -> None:
    for series in ([(900.0, value)], [(900.0, 1.0), (1015.0, value)]):
        with pytest.raises(Unavailable, match="a counter shows"):
            growth(series)


def test_presence_is_the_time_between_samples_without_the_gaps() -> None:
    steady = [(985.0, 1.0), (1000.0, 1.0), (1015.0, 1.0), (1030.0, 1.0)]
    gone = [(900.0, 1.0), (1400.0, 1.0), (1415.0, 1.0)]
    assert present([steady, gone, []], SINCE) == 30 + 15
    assert (first_sample([steady, gone]), last_sample([steady, gone])) == (900.0, 1415.0)


PODS = st.lists(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9), st.booleans()), min_size=1, max_size=10),
    min_size=1,
    max_size=3,
)


@given(PODS)
def test_any_two_looks_differ_by_what_happened_between_them(
    pods: list[list[tuple[int, int, bool]]],
) -> None:
    """Pods restart (losing their counter) between scrapes; the growth is what was ever scraped of them."""
    all_series, events = list[list[tuple[float, float]]](), list[tuple[float, int]]()
    for pod in pods:
        at, value, series = 900.0, 0, [(900.0, 0.0)]
        for pause, more, restarted in pod:
            at += pause
            value = more if restarted and more < value else value + more
            series.append((at, float(value)))
            events.append((at, more))
        all_series.append(series)
    moments = sorted({at for at, _ in events if at > SINCE})
    for before, after in itertools.pairwise([SINCE, *moments]):
        looks = [
            grown([[s for s in series if s[0] <= end] for series in all_series], SINCE, LONG_SEEN)
            for end in (before, after)
        ]
        assert looks[1] - looks[0] == sum(more for at, more in events if before < at <= after)
