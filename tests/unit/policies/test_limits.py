"""Limits: how much within a window or unsettled at once, in effects, money and tokens."""

from datetime import timedelta

import pytest

from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost
from policies.decision import Verdict
from tests.fakes.asks import BACK, NOON, ON, REVERT, ask, judge, policy, use

MINUTE = timedelta(minutes=1)


def test_a_full_window_is_denied_with_the_instant_at_which_waiting_is_over() -> None:
    snapshot = policy(["{id: flips, scope: [agent, repo], levers: [flip_flag], max: 2, window: 1h}"])
    first, second = use(ask(subject="A"), 50), use(ask(subject="B"), 10)
    evaluation = judge(snapshot, ask(), first, second)
    (finding,) = evaluation.findings
    assert (finding.rule, finding.verdict) == ("org.limits.flips", Verdict.DENY)
    assert (finding.observed, finding.limit) == ("3 in 1h with this one", "at most 2 in 1h per agent, repo")
    assert finding.retry_at == NOON + 10 * MINUTE
    assert finding.remedy == "Wait until 2026-03-02 12:10:00 UTC."
    assert finding.source == "org.yaml:8"
    assert judge(snapshot, ask(), first).verdict is Verdict.ALLOW
    assert judge(snapshot, ask(), first, second, at=NOON + 10 * MINUTE).verdict is Verdict.ALLOW
    assert judge(snapshot, ask(repository="other"), first, second).verdict is Verdict.ALLOW
    assert judge(snapshot, ask(effect=REVERT), first, second).verdict is Verdict.ALLOW


def test_when_more_is_used_than_the_limit_allows_all_of_the_excess_has_to_pass() -> None:
    snapshot = policy(["{id: one, max: 1, window: 1h}"])
    three = [use(ask(subject=str(minutes)), minutes) for minutes in (50, 30, 10)]
    (finding,) = judge(snapshot, ask(), *three).findings
    assert (finding.observed, finding.retry_at) == ("4 in 1h with this one", NOON + 50 * MINUTE)


def test_what_has_left_the_window_takes_no_part_in_when_it_is_free_again() -> None:
    """A longer window of another limit still remembers it."""
    snapshot = policy(["{id: one, max: 1, window: 1h}", "{id: many, max: 9, window: 1d}"])
    (finding,) = judge(snapshot, ask(), use(ask(subject="A"), 90), use(ask(subject="B"), 30)).findings
    assert (finding.observed, finding.retry_at) == ("2 in 1h with this one", NOON + 30 * MINUTE)


@pytest.mark.parametrize(
    ("scope", "other", "together"),
    [
        ("[]", {"agent": "other", "repository": "till", "subject": "B"}, True),
        ("[agent]", {"repository": "till", "subject": "B"}, True),
        ("[agent]", {"agent": "other"}, False),
        ("[repo]", {"agent": "other", "subject": "B"}, True),
        ("[repo]", {"repository": "till"}, False),
        ("[subject]", {"agent": "other"}, True),
        ("[subject]", {"subject": "B"}, False),
        ("[subject]", {"repository": "till"}, False),
        ("[lever]", {"effect": ON, "agent": "other", "repository": "till"}, True),
        ("[lever]", {"effect": BACK}, False),
        ("[agent, repo]", {"subject": "B"}, True),
        ("[agent, repo]", {"agent": "other"}, False),
    ],
)
def test_effects_count_together_when_they_agree_in_everything_that_the_scope_names(
    scope: str, other: dict[str, str], together: bool
) -> None:
    snapshot = policy([f"{{id: one, scope: {scope}, max: 1, window: 1h}}"])
    evaluation = judge(snapshot, ask(), use(ask(**other), 5))  # type: ignore[arg-type]
    assert evaluation.verdict is (Verdict.DENY if together else Verdict.ALLOW)


def test_an_unsettled_effect_holds_its_subject_and_a_settled_one_does_not() -> None:
    snapshot = policy(["{id: one, scope: [subject], max: 1, hold: until_settled}"])
    (finding,) = judge(snapshot, ask(), use(ask(), 10_000)).findings
    assert (finding.observed, finding.limit) == (
        "2 unsettled with this one",
        "at most 1 unsettled per subject",
    )
    assert (finding.retry_at, finding.remedy) == (None, "Wait until an earlier effect is settled.")
    assert judge(snapshot, ask(), use(ask(), outcome=Outcome.LANDED)).verdict is Verdict.ALLOW
    assert judge(snapshot, ask(), use(ask(subject="OTHER"))).verdict is Verdict.ALLOW


def test_zero_is_zero_and_only_the_word_is_unlimited() -> None:
    for kind in ("window: 1h", "hold: until_settled"):
        (finding,) = judge(policy([f"{{id: none, max: 0, {kind}}}"]), ask()).findings
        assert (finding.verdict, finding.retry_at) == (Verdict.DENY, None)
        assert finding.remedy == "Raise `max` at org.yaml:8."
        many = [use(ask()) for _ in range(50)]
        assert judge(policy([f"{{id: any, max: unlimited, {kind}}}"]), ask(), *many).verdict is Verdict.ALLOW


def test_people_may_lift_a_limit_that_says_so() -> None:
    snapshot = policy(["{id: one, max: 1, window: 1h, on_exceed: escalate}"])
    evaluation = judge(snapshot, ask(), use(ask(), 50))
    assert evaluation.verdict is Verdict.ESCALATE
    assert (
        evaluation.findings[0].remedy == "Wait until 2026-03-02 12:10:00 UTC, or ask a person to approve it."
    )


@pytest.mark.parametrize(("unit", "price"), [("cents", Cost(cents=30)), ("tokens", Cost(tokens=30))])
def test_money_and_tokens_are_reserved_before_they_are_spent(unit: str, price: Cost) -> None:
    snapshot = policy([f"{{id: budget, unit: {unit}, max: 100, window: 1h}}"])
    spent = [use(ask(cost=price), minutes) for minutes in (50, 40, 30)]
    assert judge(snapshot, ask(cost=price), *spent[:2]).verdict is Verdict.ALLOW
    (finding,) = judge(snapshot, ask(cost=price), *spent).findings
    assert (finding.verdict, finding.retry_at) == (Verdict.DENY, NOON + 10 * MINUTE)
    assert finding.observed == f"120 {unit} in 1h with this one"
    assert finding.limit == f"at most 100 {unit} in 1h"
    dear = Cost(cents=80, tokens=80)
    assert judge(snapshot, ask(cost=dear), *spent).findings[0].retry_at == NOON + 30 * MINUTE
    exact = Cost(cents=10, tokens=10)
    assert judge(snapshot, ask(cost=exact), *spent).verdict is Verdict.ALLOW


def test_waiting_does_not_help_what_costs_more_than_the_whole_budget() -> None:
    for kind in ("window: 1h", "hold: until_settled"):
        snapshot = policy([f"{{id: budget, unit: cents, max: 100, {kind}}}"])
        (finding,) = judge(snapshot, ask(cost=Cost(cents=101)), use(ask(cost=Cost(cents=1)))).findings
        assert (finding.retry_at, finding.remedy) == (None, "Raise `max` at org.yaml:8.")


def test_what_is_free_fits_into_a_budget_of_zero_and_a_budget_that_is_overrun_stays_closed() -> None:
    free = ask(cost=Cost())
    assert judge(policy(["{id: budget, unit: cents, max: 0, window: 1h}"]), free).verdict is Verdict.ALLOW
    overrun = use(ask(cost=Cost(cents=150)), 10)
    evaluation = judge(policy(["{id: budget, unit: cents, max: 100, window: 1h}"]), free, overrun)
    assert evaluation.findings[0].retry_at == NOON + 50 * MINUTE


def test_a_cost_that_is_not_known_is_denied_by_every_budget_even_one_that_people_may_lift() -> None:
    limits = ["{id: budget, unit: tokens, levers: [flip_flag], max: 9, window: 1h, on_exceed: escalate}"]
    (finding,) = judge(policy(limits), ask(cost=None)).findings
    assert (finding.rule, finding.verdict) == ("org.limits.budget", Verdict.DENY)
    assert (finding.observed, finding.limit) == ("no estimate of the cost", "at most 9 tokens")
    assert (finding.remedy, finding.source) == ("Say what it costs before it is spent.", "org.yaml:8")
    assert judge(policy(limits), ask(effect=BACK, cost=None)).verdict is Verdict.ALLOW
    unlimited = policy(["{id: any, unit: tokens, max: unlimited, window: 1h}"])
    assert judge(unlimited, ask(cost=None)).verdict is Verdict.ALLOW


def test_limits_of_all_files_accumulate_and_each_is_counted_by_itself() -> None:
    line = "limits: [{{id: one, max: {most}, window: 1d}}]\n"
    snapshot = policy(
        ["{id: one, max: 3, window: 1d}"],
        agent=line.format(most=2),
        repos={"shop": line.format(most=1), "till": line.format(most=0)},
    )
    here, elsewhere = use(ask(), 5), use(ask(repository="till"), 5)
    found = [
        [finding.rule for finding in judge(snapshot, ask(), *uses).findings]
        for uses in ((), (elsewhere,), (here,), (here, elsewhere), (here, elsewhere, elsewhere))
    ]
    assert found == [
        [],
        [],
        ["repos.shop.limits.one"],
        ["agents.sentry_spike.limits.one", "repos.shop.limits.one"],
        ["agents.sentry_spike.limits.one", "org.limits.one", "repos.shop.limits.one"],
    ]


def test_another_agents_effects_count_for_the_organisation_and_not_for_this_agents_file() -> None:
    line = "limits: [{id: one, max: 1, window: 1d}]\n"
    other = use(ask(agent="other"), 5)
    assert judge(policy(agent=line), ask(), other).verdict is Verdict.ALLOW
    assert judge(policy(["{id: one, max: 1, window: 1d}"]), ask(), other).verdict is Verdict.DENY


def test_a_limit_on_peoples_attention_says_nothing_about_effects() -> None:
    snapshot = policy(["{id: nag, unit: escalations, max: 0, window: 1d}"])
    assert judge(snapshot, ask(), use(ask())).findings == ()


def test_every_limit_is_asked_whatever_the_one_before_it_is_about() -> None:
    snapshot = policy(
        [
            "{id: other, levers: [roll_back], max: 0, window: 1h}",
            "{id: questions, unit: escalations, scope: [approver_group], max: 0, window: 1h}",
            "{id: money, unit: cents, max: 10, window: 1h}",
            "{id: none, max: 0, window: 1h}",
        ]
    )
    assert [finding.rule for finding in judge(snapshot, ask()).findings] == [
        "org.limits.money",
        "org.limits.none",
    ]
