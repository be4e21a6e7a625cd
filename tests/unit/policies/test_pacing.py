"""Pacing: storms, cooldowns, and how far an agent may react to agents."""

from datetime import timedelta

import pytest

from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Affected, Lever
from policies.decision import Verdict
from policies.documents import parse
from policies.usage import Rejection, Sighting, UsageDocument
from tests.fakes.asks import BACK, NOON, ON, ask, document, judge, policy, use

MINUTE = timedelta(minutes=1)


def seen(*subjects: tuple[str, int], repository: str = "shop", service: str = "shop") -> UsageDocument:
    return UsageDocument(
        sightings=tuple(
            Sighting(repository=repository, service=service, subject=name, at=NOON - minutes * MINUTE)
            for name, minutes in subjects
        )
    )


def said_no(minutes_ago: int, *, lever: Lever = Lever.FLIP_FLAG, subject: str = "SHOP-1") -> UsageDocument:
    at = NOON - minutes_ago * MINUTE
    rejection = Rejection(repository="shop", service="shop", subject=subject, lever=lever, at=at)
    return UsageDocument(rejections=(rejection,))


# Storms.


def test_too_many_subjects_of_a_repository_at_once_are_for_people() -> None:
    snapshot = policy(org="storm: {window: 1h, max_subjects: 3}\n")
    known = seen(("A", 50), ("B", 30), ("C", 10))
    evaluation = judge(snapshot, ask(), known=known)
    (finding,) = evaluation.findings
    assert (finding.rule, finding.verdict) == ("org.storm.max_subjects", Verdict.ESCALATE)
    assert finding.observed == "4 subjects of shop in 1h with this one"
    assert (finding.limit, finding.source) == ("at most 3 in 1h", "org.yaml:7")
    assert finding.retry_at == NOON + 10 * MINUTE
    assert finding.figure == int(finding.observed.split()[0])
    assert finding.remedy == (
        "Look for one cause behind all of it, and approve exactly this effect if it helps."
    )
    assert judge(snapshot, ask(), known=known, at=NOON + 10 * MINUTE).findings == ()
    assert judge(snapshot, ask(repository="till"), known=known).findings == ()


def test_a_subject_that_asks_again_is_no_further_subject_but_the_same_name_elsewhere_is() -> None:
    snapshot = policy(org="storm: {window: 1h, max_subjects: 2}\n")
    assert judge(snapshot, ask(), known=seen(("SHOP-1", 59), ("B", 1))).verdict is Verdict.ALLOW
    other_service = seen(("SHOP-1", 59), ("B", 1), service="till")
    assert judge(snapshot, ask(), known=other_service).verdict is Verdict.ESCALATE
    own_is_oldest = judge(snapshot, ask(), known=seen(("SHOP-1", 55), ("B", 30), ("C", 10)))
    assert own_is_oldest.findings[0].retry_at == NOON + 30 * MINUTE, "only the others can leave"


def test_a_storm_can_be_denied_and_zero_subjects_are_none() -> None:
    snapshot = policy(org="storm: {window: 1h, max_subjects: 0, on_exceed: deny}\n")
    (finding,) = judge(snapshot, ask(), known=seen(("B", 5))).findings
    assert (finding.verdict, finding.retry_at) == (Verdict.DENY, None)
    assert finding.remedy == "Look for one cause behind all of it, and let a person act by hand."
    unlimited = policy(org="storm: {window: 1h, max_subjects: unlimited}\n")
    assert judge(unlimited, ask(), known=seen(("A", 1), ("B", 1))).findings == ()


@pytest.mark.parametrize(
    ("affected", "observed"),
    [
        (Affected(count=4, of=10), None),
        (Affected(count=5, of=10), "5 of 10 affected"),
        (Affected(count=401, of=1000), "401 of 1000 affected"),
        (Affected(count=2, of=2), None),
        (Affected(count=3, of=3), "3 of 3 affected"),
        (Affected(count=0, of=1), None),
        (None, "not known how much is affected"),
    ],
)
def test_too_much_of_a_whole_affected_is_a_storm_and_too_few_are_none(
    affected: Affected | None, observed: str | None
) -> None:
    snapshot = policy(org="storm: {max_affected_percent: 40, min_affected: 3}\n")
    found = judge(snapshot, ask(affected=affected)).findings
    assert [(f.rule, f.verdict, f.observed, f.limit, f.retry_at) for f in found] == (
        [
            (
                "org.storm.max_affected_percent",
                Verdict.ESCALATE,
                observed,
                "at most 40 percent",
                None,
            )
        ]
        if observed
        else []
    )


# Cooldowns.


def test_a_subject_is_left_alone_after_an_effect_of_the_same_lever_by_any_agent() -> None:
    snapshot = policy(agent="cooldown: {same_subject: 30m}\n")
    earlier = use(ask(agent="other", effect=ON), 29, outcome=Outcome.LANDED, ended_minutes_ago=1)
    (finding,) = judge(snapshot, ask(), earlier).findings
    assert (finding.rule, finding.verdict) == ("agents.sentry_spike.cooldown.same_subject", Verdict.DENY)
    assert finding.observed == "flip_flag was used for SHOP-1 at 2026-03-02 11:31:00 UTC"
    assert (finding.limit, finding.source) == ("not again within 30m", "agents/sentry_spike.yaml:6")
    assert finding.retry_at == NOON + MINUTE
    assert finding.remedy == "Wait until 2026-03-02 12:01:00 UTC, or let a person do it by hand."
    assert judge(snapshot, ask(), earlier, at=NOON + MINUTE).findings == ()
    assert judge(snapshot, ask(subject="B"), earlier).findings == ()
    assert judge(snapshot, ask(effect=BACK), earlier).findings == ()
    assert judge(snapshot, ask(repository="till"), earlier).findings == ()


def test_the_last_of_several_effects_counts() -> None:
    snapshot = policy(org="cooldown: {same_subject: 30m}\n")
    (finding,) = judge(snapshot, ask(), use(ask(), 5), use(ask(), 25)).findings
    assert finding.retry_at == NOON + 25 * MINUTE


def test_a_subject_is_left_alone_after_people_said_no() -> None:
    snapshot = policy(org="cooldown: {same_subject: 1m, after_rejection: 7d}\n")
    (finding,) = judge(snapshot, ask(), known=said_no(60)).findings
    assert (finding.rule, finding.verdict) == ("org.cooldown.after_rejection", Verdict.DENY)
    assert finding.observed == "flip_flag was rejected by people for SHOP-1 at 2026-03-02 11:00:00 UTC"
    assert finding.retry_at == NOON - 60 * MINUTE + timedelta(days=7)
    assert judge(snapshot, ask(), known=said_no(7 * 24 * 60)).findings == ()
    assert judge(snapshot, ask(), known=said_no(60, lever=Lever.ROLL_BACK)).findings == ()
    assert judge(snapshot, ask(), known=said_no(60, subject="B")).findings == ()
    assert judge(policy(), ask(), known=said_no(60)).findings == ()


# Lineage.


@pytest.mark.parametrize(("depth", "denied"), [(0, False), (1, False), (2, True)])
def test_an_agent_reacts_to_agents_only_so_far(depth: int, denied: bool) -> None:
    snapshot = policy(org="lineage: {max_depth: 1}\n")
    evaluation = judge(snapshot, ask(lineage=[f"run/{number}" for number in range(depth)]))
    assert [(f.rule, f.verdict, f.observed, f.limit, f.source) for f in evaluation.findings] == (
        [
            (
                "org.lineage.max_depth",
                Verdict.DENY,
                "2 effects of agents led here",
                "at most 1",
                "org.yaml:7",
            )
        ]
        if denied
        else []
    )


def test_an_agent_never_reacts_to_agents_when_no_file_says_that_it_may() -> None:
    assert judge(policy(), ask()).findings == ()
    (finding,) = judge(policy(), ask(lineage=["run/0"])).findings
    assert (finding.rule, finding.verdict, finding.limit) == ("org.lineage", Verdict.DENY, "at most 0")
    assert (finding.observed, finding.source) == ("1 effects of agents led here", "org.yaml:1")
    assert judge(policy(agent="lineage: {max_depth: 1}\n"), ask(lineage=["run/0"])).findings == ()


def test_a_repositorys_file_can_tighten_the_lineage_and_never_open_it() -> None:
    line = "lineage: {max_depth: 5}\n"
    found = judge(policy(repos={"shop": line}), ask(lineage=["run/0"])).findings
    assert [finding.rule for finding in found] == ["org.lineage"]
    tight = policy(org=line, repos={"shop": "lineage: {max_depth: 0}\n"})
    found = judge(tight, ask(lineage=["run/0"])).findings
    assert [finding.rule for finding in found] == ["repos.shop.lineage.max_depth"]


def test_without_the_organisations_file_the_lineage_is_still_denied() -> None:
    snapshot = parse({"agents/sentry_spike.yaml": document("agent")})
    found = {finding.rule: finding.source for finding in judge(snapshot, ask(lineage=["run/0"])).findings}
    assert found["org.lineage"] == "org.yaml"


def test_each_number_of_a_storm_and_of_a_lineage_is_named_by_its_own_line() -> None:
    snapshot = policy(
        org="storm:\n  max_affected_percent: 40\n  window: 1h\n  max_subjects: 0\nlineage:\n  max_depth: 0\n"
    )
    evaluation = judge(snapshot, ask(lineage=["run/0"]))
    assert [(finding.rule, finding.source) for finding in evaluation.findings] == [
        ("org.storm.max_subjects", "org.yaml:10"),
        ("org.storm.max_affected_percent", "org.yaml:8"),
        ("org.lineage.max_depth", "org.yaml:12"),
    ]
    assert evaluation.findings[-1].remedy == "Let a person look at why an agent reacts to agents."


def test_each_span_of_a_cooldown_is_named_by_its_own_line() -> None:
    snapshot = policy(org="cooldown:\n  same_subject: 2h\n  after_rejection: 2h\n")
    evaluation = judge(snapshot, ask(), use(ask(), 5), known=said_no(5))
    assert [(finding.rule, finding.source) for finding in evaluation.findings] == [
        ("org.cooldown.same_subject", "org.yaml:8"),
        ("org.cooldown.after_rejection", "org.yaml:9"),
    ]
