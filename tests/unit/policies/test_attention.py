"""People's attention: questions are limited as effects are, and counted apart from them."""

from datetime import timedelta

from leverframe.model.proposals import Lever
from policies.decision import Finding, Verdict
from policies.evaluate import attention, evaluate
from policies.intent import Intent
from policies.usage import Asking, Usage, UsageDocument
from tests.fakes.asks import NOON, ask, policy, use

HOUR = timedelta(hours=1)


def rules(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.rule for finding in findings]


ATTENTION = "{id: nag, unit: escalations, scope: [approver_group], levers: [flip_flag], max: 1, window: 1d}"


def asking(
    group: str = "sre-oncall", *, hours_ago: int = 0, lever: Lever = Lever.FLIP_FLAG, repository: str = "shop"
) -> Asking:
    return Asking(
        approval=f"approval/{group}/{hours_ago}",
        agent="sentry_spike",
        repository=repository,
        service=repository,
        subject="SHOP-1",
        lever=lever,
        group=group,
        at=NOON - hours_ago * HOUR,
    )


def test_people_are_asked_only_so_often_and_told_when_there_is_room_again() -> None:
    snapshot = policy([ATTENTION])
    usage = Usage(snapshot, UsageDocument(questions=(asking(hours_ago=3),)))
    (finding,) = attention(snapshot, asking(), usage, NOON)
    assert (finding.rule, finding.verdict, finding.source) == ("org.limits.nag", Verdict.DENY, "org.yaml:8")
    assert finding.observed == "2 escalations in 1d with this one"
    assert finding.limit == "at most 1 escalations in 1d per approver_group"
    assert finding.retry_at == NOON + 21 * HOUR
    assert attention(snapshot, asking(), usage, NOON + 21 * HOUR) == ()
    assert attention(snapshot, asking("sre-leads"), usage, NOON) == ()
    assert attention(snapshot, asking(lever=Lever.ROLL_BACK), usage, NOON) == ()


def test_effects_and_questions_are_counted_apart() -> None:
    snapshot = policy([ATTENTION, "{id: one, max: 1, window: 1d}"])
    usage = Usage(snapshot, UsageDocument(questions=(asking(hours_ago=3),)))
    assert evaluate(snapshot, Intent.of(ask()), usage, NOON).findings == ()
    usage = Usage(snapshot, UsageDocument(uses=(use(ask(), 60),)))
    assert attention(snapshot, asking(), usage, NOON) == ()


def test_nobody_is_asked_where_the_limit_is_zero_and_without_one_they_always_are() -> None:
    zero, unlimited = ATTENTION.replace("max: 1", "max: 0"), ATTENTION.replace("max: 1", "max: unlimited")
    found = attention(policy([zero]), asking(), Usage(policy([zero])), NOON)
    assert [(f.rule, f.retry_at) for f in found] == [("org.limits.nag", None)]
    for snapshot in (policy(), policy([unlimited])):
        many = Usage(snapshot, UsageDocument(questions=tuple(asking(hours_ago=h) for h in range(1, 9))))
        assert attention(snapshot, asking(), many, NOON) == ()


def test_a_question_is_limited_by_the_files_of_its_repository_alone() -> None:
    snapshot = policy(repos={"shop": f"limits:\n  - {ATTENTION}\n"})
    known = UsageDocument(questions=(asking(hours_ago=3),))
    assert rules(attention(snapshot, asking(), Usage(snapshot, known), NOON)) == ["repos.shop.limits.nag"]
    assert attention(snapshot, asking(repository="other"), Usage(snapshot, known), NOON) == ()
    assert rules(attention(snapshot, asking(), Usage(policy(), known), NOON)) == ["repos.shop.limits.nag"]
