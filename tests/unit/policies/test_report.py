"""The report: what agents were allowed, how it turned out, and what that suggests."""

from datetime import datetime, timedelta
from typing import Literal

from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost
from policies.documents import PolicySnapshot
from policies.ledger import Ledger
from policies.report import AgentReport, report
from policies.reservations import (
    AnsweredQuestion,
    LedgerState,
    PromoteRequest,
    Settlement,
    ShadowScore,
)
from tests.fakes.asks import NOON, ON, ask, policy

DAY = timedelta(days=1)
FUSE = "breaker: {bad: 1, of_last: 1, open_for: 1m}\n"


def live(snapshot: PolicySnapshot) -> Ledger:
    ledger = Ledger(LedgerState())
    ledger.install(snapshot, NOON)
    return ledger


def told(ledger: Ledger, since: datetime = NOON) -> AgentReport:
    [agent] = report(ledger.unwritten, since=since, now=NOON + DAY).agents
    return agent


def answer(
    ledger: Ledger, number: int, state: Literal["approved", "rejected", "expired"], seconds: int = 60
) -> None:
    wish = ask(effect=ON)
    ledger.answered(
        AnsweredQuestion(
            approval=f"approval/{number}",
            agent=wish.agent,
            repository=wish.repository,
            service=wish.service,
            subject=wish.subject,
            lever=wish.lever,
            request_digest=wish.digest,
            policy_digest="0" * 64,
            state=state,
            votes=(),
            asked_at=NOON,
            ended_at=NOON + timedelta(seconds=seconds),
        ),
        NOON,
    )


def test_decisions_answers_and_outcomes_are_counted_by_agent() -> None:
    ledger = live(policy(["{id: few, max: 2, window: 1h, levers: [flip_flag]}"]))
    for number in range(3):
        ledger.reserve(ask(f"run/{number}", cost=Cost(cents=5)), NOON)
    ledger.reserve(ask("run/3", effect=ON), NOON)
    ledger.settle(Settlement(reservation="run/0", outcome=Outcome.LANDED), NOON)
    ledger.settle(Settlement(reservation="run/1", outcome=Outcome.FAILED, actual=Cost(cents=6)), NOON)
    for number, (state, seconds) in enumerate((("approved", 30), ("rejected", 90), ("expired", 9))):
        answer(ledger, number, state, seconds)  # type: ignore[arg-type]
    found = told(ledger)
    assert (found.allowed, found.denied, found.asked) == (2, 2, 0)
    assert (found.approved, found.rejected, found.expired, found.approve_percent) == (1, 1, 1, 50)
    assert found.median_answer_seconds == 60
    assert found.outcomes == {"failed": 1, "landed": 1}
    assert found.overruns == 1
    assert found.suggestions == ()
    assert found.fields()["outcomes"] == "1 failed, 1 landed"


def test_an_approval_that_people_gave_is_no_request_allowed_without_them() -> None:
    ledger = live(policy())
    ledger.reserve(ask(effect=ON), NOON)
    assert (told(ledger).allowed, told(ledger).asked) == (0, 1)


def test_what_is_older_than_the_report_counts_only_by_what_it_leads_to() -> None:
    ledger = live(policy())
    ledger.reserve(ask(), NOON)
    ledger.settle(Settlement(reservation="run/1", outcome=Outcome.LANDED), NOON + timedelta(hours=1))
    found = told(ledger, since=NOON + timedelta(minutes=1))
    assert (found.allowed, found.outcomes) == (0, {"landed": 1})


def test_people_who_always_say_yes_suggest_more_and_who_say_no_suggest_less() -> None:
    yes, no = live(policy()), live(policy())
    for number in range(50):
        answer(yes, number, "approved")
    for number in range(10):
        answer(no, number, "rejected" if number else "approved")
    [more] = told(yes).suggestions
    assert more.startswith("People said yes to 100 % of 50 questions of sentry_spike: consider raising")
    [less] = told(no).suggestions
    assert less.startswith("People said yes to only 10 % of 10 questions of sentry_spike: consider lower")


def test_answers_without_reading_and_questions_without_answers_are_named() -> None:
    fast, silent = live(policy()), live(policy())
    for number in range(10):
        answer(fast, number, "approved", seconds=2)
        answer(silent, number, "approved")
    for number in range(10, 21):
        answer(silent, number, "expired")
    assert told(fast).suggestions == (
        "Half of the answers to sentry_spike came within 2 s: people may be saying yes without reading.",
    )
    assert told(silent).suggestions[0].startswith("More questions of sentry_spike ran out (11) than were")


def test_an_observer_that_people_agree_with_may_be_raised() -> None:
    ledger = live(policy(autonomy="observe"))
    for number in range(20):
        ledger.reserve(ask(f"run/{number}"), NOON)
        ledger.score(ShadowScore(id=f"run/{number}", matched=number > 1), NOON)
    found = told(ledger)
    assert (found.observed, found.shadow_scored, found.shadow_matched) == (20, 20, 18)
    assert found.suggestions[0].startswith("People did what sentry_spike would have done in 18 of 20")


def test_a_lowered_agent_that_proves_itself_may_be_promoted_but_is_not() -> None:
    ledger = live(policy(org=FUSE))
    for number in range(11):
        ledger.reserve(ask(f"run/{number}"), NOON)
    ledger.settle(Settlement(reservation="run/0", outcome=Outcome.FAILED), NOON)
    for number in range(1, 11):
        ledger.settle(Settlement(reservation=f"run/{number}", outcome=Outcome.LANDED), NOON + DAY)
    found = told(ledger)
    assert (found.demotions, found.demoted) == (1, True)
    assert "leverframe policy promote --agent sentry_spike" in found.suggestions[0]
    assert len(ledger.state.demotions) == 1
    ledger.promote(PromoteRequest(agent="sentry_spike", by="ada", reason="proven"), NOON + DAY)
    assert told(ledger).suggestions == ()
    assert not told(ledger).demoted
