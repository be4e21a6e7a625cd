"""What people are paged with, and how often."""

from datetime import UTC, datetime, timedelta

import pytest

from leverframe.model.releases import ERRORS, Count, GateVerdict, HealthDocument, ReleaseOutcome, SignalCounts
from leverframe.model.topology import CanaryPlan, CanaryStep
from tests.fakes.release_world import NEW, OLD, receipt
from workflows.release.canary import Ladder
from workflows.release.pages import ended_badly, needed, overlay_not_back, requests_not_back, standing_still
from workflows.release.standstill import Standstill
from workflows.release.state import ReleaseState
from workflows.release.story import Progress

T0 = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
UNDECIDED = Standstill(kind="undecided", percent=5, since=T0, until=T0 + DAY)


def seen(*, looks: int, canary: tuple[int, int], stable: tuple[int, int], excludes: float = 2.0) -> Ladder:
    """A ladder after so many looks of 15 s, each with so many requests and errors."""
    step = CanaryStep(percent=5, min_requests=100, min_seconds=0, max_seconds=600, excludes=excludes)
    ladder = Ladder.at_the_foot(NEW, CanaryPlan(steps=(step,)), T0)
    for look in range(looks + 1):
        at = T0 + timedelta(seconds=15 * look)
        arms = {
            sha: Count(total=look * requests, bad=look * errors)
            for sha, (requests, errors) in ((NEW, canary), (OLD, stable))
        }
        document = HealthDocument(
            service="shop", taken_at=at, stable=OLD, canary=NEW, canary_percent=5,
            signals={ERRORS: SignalCounts(since=T0, arms=arms)},
        )  # fmt: skip
        ladder, _ = ladder.observed(document, at)
    return ladder


def test_reminders_come_after_an_hour_and_then_after_twice_as_long() -> None:
    hours = [0, 0.9, 1, 2.9, 3, 6.9, 7, 15, 31]
    numbers = [UNDECIDED.page(T0 + timedelta(hours=hour))[1] for hour in hours]
    assert numbers == [0, 0, 1, 1, 2, 2, 3, 4, 5]


def test_each_page_has_a_key_of_its_own_and_each_outage_as_well() -> None:
    keys = {UNDECIDED.page(T0 + timedelta(hours=hour))[0] for hour in (0, 0.5, 1, 3)}
    assert keys == {"undecided/5/0", "undecided/5/1", "undecided/5/2"}
    blind = UNDECIDED.model_copy(update={"kind": "blind", "outage": T0})
    assert blind.page(T0)[0] == "blind/5/20260101T120000Z/0"


def test_a_page_says_what_is_needed_how_long_that_takes_and_what_to_type() -> None:
    ladder = seen(looks=20, canary=(5, 0), stable=(95, 1))
    progress = Progress(service="shop", sha=NEW, percent=5)
    text = standing_still(progress, ladder, UNDECIDED, reminder=2)
    assert text.startswith(
        "Reminder 2: shop bbbbbbbbbbbb has been undecided at 5 % since 2026-01-01 12:00 UTC; "
        "goes back by itself at 2026-01-02 12:00 UTC."
    )
    assert "canary requests, of which it has had 100; at this traffic the rest takes" in text
    assert 'leverframe release promote shop --sha bbbbbbbbbbbb --reason "…" (two people' in text
    assert 'leverframe release abort shop --sha bbbbbbbbbbbb --reason "…"' in text


@pytest.mark.parametrize(
    ("ladder", "words"),
    [
        (seen(looks=0, canary=(0, 0), stable=(0, 0)), "the canary has had none"),
        (seen(looks=9, canary=(0, 0), stable=(95, 0)), "the canary has had none"),
        (seen(looks=40, canary=(300, 6), stable=(5700, 57)), "it may be a little worse than stable"),
        (seen(looks=10, canary=(50, 0), stable=(950, 1)), "at this traffic the rest takes"),
    ],
)
def test_what_is_needed_is_said_of_any_traffic(ladder: Ladder, words: str) -> None:
    assert words in needed(ladder)


def test_a_blind_page_blames_the_metrics_and_not_the_release() -> None:
    blind = Standstill(kind="blind", percent=5, since=T0, until=T0 + DAY, outage=T0)
    text = standing_still(
        Progress(service="shop", sha=NEW), seen(looks=0, canary=(0, 0), stable=(0, 0)), blind, reminder=0
    )
    assert text.startswith("shop bbbbbbbbbbbb has been without metrics at 5 % since 2026-01-01 12:00 UTC")
    assert "Nothing is taken back for what it can't see." in text


def test_a_red_end_says_what_was_seen_what_was_done_and_who_was_told() -> None:
    red = GateVerdict(
        colour="red", percent=25, reason="errors: canary 9 of 61", canary_requests=61, canary_errors=9,
        stable_requests=100, stable_errors=0,
    )  # fmt: skip
    outcome = ReleaseOutcome(
        service="shop",
        sha=NEW,
        outcome="rolled_back",
        reached_percent=25,
        detail="errors: canary 9 of 61. All requests went back to stable.",
        verdicts=(red,),
    )
    text = ended_badly(receipt(NEW), outcome, ("run/sentry_spike/shop/1",))
    assert text.splitlines() == [
        "shop bbbbbbbbbbbb was taken back, red: errors: canary 9 of 61. All requests went back to stable. "
        "It had reached 25 % of production.",
        "It is shop/1 by ada, landed at 2026-01-01 00:00 UTC. Told: run/sentry_spike/shop/1.",
        f"leverframe release show {NEW}",
    ]


def test_a_way_back_that_does_not_come_about_says_what_to_do_by_hand() -> None:
    state = ReleaseState(progress=Progress(service="shop", sha=NEW, percent=25), last_good=OLD)
    assert "up to 25 % of production's requests still go to it" in requests_not_back(state, "it is red", T0)
    assert "send all requests to aaaaaaaaaaaa" in requests_not_back(state, "it is red", T0)
    assert "point the overlay at aaaaaaaaaaaa" in overlay_not_back(state, "it is red")
