"""The circuit breaker: what opens it, what a probe is, what closes it again."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Lever
from policies.breaker import findings, standing, tripped
from policies.decision import Finding, Verdict
from policies.intent import Intent
from policies.rules import Breaker
from policies.usage import Use
from tests.fakes.asks import NOON, ask, policy

HOUR = timedelta(hours=1)
RULE = Breaker(bad=2, of_last=4, open_for=24 * HOUR)
WORDS = {
    "g": Outcome.LANDED,
    "b": Outcome.FAILED,
    "r": Outcome.ROLLED_BACK,
    "x": Outcome.EXPIRED,
    "n": Outcome.REJECTED,
    "s": Outcome.SUPERSEDED,
}


def use(letter: str, at: float, ended: float | None = None, *, overrun: bool = False) -> Use:
    """A use reserved and settled so many hours after noon; `h` is still held."""
    outcome = WORDS.get(letter)
    return Use(
        agent="sentry_spike",
        repository="shop",
        service="shop",
        subject="SHOP-1",
        lever=Lever.FLIP_FLAG,
        at=NOON + at * HOUR,
        held=outcome is None,
        outcome=outcome,
        ended_at=None if outcome is None else NOON + (at + 0.5 if ended is None else ended) * HOUR,
        overrun=overrun,
    )


def history(letters: str) -> list[Use]:
    """One use after the other, an hour each."""
    return [use(letter, at) for at, letter in enumerate(letters)]


def after(hours: float) -> datetime:
    """So many hours after noon."""
    return NOON + hours * HOUR


@pytest.mark.parametrize(
    ("letters", "state"),
    [
        ("", "closed"),
        ("b", "closed"),
        ("bb", "open"),
        ("br", "open"),
        ("bgggb", "closed"),
        ("bggb", "open"),
        ("bxnsxb", "open"),
        ("xxxxx", "closed"),
        ("nnnnn", "closed"),
    ],
)
def test_so_many_bad_of_the_last_open_it(letters: str, state: str) -> None:
    assert standing(RULE, history(letters), after(len(letters))).state == state


def test_the_document_says_what_is_bad() -> None:
    strict = RULE.model_copy(update={"bad_outcomes": (Outcome.REJECTED,)})
    assert standing(strict, history("nn"), after(3)).state == "open"
    assert standing(strict, history("bb"), after(3)).state == "closed"


def test_an_overrun_is_bad_whatever_the_outcome() -> None:
    uses = [use("g", 0, overrun=True), use("x", 1, overrun=True)]
    assert standing(RULE, uses, after(2)).state == "open"


def test_it_is_half_open_after_its_time_and_not_a_tick_earlier() -> None:
    uses = history("bb")
    assert standing(RULE, uses, after(1.5 + 24) - timedelta(microseconds=1)).state == "open"
    assert standing(RULE, uses, after(1.5 + 24)).state == "half open"


def test_a_good_probe_closes_it_and_a_bad_one_opens_it_again() -> None:
    uses = history("bb")
    good, bad = [*uses, use("g", 26)], [*uses, use("b", 26)]
    assert standing(RULE, good, after(27)).state == "closed"
    assert standing(RULE, [*uses, use("g", 25.5)], after(27)).state == "closed"
    again = standing(RULE, bad, after(27))
    assert (again.state, again.opened_at) == ("open", after(26.5))


def test_a_bad_probe_opens_it_even_when_good_news_came_in_between() -> None:
    late = [use("g", 0, 3 + number) for number in range(4)]
    assert standing(RULE, [*history("bb"), *late, use("b", 26)], after(27)).state == "open"


def test_what_was_reserved_before_it_opened_is_no_probe() -> None:
    uses = [*history("bb"), use("g", 1, 26)]
    assert standing(RULE, uses, after(27)).state == "half open"


def test_bad_news_of_what_was_on_its_way_prolongs_it() -> None:
    uses = [*history("bb"), use("b", 1, 20)]
    assert standing(RULE, uses, after(30)).state == "open"
    assert standing(RULE, uses, after(44)).state == "half open"


def test_the_order_of_settlement_counts_not_that_of_reservation() -> None:
    rule = RULE.model_copy(update={"of_last": 3})
    late = [use("b", 0, 1), use("b", 1, 10), use("g", 2, 3), use("g", 3, 4)]
    assert standing(rule, late, after(11)).state == "closed"
    assert standing(rule, history("bbgg"), after(11)).state == "open"


def test_of_two_settled_at_once_the_bad_one_comes_first_in_any_order() -> None:
    """A good probe that came first would close it, and one bad outcome of two would not open it again."""
    good, bad = use("g", 26, 27), use("b", 26, 27)
    rule = RULE.model_copy(update={"of_last": 2})
    for pair in ([good, bad], [bad, good]):
        assert standing(rule, [*history("bb"), *pair], after(28)).state == "open"


def test_a_bad_one_trips_it_even_beside_a_good_one_at_the_same_instant() -> None:
    assert tripped(RULE, [use("b", 0), use("b", 1, 5), use("g", 2, 5)], after(6))


def test_what_is_settled_later_is_not_known_yet() -> None:
    assert standing(RULE, history("bb"), after(1)).state == "closed"
    assert tripped(RULE, history("bb"), after(1.5))


def test_it_trips_with_the_settlement_that_opens_it() -> None:
    uses = history("bbg")
    assert [tripped(RULE, uses[:count], after(9)) for count in range(4)] == [False, False, True, False]
    assert tripped(RULE, [*uses, use("b", 30)], after(31))


def told(uses: list[Use], now: datetime, rule: str = "{bad: 2, of_last: 4, open_for: 1d}") -> list[Finding]:
    """What the organisation's file says."""
    snapshot = policy(org=f"breaker: {rule}\n")
    document = next(document for document in snapshot.documents if document.file == "org.yaml")
    return list(findings(document, Intent.of(ask()), uses, now))


def test_open_denies_until_people_may_approve_a_probe() -> None:
    (found,) = told(history("bb"), after(2))
    assert (found.rule, found.verdict) == ("org.breaker", Verdict.DENY)
    assert found.retry_at is None, "waiting alone only leads to a question"
    assert found.observed == "sentry_spike was stopped at 2026-03-02 13:30:00 UTC: its effects went badly"
    assert found.limit == "fewer than 2 bad of the last 4, or 1d without effects"
    assert found.remedy == (
        "Wait until 2026-03-03 13:30:00 UTC, then ask a person to approve one effect as a probe."
    )
    assert found.source == "org.yaml:7"
    assert told(history("b"), after(2)) == []


def test_half_open_asks_people_for_each_probe_and_has_so_many_at_once() -> None:
    uses = history("bb")
    (asks,) = told(uses, after(26))
    assert asks.verdict is Verdict.ESCALATE
    assert (asks.rule, asks.source) == ("org.breaker", "org.yaml:7")
    assert asks.observed == "sentry_spike must prove itself: 0 unsettled of 1 probes"
    assert asks.limit == "fewer than 2 bad of the last 4, or a good probe"
    assert asks.remedy == "Ask a person to approve exactly this effect."
    (full,) = told([*uses, use("h", 26)], after(26))
    assert (full.verdict, full.retry_at) == (Verdict.DENY, None)
    assert full.remedy == "Wait until an earlier effect is settled."
    (room,) = told([*uses, use("h", 26)], after(26), "{bad: 2, of_last: 4, open_for: 1d, probe: 2}")
    assert room.verdict is Verdict.ESCALATE
    assert "1 unsettled of 2" in room.observed
    assert (asks.figure, room.figure) == (0, 1)


def test_waiting_alone_does_not_help_while_probes_are_taken() -> None:
    (found,) = told([*history("bb"), use("h", 0)], after(2))
    assert (found.verdict, found.retry_at) == (Verdict.DENY, None)


USES = st.lists(
    st.tuples(st.sampled_from("gbrxnh"), st.integers(0, 60), st.integers(0, 30), st.booleans()), max_size=14
)


RULES = st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.integers(1, 3))
"""`bad`, how much `of_last` is more, `open_for` in days, `probe`."""


def _verdict(uses: list[Use], now: datetime, numbers: tuple[int, int, int, int]) -> Verdict:
    bad, spare, days, probe = numbers
    rule = f"{{bad: {bad}, of_last: {bad + spare}, open_for: {days}d, probe: {probe}}}"
    return max((finding.verdict for finding in told(uses, now, rule)), default=Verdict.ALLOW)


@settings(deadline=None, max_examples=60)
@given(USES, RULES, st.tuples(*[st.integers(0, 3)] * 4), st.integers(0, 150))
def test_stricter_numbers_never_make_it_looser(
    rows: list[tuple[str, int, int, bool]],
    loose: tuple[int, int, int, int],
    by: tuple[int, int, int, int],
    now: int,
) -> None:
    uses = [use(letter, at, at + took, overrun=over) for letter, at, took, over in rows]
    bad = max(1, loose[0] - by[0])
    spare = loose[0] + loose[1] + by[1] - bad
    strict = (bad, spare, loose[2] + by[2], max(1, loose[3] - by[3]))
    assert _verdict(uses, after(now), loose) <= _verdict(uses, after(now), strict)
