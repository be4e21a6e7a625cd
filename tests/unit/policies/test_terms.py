"""Terms: who may lift an escalation, how many of them it takes, and how long they have."""

from datetime import timedelta

import pytest

from policies.decision import Verdict
from policies.documents import PolicySnapshot, parse
from policies.terms import voters
from tests.fakes.asks import ON, ask, document, judge, policy

SAID = "escalation: {{approvers: [{groups}], quorum: {quorum}, expires_after: {hours}h{more}}}\n"


def said(*groups: str, quorum: int = 1, hours: int = 1, more: str = "") -> str:
    return SAID.format(groups=", ".join(groups), quorum=quorum, hours=hours, more=more)


def chain(snapshot: PolicySnapshot, *requesters: str) -> list[tuple[str, list[str]]] | None:
    terms = judge(snapshot, ask(effect=ON, requesters=requesters)).terms
    if terms is None:
        return None
    return [(group.name, [person.principal for person in group.members]) for group in terms.chain]


def test_the_organisations_groups_are_asked_in_its_order() -> None:
    both = [("sre-leads", ["edsger", "grace"]), ("sre-oncall", ["ada", "grace"])]
    assert chain(policy(escalation=said("sre-leads", "sre-oncall"))) == both
    assert chain(policy(escalation=said("sre-oncall", "sre-leads"))) == both[::-1]


def test_only_those_may_vote_whom_every_file_that_names_approvers_allows() -> None:
    org = said("sre-oncall", "sre-leads")
    assert chain(policy(escalation=org, repos={"shop": said("sre-leads")})) == [
        ("sre-oncall", ["grace"]),
        ("sre-leads", ["edsger", "grace"]),
    ]
    narrow = policy(escalation=said("sre-oncall"), agent=said("sre-leads"))
    assert chain(narrow) == [("sre-oncall", ["grace"])]
    silent = policy(escalation=org, repos={"shop": said()})
    assert chain(silent) == chain(policy(escalation=org))


def test_the_largest_quorum_and_the_shortest_times_of_all_files_hold() -> None:
    slow = ", remind_after: 10m, escalate_after: 3h"
    quick = ", remind_after: 20m, escalate_after: 2h"
    snapshot = policy(
        escalation=said("sre-oncall", quorum=1, hours=8, more=slow),
        agent=said(quorum=2, hours=9, more=quick),
    )
    terms = judge(snapshot, ask(effect=ON)).terms
    assert terms is not None
    assert terms.quorum == 2
    assert terms.remind_after == timedelta(minutes=10)
    assert terms.escalate_after == timedelta(hours=2)
    assert terms.expires_after == timedelta(hours=8)


@pytest.mark.parametrize("escalation", ["", said()], ids=["no escalation", "no group"])
def test_what_needs_people_is_denied_when_the_organisation_names_none(escalation: str) -> None:
    evaluation = judge(policy(escalation=escalation), ask(effect=ON))
    assert (evaluation.verdict, evaluation.terms) == (Verdict.DENY, None)
    last = evaluation.findings[-1]
    assert (last.rule, last.verdict) == ("org.escalation", Verdict.DENY)
    assert (last.observed, last.limit) == ("nobody is named who may be asked", "`approvers` in org.yaml")
    assert last.remedy == "Add `escalation` with `approvers`, `quorum` and `expires_after` to org.yaml."
    assert last.source == ("org.yaml:6" if escalation else "org.yaml:1")
    assert judge(policy(escalation=escalation), ask()).findings == (), "what needs nobody is not touched"


def test_a_quorum_that_the_groups_can_not_reach_is_asked_in_vain_and_said_so() -> None:
    snapshot = policy(escalation=said("sre-oncall", quorum=3))
    evaluation = judge(snapshot, ask(effect=ON))
    assert evaluation.verdict is Verdict.ESCALATE
    last = evaluation.findings[-1]
    assert (last.rule, last.verdict) == ("org.escalation.approvers", Verdict.ESCALATE)
    assert (last.observed, last.limit) == ("2 may answer", "3, without those who caused it")
    assert last.remedy == (
        "Name more people in the groups of `escalation.approvers` that all files agree on."
    )
    assert last.source == "org.yaml:6"
    assert judge(snapshot, ask()).findings == (), "what needs nobody is not touched"


def test_no_other_file_can_open_the_door_to_people() -> None:
    snapshot = policy(escalation="", agent=said("sre-oncall"), repos={"shop": said("sre-oncall")})
    assert judge(snapshot, ask(effect=ON)).verdict is Verdict.DENY


def test_without_an_organisation_the_finding_still_says_where_to_write() -> None:
    lone = parse({"agents/sentry_spike.yaml": document("agent")})
    finding = judge(lone, ask(effect=ON)).findings[-1]
    assert (finding.rule, finding.source) == ("org.escalation", "org.yaml")


def able(quorum: int, *requesters: str) -> str | None:
    """How many may answer, as the finding says it; None when they are enough."""
    return able_in(policy(escalation=said("sre-oncall", quorum=quorum)), *requesters)


def able_in(snapshot: PolicySnapshot, *requesters: str) -> str | None:
    findings = judge(snapshot, ask(effect=ON, requesters=requesters)).findings
    return next((each.observed for each in findings if each.rule == "org.escalation.approvers"), None)


def test_those_who_caused_it_do_not_count_towards_the_quorum() -> None:
    assert able(1) is None
    assert able(1, "stranger@example.com") is None
    assert able(1, "ada@example.com") is None
    assert able(1, "ada@example.com", "GRACE") == "0 may answer"
    assert able(2) is None
    assert able(2, "ada") == "1 may answer"


def test_one_person_in_two_groups_is_one_voter_and_who_caused_it_is_none() -> None:
    terms = judge(policy(), ask(effect=ON)).terms
    assert terms is not None
    assert voters(terms.chain, []) == {"ada", "grace", "edsger"}
    assert voters(terms.chain, ["grace@example.com"]) == {"ada", "edsger"}


@pytest.mark.parametrize("file", ["org", "agent", "repo"])
def test_a_two_person_lever_asks_two_people_even_where_the_level_is_act(file: str) -> None:
    line = said("sre-oncall", more=", two_person_levers: [flip_flag]")
    plain = said("sre-oncall")
    snapshot = policy(
        escalation=line if file == "org" else plain,
        agent=line if file == "agent" else "",
        repos={"shop": line} if file == "repo" else None,
    )
    name = {"org": "org", "agent": "agents.sentry_spike", "repo": "repos.shop"}[file]
    evaluation = judge(snapshot, ask())
    (finding,) = evaluation.findings
    assert (finding.rule, finding.verdict) == (f"{name}.escalation.two_person_levers", Verdict.ESCALATE)
    assert (finding.observed, finding.limit) == ("nobody has approved it", "two people approve it")
    assert finding.remedy == "Ask two people to approve exactly this effect."
    assert finding.source.endswith((":6", ":7"))
    assert evaluation.terms is not None
    assert evaluation.terms.quorum == 2


def test_a_two_person_lever_keeps_a_larger_quorum_and_leaves_other_levers_alone() -> None:
    more = ", two_person_levers: [roll_back]"
    alone = judge(policy(escalation=said("sre-oncall", more=more)), ask(effect=ON)).terms
    assert alone is not None
    assert alone.quorum == 1
    three = said("sre-oncall", "sre-leads", quorum=3, more=", two_person_levers: [flip_flag]")
    terms = judge(policy(escalation=three), ask(effect=ON)).terms
    assert terms is not None
    assert terms.quorum == 3


def test_a_two_person_rule_is_named_by_its_own_line() -> None:
    lines = "escalation:\n  approvers: [sre-oncall]\n  quorum: 1\n  expires_after: 1h\n"
    snapshot = policy(escalation=lines + "  two_person_levers: [flip_flag]")
    (finding,) = judge(snapshot, ask()).findings
    assert finding.source == "org.yaml:10"


def test_a_group_that_no_file_of_people_has_is_a_group_of_nobody() -> None:
    lost = PolicySnapshot.of(policy().documents)
    assert chain(lost) == [("sre-oncall", []), ("sre-leads", [])]
    assert able_in(lost) == "0 may answer"
