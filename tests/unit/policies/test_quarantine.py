"""Rules on what enters a quarantine file: asked of the request itself, whatever the agent thinks."""

from datetime import timedelta
from typing import Any

import pytest

from leverframe.model.errors import BadConfiguration
from leverframe.model.proposals import Amending, ChangeQuarantine
from leverframe.model.quarantine import QuarantineCaps
from policies.decision import Verdict
from policies.documents import PolicySnapshot, parse
from policies.explain import effect_words
from policies.intent import Intent
from policies.quarantine import caps
from policies.retention import slim
from tests.fakes.asks import ask, document, judge, use
from tests.fakes.quarantines import RULE, TODAY, change, entering, policy_files, ruled


def said(effect: ChangeQuarantine, snapshot: PolicySnapshot | None = None, **known: Any) -> list[str]:
    """What stands in the way, without the file's name and the lever's."""
    found = judge(snapshot or ruled(), ask(effect=effect, agent="flaky_tests"), **known)
    prefix = "agents.flaky_tests.levers.open_merge_request.quarantine."
    return [f"{finding.rule.removeprefix(prefix)}: {finding.verdict.word}" for finding in found.findings]


def test_what_keeps_within_every_cap_is_allowed() -> None:
    assert said(change(entering("a"), entering("b"), staying=18)) == []


@pytest.mark.parametrize(
    ("effect", "finding"),
    [
        (change(entering("a"), staying=20), "max_share_ppm: deny"),
        (change(entering("a"), tests=0), "max_share_ppm: deny"),
        (change(*(entering(str(number)) for number in range(4))), "max_per_change: deny"),
        (change(entering("a", days=31)), "max_days: deny"),
        (change(entering("a", strength=2_000_000), entering("b", strength=20_000)), "by_itself: escalate"),
    ],
)
def test_each_cap_is_asked_of_the_request_itself(effect: ChangeQuarantine, finding: str) -> None:
    assert said(effect) == [finding]


@pytest.mark.parametrize(
    ("fields", "finding"),
    [
        ({"path": "tests/security/test_login.py"}, "deny_paths: deny"),
        ({"path": "Tests/SECURITY/test_login.py"}, "deny_paths: deny"),
        ({"path": ""}, "deny_paths: deny"),
        ({"markers": ("slow", "payment")}, "deny_markers: deny"),
        ({"markers": ("slow",)}, None),
        ({"markers": None}, "deny_markers: escalate"),
    ],
)
def test_tests_that_policy_names_never_enter(fields: dict[str, Any], finding: str | None) -> None:
    named = ruled(agent=f"{RULE}, deny_paths: ['tests/security/**'], deny_markers: [payment]")
    assert said(change(entering("a", **fields)), named) == ([finding] if finding else [])


def test_that_tests_leave_is_never_capped() -> None:
    nothing = ruled(agent="max_share_ppm: 0, max_per_change: 0, max_days: 1, by_itself: 1000000", limits="")
    assert said(change(leave=("a", "b"), staying=900), nothing) == []
    assert said(change(leave=("a",)), ruled(agent=None, limits="")) == []


def test_without_a_rule_or_a_daily_limit_in_a_required_file_no_test_enters() -> None:
    one = change(entering("a"))
    missing = "agents.flaky_tests.levers.open_merge_request.quarantine: deny"
    assert said(one, ruled(agent=None)) == [missing]
    assert said(one, ruled(agent=None, repo=RULE)) == [missing]
    assert said(one, ruled(limits="")) == ["agents.flaky_tests.limits: deny"]
    assert said(one, ruled(agent=None, org=RULE)) == []


def test_tests_count_together_within_the_day() -> None:
    before = ask(effect=change(entering("x"), entering("y"), entering("z")), agent="flaky_tests")
    found = judge(
        ruled(), ask(effect=change(entering("a"), entering("b")), agent="flaky_tests"), use(before, 60)
    )
    (finding,) = found.findings
    assert (finding.rule, finding.observed) == (
        "agents.flaky_tests.limits.tests",
        "5 tests in 1d with this one",
    )
    assert found.verdict is Verdict.DENY
    assert (
        judge(ruled(), ask(effect=change(entering("a")), agent="flaky_tests"), use(before, 60)).findings == ()
    )


def test_a_repository_can_only_tighten_what_the_agent_may_quarantine() -> None:
    tighter = RULE.replace("20000", "1000").replace("max_per_change: 3", "max_per_change: 50")
    snapshot = ruled(repo=f"{tighter}, deny_markers: [slow], fallback_owner: '@shop/core'")
    assert caps(snapshot, agent="flaky_tests", repository="shop") == QuarantineCaps(
        share_ppm=1_000,
        per_day=4,
        per_change=3,
        deny_markers=("slow",),
        days=30,
        by_itself=1_000_000,
        renewals=True,
    )
    owned = ruled(agent=f"{RULE}, fallback_owner: '@acme/all'", repo=f"{RULE}, fallback_owner: '@shop/core'")
    assert caps(owned, agent="flaky_tests", repository="shop").fallback_owner == "@shop/core"
    assert caps(owned, agent="flaky_tests", repository="till").fallback_owner == "@acme/all"


def test_the_caps_are_nothing_where_something_is_not_said() -> None:
    for snapshot in (ruled(limits=""), ruled(agent=None), parse({"org.yaml": document("org")})):
        assert caps(snapshot, agent="flaky_tests", repository="shop") == QuarantineCaps()


def test_a_rule_needs_its_numbers() -> None:
    with pytest.raises(BadConfiguration, match=r"agents/flaky_tests.yaml:5: .*by_itself: it is required"):
        ruled(agent="max_share_ppm: 1, max_per_change: 1, max_days: 1")


def test_the_ledger_keeps_how_much_changes_and_no_name_of_a_test() -> None:
    hostile = change(
        entering("<!channel>", path="tests/x.py", markers=("slow",)), leave=("[a](http://evil)",)
    )
    request = ask(effect=hostile, agent="flaky_tests")
    kept = slim(Intent.of(request))
    assert (kept.tests, kept.quarantine and kept.quarantine.standing) == (1, 1)
    assert not any(text in kept.model_dump_json() for text in ("channel", "evil", "tests/x.py", "slow"))
    assert kept.effect() is None
    assert effect_words(hostile) == "open a merge request in shop that quarantines 1 test and releases 1 test"


@pytest.mark.parametrize(
    ("agent", "repo", "switched", "a_day"),
    [
        (RULE, "", "", 0),
        (f"{RULE}, max_executions_a_day: 500", "", "", 500),
        (f"{RULE}, max_executions_a_day: 500", f"{RULE}, max_executions_a_day: 20", "", 20),
        (f"{RULE}, max_executions_a_day: 500", RULE, "", 0),
        (f"{RULE}, max_executions_a_day: 500", "", "kill_switch: true", 0),
    ],
)
def test_the_strictest_file_says_how_often_tests_are_executed_and_none_says_never(
    agent: str, repo: str, switched: str, a_day: int
) -> None:
    files = policy_files(agent=agent, repo=repo or None)
    if switched:
        files["org.yaml"] = files["org.yaml"].replace("kill_switch: false", switched)
    found = caps(parse(files), agent="flaky_tests", repository="shop")
    assert found.executions_a_day == a_day


UNTIL = TODAY + timedelta(days=30)
NEW = "1" * 16


def amending(name: str, **fields: Any) -> Amending:
    """A renewal by thirty days, two days before its end."""
    was = entering(name).entry.model_copy(
        update={"since": TODAY - timedelta(days=28), "expires": TODAY + timedelta(days=2)}
    )
    known = {"was": was, "entry": was.model_copy(update={"expires": UNTIL}), "on": TODAY}
    return Amending.model_validate(
        {**known, "path": "tests/test_a.py", "markers": (), "strength": 2_000_000, **fields}
    )


def hiding(name: str, strength: int = 2_000_000, **fields: Any) -> Amending:
    was = entering(name).entry
    entry = was.model_copy(update={"masks": (*was.masks, NEW)})
    return amending(name, was=was, entry=entry, strength=strength, **fields)


def amends(*amend: Amending, staying: int = 5, tests: int = 1_000) -> ChangeQuarantine:
    return change(amend=amend, staying=staying, tests=tests)


def test_a_renewal_never_lands_by_itself() -> None:
    (finding,) = judge(ruled(), ask(effect=amends(amending("a")), agent="flaky_tests")).findings
    assert finding.rule == "agents.flaky_tests.levers.open_merge_request.quarantine.renewals"
    assert (finding.verdict, finding.observed) == (Verdict.ESCALATE, "1 renewed for up to 30 days")
    assert finding.limit == "a person's leave for each that goes on"
    assert finding.source.startswith("agents/flaky_tests.yaml:")
    never = ruled(agent=f"{RULE}, renewals: never")
    assert said(amends(amending("a")), never) == ["renewals: deny"]
    assert not caps(never, agent="flaky_tests", repository="shop").renewals


def test_a_quarantine_that_begins_again_unhealed_is_asked_of_a_person_like_a_renewal() -> None:
    assert said(change(entering("a", unhealed=True))) == ["renewals: escalate"]
    assert said(change(entering("a", unhealed=True)), ruled(agent=f"{RULE}, renewals: never")) == [
        "renewals: deny"
    ]


@pytest.mark.parametrize(
    ("effect", "findings"),
    [
        (amends(amending("a"), staying=21), ["max_share_ppm: deny", "renewals: escalate"]),
        (amends(*map(amending, "abcd")), ["max_per_change: deny", "renewals: escalate"]),
        (amends(amending("a", on=TODAY - timedelta(days=1))), ["max_days: deny", "renewals: escalate"]),
        (amends(amending("a", strength=0)), ["renewals: escalate"]),
        (amends(hiding("a")), []),
        (amends(hiding("a"), staying=900), []),
        (amends(hiding("a", strength=20_000)), ["by_itself: escalate"]),
        (amends(*map(hiding, "abcd")), ["max_per_change: deny"]),
        (change(entering("x"), entering("y"), amend=tuple(map(hiding, "ab"))), ["max_per_change: deny"]),
    ],
)
def test_the_caps_hold_for_entries_that_change(effect: ChangeQuarantine, findings: list[str]) -> None:
    assert said(effect) == findings


@pytest.mark.parametrize("made", [amending, hiding])
def test_policys_paths_and_markers_hold_for_entries_that_change(made: Any) -> None:
    named = ruled(agent=f"{RULE}, deny_paths: ['tests/security/**'], deny_markers: [payment]")
    for fields, finding in (
        ({"path": "tests/security/t.py"}, "deny_paths: deny"),
        ({"markers": ("payment",)}, "deny_markers: deny"),
        ({"markers": None}, "deny_markers: escalate"),
    ):
        assert finding in said(amends(made("a", **fields)), named)


def test_no_entry_says_more_without_a_rule_and_an_earlier_end_needs_none() -> None:
    missing = "agents.flaky_tests.levers.open_merge_request.quarantine: deny"
    for one in (amending("a"), hiding("a")):
        assert said(amends(one), ruled(agent=None)) == [missing]
        back = one.model_copy(update={"was": one.entry, "entry": one.was})
        assert said(amends(back), ruled(agent=None, limits="")) == []
        assert effect_words(amends(back)).endswith("that restores the entries of 1 test")


def test_a_renewal_is_no_test_that_enters() -> None:
    renewal = ask(effect=amends(*map(amending, "abc")), agent="flaky_tests")
    assert Intent.of(renewal).tests == 0
    two = ask(effect=change(entering("a"), entering("b")), agent="flaky_tests")
    assert judge(ruled(), two, use(renewal, 60)).findings == ()
    assert "tests/test_a.py::a" not in Intent.of(renewal).model_dump_json()
