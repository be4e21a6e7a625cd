"""What people read: sentences and the overview."""

from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost
from policies.decision import Denied
from policies.explain import effect_words, overview_markdown, sentence
from policies.ledger import Ledger
from policies.overview import MAX_GROUPS, MAX_OPEN, LedgerOverview, overview
from policies.reservations import (
    AttentionRequest,
    LedgerState,
    PauseRequest,
    RefusedPolicy,
    Settlement,
    ShadowScore,
)
from tests.fakes.asks import BACK, NOON, OFF, ON, REVERT, ask, policy

HOURLY = "{id: hourly, scope: [agent, repo], max: 1, window: 1h}"


def told(ledger: Ledger) -> LedgerOverview:
    return overview("acme", ledger.state, NOON)


def under(*limits: str, **changes: str) -> Ledger:
    return Ledger(LedgerState(snapshot=policy(limits, **changes)))  # type: ignore[arg-type]


def test_a_finding_is_one_sentence_with_rule_place_numbers_and_remedy() -> None:
    ledger = under(HOURLY)
    ledger.reserve(ask(), NOON)
    decision = ledger.reserve(ask("run/2"), NOON)
    assert isinstance(decision, Denied)
    assert sentence(decision.findings[0]) == (
        "org.limits.hourly (org.yaml:8) denies: 2 in 1h with this one; required: "
        "at most 1 in 1h per agent, repo. Wait until 2026-03-02 13:00:00 UTC."
    )


def test_an_effect_is_named_by_its_verb() -> None:
    assert [effect_words(effect) for effect in (OFF, ON, BACK, REVERT)] == [
        "switch the flag new-checkout off for everybody",
        "switch the flag new-checkout on for everybody",
        f"roll shop back to {'b' * 12}",
        f"open a merge request in shop that reverts {'a' * 12}",
    ]


def test_the_overview_shows_the_room_left_and_what_is_open() -> None:
    ledger = under(HOURLY)
    ledger.reserve(ask(), NOON)
    found = told(ledger)
    assert [(row.rule, row.scope, row.used, row.max) for row in found.headroom] == [
        ("org.limits.hourly", "sentry_spike · shop", 1, 1)
    ]
    assert [(row.id, row.words) for row in found.open] == [("run/1", effect_words(OFF))]
    ledger.settle(Settlement(reservation="run/1", outcome=Outcome.LANDED), NOON)
    assert told(ledger).open == ()
    assert (told(ledger).remembered, told(ledger).audit_head.sequence, told(ledger).unwritten) == (1, 2, 2)


def test_the_room_is_shown_in_each_limit_s_own_unit() -> None:
    ledger = under(
        "{id: money, unit: cents, max: 100, window: 1h}",
        "{id: nights, scope: [approver_group], unit: escalations, max: 3, window: 1h}",
        "{id: held, max: 5, hold: until_settled}",
    )
    ledger.reserve(ask(cost=Cost(cents=30)), NOON)
    ledger.settle(Settlement(reservation="run/1", outcome=Outcome.LANDED, actual=Cost(cents=20)), NOON)
    ledger.attend(
        AttentionRequest(
            approval="approval/1",
            agent="sentry_spike",
            repository="shop",
            service="shop",
            subject="SHOP-1",
            lever=ON.lever,
            group="sre-oncall",
        ),
        NOON,
    )
    assert [(row.unit, row.scope, row.used, row.span) for row in told(ledger).headroom] == [
        ("cents", "", 20, "1h"),
        ("escalations", "sre-oncall", 1, "1h"),
        ("count", "", 0, "unsettled"),
    ]


def test_what_is_shown_is_bounded_and_says_how_much_there_is() -> None:
    ledger = under("{id: each, scope: [subject], max: 9, hold: until_settled}")
    for number in range(MAX_OPEN + 5):
        ledger.reserve(ask(f"run/{number}", subject=f"S-{number}"), NOON)
        ledger.written(ledger.head.sequence)
    ledger.reserve(ask("run/more", subject="S-7"), NOON)
    found = told(ledger)
    assert (len(found.open), found.holding) == (MAX_OPEN, MAX_OPEN + 6)
    assert len(found.headroom) == MAX_GROUPS
    assert found.headroom[0].scope == "shop · S-7", "the fullest first"


def test_the_page_says_first_that_nothing_is_granted() -> None:
    assert "No policy is installed" in overview_markdown(told(Ledger(LedgerState())))
    ledger = under()
    evil = "<!channel> [x](http://evil)"
    ledger.pause(PauseRequest(by="ada", reason=evil, repository="shop"), NOON)
    ledger.reserve(ask("run/7/0"), NOON)
    ledger.refuse_policy(RefusedPolicy(revision="abc", problems=(evil,), since=NOON), NOON)
    page = overview_markdown(told(ledger))
    assert "**Paused** in shop by ada" in page
    assert "## Waiting for a pause to end" in page
    assert "| run/7 |" in page
    assert "The policy of abc can't be installed" in page
    assert "<!channel>" not in page
    assert "](http" not in page


def test_the_page_says_who_is_lowered_and_what_was_only_observed() -> None:
    ledger = under(autonomy="observe")
    for number in range(3):
        ledger.reserve(ask(f"run/{number}"), NOON)
    ledger.score(ShadowScore(id="run/0", matched=True), NOON)
    page = overview_markdown(told(ledger))
    assert "| sentry_spike | 3 | 3 | 0 | 1 of 1 |" in page
    breaking = under(org="breaker: {bad: 1, of_last: 1, open_for: 1h}\n")
    breaking.reserve(ask(), NOON)
    breaking.settle(Settlement(reservation="run/1", outcome=Outcome.FAILED), NOON)
    assert "**sentry_spike is lowered** to `act_with_approval`" in overview_markdown(told(breaking))


def test_long_tables_end_with_what_is_left_out() -> None:
    ledger = under()
    for number in range(45):
        ledger.reserve(ask(f"run/{number}"), NOON)
    assert "… and 5 more." in overview_markdown(told(ledger))
