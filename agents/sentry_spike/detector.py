"""The streaming spike detector: counts per tick in, a reading out. O(1) per tick, bounded state.

Silent stretches are folded ten minutes at a time in closed form, so a watch that slept for days wakes
cheaply. Ticks stay open for a moment so that late counts find their place; an open tick is read with the
count so far against the whole tick's expectation, which can only understate the evidence.
"""

from collections.abc import Iterable
from math import log

from pydantic import Field, ValidationError

from agents.sentry_spike.baseline import BIN, DAY, Season, Today, learn, poisson_active
from agents.sentry_spike.evidence import BirthTest, Evidence
from leverframe.model.errors import BadConfiguration
from leverframe.model.frozen import Frozen

WINDOW = 60
"""Ticks that the excess rules look back on."""
MIN_EXCESS = 5
MIN_RATIO = 2
ALPHA = 1e-3
"""The share of ordinary new groups that may alarm on their first day."""
_OWN_DAYS = 10
_OWN_FACTOR = 1.5
_LATE_SECONDS = 5
_LONGEST_GAP = 14 * DAY
"""A longer silence teaches nothing more: it is folded as this much."""


class Tuning(Frozen):
    """The settings of the agent."""

    tick_seconds: int = Field(default=60, ge=1, le=BIN)
    """Length of a tick; it divides ten minutes."""
    cooldown_seconds: int = Field(default=3600, ge=0, le=7 * DAY)
    """After a run has settled, no run of the same subject starts for so long."""
    quiet_days: int = Field(default=90, ge=1, le=3650)
    """The mean time to a false alarm that the evidence threshold stands for."""
    new_group_seconds: int = Field(default=DAY, ge=0, le=7 * DAY)
    """A younger group has no baseline of its own."""
    new_group_events_per_hour: int = Field(default=2, ge=1, le=100_000)
    """The rate that 95 % of new groups of the project stay under."""
    new_group_active_ticks: int = Field(default=8, ge=2, le=WINDOW)
    """Ticks with events that a new group must show before it alarms …"""
    new_group_storm_events: int = Field(default=1000, ge=10, le=10_000_000)
    """… unless so many events come within 60 ticks: a storm is plain, and waiting makes it worse."""

    @classmethod
    def of(cls, settings: dict[str, int]) -> "Tuning":
        """Raises BadConfiguration for an unknown or unusable setting."""
        try:
            tuning = cls.model_validate(settings)
        except ValidationError as error:
            lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise BadConfiguration(f"the tuning of sentry_spike is wrong: {lines}") from error
        if BIN % tuning.tick_seconds:
            raise BadConfiguration(
                f"tick_seconds is {tuning.tick_seconds}; it must divide {BIN}, for example 1, 10 or 60"
            )
        return tuning

    @property
    def late_ticks(self) -> int:
        """Ticks that stay open behind the running one."""
        return max(1, -(-_LATE_SECONDS // self.tick_seconds))

    @property
    def base_threshold(self) -> float:
        """ln(ARL in ticks)."""
        return log(self.quiet_days * DAY / self.tick_seconds)


class Stream(Frozen):
    """Everything the detector remembers of one stream: about 450 numbers, whatever came."""

    born: int
    """The first tick (Unix time over the tick's length)."""
    folded: int
    """The last tick that is closed."""
    open: tuple[tuple[int, int], ...] = ()
    """`(tick, count)` of ticks that are not closed yet, in order."""
    season: Season = Season()
    today: Today = Today()
    evidence: Evidence = Evidence()
    birth: BirthTest = BirthTest()
    active_ticks: int = 0
    """Ticks with events since birth or since the last run settled."""
    recent: tuple[int, ...] = Field(default=(0,) * WINDOW, min_length=WINDOW, max_length=WINDOW)
    expected: tuple[float, ...] = Field(default=(0.0,) * WINDOW, min_length=WINDOW, max_length=WINDOW)
    maxima: tuple[float, ...] = Field(default=(), max_length=_OWN_DAYS)
    """The highest evidence of each of the last days, oldest first."""
    today_maximum: float = 0.0


class Reading(Frozen):
    """What the stream says at one moment."""

    alarm: bool
    new_group: bool
    storm: bool
    """A new group alarms by its sheer number of events, before the ticks could say so."""
    evidence: float
    """In nats."""
    threshold: float
    events: int
    """In the last 60 ticks."""
    expected: float
    active_ticks: int
    onset: int
    """Unix second at which the excess began, as far as the last 60 ticks show."""


def begin(second: int, tuning: Tuning) -> Stream:
    """The stream of a subject whose first event came at `second`."""
    tick = second // tuning.tick_seconds
    return Stream(born=tick, folded=tick - 1, today=Today(first_bin=second % DAY // BIN))


def add(stream: Stream, counts: Iterable[tuple[int, int]], tuning: Tuning) -> Stream:
    """Put `(second, count)` pairs into their ticks. One that comes too late joins the oldest open tick."""
    pending = dict(stream.open)
    for second, count in counts:
        tick = max(second // tuning.tick_seconds, stream.folded + 1)
        pending[tick] = pending.get(tick, 0) + count
    return stream.model_copy(update={"open": tuple(sorted(pending.items()))})


def advance(stream: Stream, now: int, tuning: Tuning) -> Stream:
    """Close every tick that ended long enough before `now` (Unix seconds)."""
    return _fold_through(stream, now // tuning.tick_seconds - tuning.late_ticks - 1, tuning)


def read(stream: Stream, now: int, tuning: Tuning) -> Reading:
    """What the stream says, open ticks included."""
    last = max(now // tuning.tick_seconds, stream.open[-1][0] if stream.open else stream.folded)
    peeked = _fold_through(stream, last, tuning)
    events, expected = sum(peeked.recent), sum(peeked.expected)
    storm = False
    if _is_new(peeked, peeked.folded, tuning):
        # A group may turn bad at birth or later on its first day: one test for each, the same α.
        late = peeked.evidence.of_active - log(DAY / tuning.tick_seconds)
        evidence, threshold = max(peeked.birth.total, late), -log(ALPHA)
        alarm = evidence > threshold and peeked.active_ticks >= tuning.new_group_active_ticks
        storm = not alarm and events >= tuning.new_group_storm_events
    else:
        evidence, threshold = peeked.evidence.total, _threshold(peeked, tuning)
        alarm = evidence > threshold and events - expected >= MIN_EXCESS and events >= MIN_RATIO * expected
    return Reading(
        alarm=alarm or storm,
        storm=storm,
        new_group=_is_new(peeked, peeked.folded, tuning),
        evidence=max(0.0, evidence),
        threshold=threshold,
        events=events,
        expected=expected,
        active_ticks=peeked.active_ticks,
        onset=_onset(peeked, tuning),
    )


def rearm(stream: Stream, now: int, tuning: Tuning) -> Stream:
    """Forget the evidence up to `now`, keep what was learned: a run has dealt with it."""
    return _fold_through(stream, now // tuning.tick_seconds, tuning).model_copy(
        update={
            "evidence": Evidence(),
            "birth": BirthTest(),
            "active_ticks": 0,
            "recent": (0,) * WINDOW,
            "expected": (0.0,) * WINDOW,
        }
    )


def _fold_through(stream: Stream, last: int, tuning: Tuning) -> Stream:
    """Close all ticks up to and including `last`."""
    longest = _LONGEST_GAP // tuning.tick_seconds
    pending = [item for item in stream.open if item[0] <= last]
    remaining = stream.open[len(pending) :]
    for tick, count in pending:
        stream = _silence(stream, tick - 1, longest, tuning)
        stream = _fold(stream, tick, count=count, ticks=1, tuning=tuning)
    return _silence(stream, last, longest, tuning).model_copy(update={"open": remaining})


def _silence(stream: Stream, last: int, longest: int, tuning: Tuning) -> Stream:
    """Fold silent ticks up to and including `last`, one ten-minute bin at a time."""
    if last - stream.folded > longest:
        skipped = last - longest
        stream = stream.model_copy(update={"folded": skipped - skipped % (DAY // tuning.tick_seconds) - 1})
    per_bin = BIN // tuning.tick_seconds
    while stream.folded < last:
        first = stream.folded + 1
        ticks = min(last - stream.folded, per_bin - first % per_bin)
        stream = _fold(stream, first, count=0, ticks=ticks, tuning=tuning)
    return stream


def _fold(stream: Stream, first: int, *, count: int, ticks: int, tuning: Tuning) -> Stream:
    """Close `ticks` ticks of `count` events each, all within one ten-minute bin."""
    second = first * tuning.tick_seconds
    season, new = stream.season, _is_new(stream, first, tuning)
    own_rate = season.rate(second, tuning.tick_seconds)
    if new:
        rate = tuning.new_group_events_per_hour * tuning.tick_seconds / 3600
        phi, active_phi, chance = 1.0, 1.0, min(0.98, poisson_active(rate))
    else:
        rate, phi, active_phi = own_rate, season.dispersion, season.active_dispersion
        chance = season.active_chance(rate)
    evidence = stream.evidence.after(
        count=count, ticks=ticks, rate=rate, phi=phi, chance=chance, active_phi=active_phi
    )
    today = stream.today.with_ticks(
        second % DAY // BIN,
        count=count,
        ticks=ticks,
        poisson=0.0 if new else poisson_active(own_rate),
        chance=0.0 if new else chance,
    )
    kept = min(ticks, WINDOW)
    folded = stream.model_copy(
        update={
            "folded": first + ticks - 1,
            "today": today,
            "evidence": evidence,
            "birth": stream.birth.after(count=count, ticks=ticks, chance=chance) if new else stream.birth,
            "active_ticks": stream.active_ticks + (ticks if count else 0),
            "recent": stream.recent[kept:] + (count,) * kept,
            "expected": stream.expected[kept:] + (rate,) * kept,
            # An alarm raises the bar for the days after it, but never out of a real spike's reach.
            "today_maximum": max(
                stream.today_maximum, 0.0 if new else min(evidence.total, 2 * tuning.base_threshold)
            ),
        }
    )
    return _turn(folded, (first + ticks) * tuning.tick_seconds)


def _turn(stream: Stream, second: int) -> Stream:
    """Close the ten minutes and the day that end at `second`, if any do."""
    if second % BIN:
        return stream
    today = stream.today.with_bin_closed()
    if second % DAY:
        return stream.model_copy(update={"today": today})
    return stream.model_copy(
        update={
            "season": learn(stream.season, today, second // DAY - 1),
            "today": Today(),
            "maxima": (*stream.maxima, stream.today_maximum)[-_OWN_DAYS:],
            "today_maximum": 0.0,
        }
    )


def _is_new(stream: Stream, tick: int, tuning: Tuning) -> bool:
    return (tick - stream.born) * tuning.tick_seconds < tuning.new_group_seconds


def _threshold(stream: Stream, tuning: Tuning) -> float:
    """The evidence that is needed: at least ln(ARL), and clearly more than the stream's own ordinary days."""
    return max(tuning.base_threshold, _OWN_FACTOR * max(stream.maxima, default=0.0))


def _onset(stream: Stream, tuning: Tuning) -> int:
    """Where the sum of (events − 2 × expected) up to now is greatest: Page's (1954) CUSUM, read backwards."""
    best, total, start = 0.0, 0.0, stream.folded
    for age in range(1, WINDOW + 1):
        total += stream.recent[-age] - MIN_RATIO * stream.expected[-age]
        if total > best:
            best, start = total, stream.folded - age + 1
    return start * tuning.tick_seconds
