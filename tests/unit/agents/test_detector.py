"""The spike detector: silent on ordinary streams, quick on spikes, small and cheap whatever comes."""

import random

import pytest

from agents.sentry_spike import detector
from agents.sentry_spike.detector import Stream, Tuning
from agents.sentry_spike.evidence import Evidence
from leverframe.model.errors import BadConfiguration
from tests.unit.agents.streams import DAY, START, steady

MINUTE = Tuning()
SECOND = Tuning(tick_seconds=1)


def fed(counts: list[tuple[int, int]], tuning: Tuning = MINUTE, stream: Stream | None = None) -> Stream:
    """The stream after these counts, each closed as its time came."""
    stream = stream or detector.begin(counts[0][0], tuning)
    for second, count in counts:
        stream = detector.advance(detector.add(stream, [(second, count)], tuning), second, tuning)
    return stream


@pytest.fixture(scope="module")
def quiet() -> Stream:
    """A stream of 0.02 events a minute that is eight days old."""
    return fed(steady(random.Random(1), days=8, per_minute=0.02))  # noqa: S311  reproducible, not secret


def test_a_quiet_stream_never_alarms() -> None:
    counts = steady(random.Random(2), days=6, per_minute=0.02)  # noqa: S311  reproducible, not secret
    stream, alarms = detector.begin(counts[0][0], MINUTE), 0
    for second, count in counts:
        stream = detector.advance(detector.add(stream, [(second, count)], MINUTE), second, MINUTE)
        alarms += detector.read(stream, second, MINUTE).alarm
    assert alarms == 0


@pytest.mark.parametrize(("per_minute", "within"), [(1, 20), (5, 5), (50, 1)])
def test_a_spike_on_a_quiet_stream_is_found_within_minutes(
    quiet: Stream, per_minute: int, within: int
) -> None:
    onset = START + 8 * DAY
    for minute in range(within):
        second = onset + minute * 60
        quiet = fed([(second, per_minute)], stream=quiet)
    reading = detector.read(quiet, second, MINUTE)
    assert reading.alarm
    assert abs(reading.onset - onset) <= 60


def test_a_spike_is_found_before_its_first_tick_is_over(quiet: Stream) -> None:
    onset = START + 8 * DAY
    assert detector.read(fed([(onset + 2, 40)], stream=quiet), onset + 2, MINUTE).alarm


def test_three_events_at_once_on_a_rare_stream_are_no_spike(quiet: Stream) -> None:
    onset = START + 8 * DAY
    assert not detector.read(fed([(onset, 3)], stream=quiet), onset, MINUTE).alarm


@pytest.mark.parametrize(("ticks", "alarm"), [(7, False), (8, True)])
def test_a_new_group_alarms_on_its_eighth_tick_with_errors(ticks: int, alarm: bool) -> None:
    stream = fed([(START + tick, 4) for tick in range(ticks)], SECOND)
    reading = detector.read(stream, START + ticks - 1, SECOND)
    assert (reading.new_group, reading.alarm, reading.active_ticks) == (True, alarm, ticks)


@pytest.mark.parametrize(("events", "alarm"), [(999, False), (1000, True), (20_000, True)])
def test_a_storm_of_a_new_group_alarms_within_its_first_minute(events: int, alarm: bool) -> None:
    stream = fed([(START + 5, events)])
    reading = detector.read(stream, START + 5, MINUTE)
    assert (reading.alarm, reading.storm, reading.events) == (alarm, alarm, events)


def test_a_new_group_that_errs_now_and_then_does_not_alarm() -> None:
    stream = fed([(START + hour * 3600, 1) for hour in range(20)])
    assert not detector.read(stream, START + 20 * 3600, MINUTE).alarm


def test_silence_folded_at_once_equals_silence_folded_tick_by_tick(quiet: Stream) -> None:
    start, end = quiet.folded * 60, quiet.folded * 60 + 3 * 3600
    at_once = detector.advance(quiet, end, MINUTE)
    stepwise = quiet
    for second in range(start, end + 1, 60):
        stepwise = detector.advance(stepwise, second, MINUTE)
    assert at_once.folded == stepwise.folded
    assert at_once.evidence.counts == pytest.approx(stepwise.evidence.counts)
    assert at_once.evidence.active == pytest.approx(stepwise.evidence.active)


def test_a_watch_that_slept_for_years_wakes_without_looping_over_every_tick(quiet: Stream) -> None:
    later = detector.advance(quiet, START + 3000 * DAY, MINUTE)
    assert later.folded == (START + 3000 * DAY) // 60 - MINUTE.late_ticks - 1


def test_late_counts_join_the_oldest_open_tick_and_none_is_lost() -> None:
    stream = fed([(START, 1), (START + 600, 1)])
    late = detector.add(stream, [(START + 60, 5)], MINUTE)
    assert sum(count for _, count in late.open) == sum(count for _, count in stream.open) + 5
    assert min(tick for tick, _ in late.open) == late.folded + 1


def test_the_state_does_not_grow_with_the_stream(quiet: Stream) -> None:
    busy = fed([(START + 8 * DAY + second, 9) for second in range(0, 86_400, 30)], stream=quiet)
    assert len(busy.model_dump_json()) < 12_000
    assert len(busy.open) <= MINUTE.late_ticks + 1


def test_a_rearmed_stream_has_no_evidence_and_keeps_what_it_learned(quiet: Stream) -> None:
    noon = START + 8 * DAY + DAY // 2
    spiked = fed([(noon, 500)], stream=quiet)
    calm = detector.rearm(spiked, noon, MINUTE)
    assert calm.evidence == Evidence()
    assert calm.season == spiked.season
    assert not detector.read(calm, noon + 60, MINUTE).alarm


@pytest.mark.parametrize("settings", [{"tick_seconds": 7}, {"tick_second": 60}, {"tick_seconds": 0}])
def test_unusable_tuning_is_refused_with_its_name(settings: dict[str, int]) -> None:
    with pytest.raises(BadConfiguration, match="tick_second"):
        Tuning.of(settings)
