"""What people read: sentences and the overview."""

from leverframe.model.outcomes import Outcome
from policies import ledger
from policies.decision import Denied
from policies.explain import effect_words, overview_markdown, sentence
from policies.overview import overview
from policies.reservations import LedgerState, PauseRequest
from tests.fakes.asks import BACK, NOON, OFF, ON, REVERT, ask, policy

HOURLY = "{id: hourly, scope: [agent, repo], max: 1, window: 1h}"


def test_a_finding_is_one_sentence_with_rule_place_numbers_and_remedy() -> None:
    state, _ = ledger.reserve(LedgerState(snapshot=policy([HOURLY])), ask(), NOON)
    _, decision = ledger.reserve(state, ask("run/2"), NOON)
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
    state, _ = ledger.reserve(LedgerState(snapshot=policy([HOURLY])), ask(), NOON)
    told = overview("acme", state, NOON)
    assert [(row.rule, row.scope, row.used, row.max) for row in told.headroom] == [
        ("org.limits.hourly", "sentry_spike · shop", 1, 1)
    ]
    assert [row.id for row in told.open] == ["run/1"]
    state, _ = ledger.settle(state, "run/1", Outcome.LANDED, NOON)
    assert overview("acme", state, NOON).open == ()


def test_the_page_says_first_that_nothing_is_granted() -> None:
    assert "No policy is installed" in overview_markdown(overview("acme", LedgerState(), NOON))
    paused = ledger.pause(
        LedgerState(snapshot=policy()), PauseRequest(by="ada", reason="<!channel> [x](http://evil)"), NOON
    )
    page = overview_markdown(overview("acme", paused, NOON))
    assert "**Paused** by ada" in page
    assert "<!channel>" not in page
    assert "](http" not in page


def test_long_tables_end_with_what_is_left_out() -> None:
    state = LedgerState(snapshot=policy())
    for number in range(45):
        state, _ = ledger.reserve(state, ask(f"run/{number}"), NOON)
    assert "… and 5 more." in overview_markdown(overview("acme", state, NOON))
