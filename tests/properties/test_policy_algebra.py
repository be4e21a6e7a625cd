"""Laws of one evaluation, P1 to P10, over any policy and any usage."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from leverframe.model.differences import FileDelta
from leverframe.model.proposals import Affected, Cost
from policies.decision import Allowed, Approval, Denied, Escalated, Finding, ReserveRequest, Verdict
from policies.documents import PolicyDocument, PolicySnapshot, parse
from policies.evaluate import Evaluation, attention, evaluate
from policies.ledger import Ledger
from policies.reservations import LedgerState
from policies.rules import Autonomy, Limit
from policies.terms import voters
from policies.usage import Intent, Usage, UsageDocument
from tests.fakes import any_policy as given_any
from tests.fakes.any_policy import AGENT, ORG, REPO, STRANGERS, as_yaml, documents, requests, snapshot, usage
from tests.fakes.asks import NOON, PEOPLE, REVERT, ask, delta, difference
from tests.fakes.tighter import tightened

law = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
"""A slow machine is no fault."""

ABOUT_PEOPLE = ("org.escalation", "org.escalation.approvers")
"""Said only while another rule asks people: gone when that rule denies instead."""

TICK = timedelta(microseconds=1)

Files = tuple[PolicyDocument, PolicyDocument, PolicyDocument]
files = st.tuples(documents(ORG), documents(AGENT), documents(REPO))
"""The organisation's, the agent's, the repository's."""


def judged(
    policy: PolicySnapshot, request: ReserveRequest | Intent, known: UsageDocument, at: datetime = NOON
) -> Evaluation:
    intent = Intent.of(request) if isinstance(request, ReserveRequest) else request
    return evaluate(policy, intent, Usage(policy, known), at)


def live(evaluation: Evaluation) -> set[tuple[str, Verdict]]:
    return {(finding.rule, finding.verdict) for finding in evaluation.findings}


def no_looser(tight: Evaluation, loose: Evaluation) -> bool:
    """Every rule that speaks up before still does, at least as strictly."""
    after: dict[str, Verdict] = {}
    for finding in tight.findings:  # one rule may speak up more than once
        after[finding.rule] = max(finding.verdict, after.get(finding.rule, Verdict.ALLOW))
    return tight.verdict >= loose.verdict and all(
        after.get(finding.rule, Verdict.ALLOW) >= finding.verdict
        for finding in loose.findings
        if finding.rule not in ABOUT_PEOPLE
    )


@law
@given(files, requests(), usage())
def test_p1_adding_a_file_never_loosens_the_verdict_the_autonomy_or_the_terms(
    found: Files,
    request: ReserveRequest,
    known: UsageDocument,
) -> None:
    fewer = judged(snapshot(*found[:2]), request, known)
    more = judged(snapshot(*found), request, known)
    assert no_looser(more, fewer)
    assert more.autonomy.rank <= fewer.autonomy.rank
    if more.terms is not None:
        assert fewer.terms is not None
        assert more.terms.quorum >= fewer.terms.quorum
        assert more.terms.expires_after <= fewer.terms.expires_after
        assert voters(more.terms.chain, ()) <= voters(fewer.terms.chain, ())


@law
@given(files, st.sampled_from(STRANGERS).flatmap(documents), requests(), usage())
def test_p1_a_file_about_others_changes_nothing(
    found: Files, other: PolicyDocument, request: ReserveRequest, known: UsageDocument
) -> None:
    alone = judged(snapshot(*found), request, known)
    beside = judged(snapshot(*found, other), request, known)
    assert beside.findings == alone.findings
    assert (beside.verdict, beside.terms, beside.autonomy) == (alone.verdict, alone.terms, alone.autonomy)


@law
@given(st.permutations([ORG, AGENT, REPO]), st.data(), requests(), usage())
def test_p2_the_order_of_the_files_says_nothing(
    order: list[str], data: st.DataObject, request: ReserveRequest, known: UsageDocument
) -> None:
    found = {file: data.draw(documents(file)) for file in (ORG, AGENT, REPO)}
    assert judged(snapshot(*(found[file] for file in order)), request, known) == judged(
        snapshot(*found.values()), request, known
    )
    shuffled = snapshot(*found.values()).model_copy(
        update={"documents": tuple(found[file] for file in order)}
    )
    assert live(judged(shuffled, request, known)) == live(judged(snapshot(*found.values()), request, known))


def _one_more_file(intent: Intent) -> Intent:
    kept = intent.difference.files if intent.difference else ()
    return intent.model_copy(update={"difference": difference(*kept, delta("shop/one_more.py", added=1))})


def _one_more_unseen(intent: Intent) -> Intent:
    kept = intent.difference.files if intent.difference else ()
    return intent.model_copy(update={"difference": difference(*kept, omitted=1)})


def _more_lines(intent: Intent) -> Intent:
    kept = intent.difference.files if intent.difference else ()
    longer = [file.model_copy(update={"added": file.added + 50}) for file in kept]
    return intent.model_copy(update={"difference": difference(*longer)}) if kept else intent


def _dearer(intent: Intent) -> Intent:
    cost = intent.cost and Cost(cents=intent.cost.cents + 50, tokens=intent.cost.tokens + 1)
    return intent.model_copy(update={"cost": cost})


def _more_affected(intent: Intent) -> Intent:
    affected = intent.affected and Affected(count=intent.affected.count + 1, of=intent.affected.of)
    return intent.model_copy(update={"affected": affected})


def _without(name: str, nothing: object) -> Callable[[Intent], Intent]:
    return lambda intent: intent.model_copy(update={name: nothing})


MORE: tuple[Callable[[Intent], Intent], ...] = (
    _one_more_file,
    _one_more_unseen,
    _more_lines,
    _dearer,
    _more_affected,
    lambda intent: intent.model_copy(update={"lineage": (*intent.lineage, "run/more")}),
    lambda intent: intent.model_copy(update={"requesters": (*intent.requesters, "edsger", "grace")}),
    lambda intent: (
        intent.model_copy(update={"evidence": intent.evidence[1:]})
        if len({each.name for each in intent.evidence}) == len(intent.evidence)
        else intent
    ),
    _without("evidence", ()),
    _without("cost", None),
    _without("affected", None),
    _without("flag", None),
    _without("direction", None),
)


@law
@given(files, requests(), usage(), st.sampled_from(MORE))
def test_p3_touching_more_spending_more_and_knowing_less_never_loosens(
    found: Files,
    request: ReserveRequest,
    known: UsageDocument,
    more: Callable[[Intent], Intent],
) -> None:
    policy, intent = snapshot(*found), Intent.of(request)
    before, after = judged(policy, intent, known), judged(policy, more(intent), known)
    assert after.verdict >= before.verdict
    assert len(after.findings) >= len([f for f in before.findings if f.rule not in ABOUT_PEOPLE])


@law
@given(documents(ORG), documents(AGENT), usage())
def test_p3_not_knowing_the_difference_of_a_merge_request_is_denied(
    org: PolicyDocument, agent: PolicyDocument, known: UsageDocument
) -> None:
    blind = ask(effect=REVERT, agent="one", difference=None)
    assert judged(snapshot(org, agent), blind, known).verdict is Verdict.DENY


@law
@given(documents(ORG), documents(AGENT), requests(), usage(), usage(settled=False))
def test_p3_more_usage_never_loosens(
    org: PolicyDocument,
    agent: PolicyDocument,
    request: ReserveRequest,
    known: UsageDocument,
    more: UsageDocument,
) -> None:
    both = UsageDocument(
        **{name: (*getattr(known, name), *getattr(more, name)) for name in UsageDocument.model_fields}
    )
    policy = snapshot(org, agent)
    assert no_looser(judged(policy, request, both), judged(policy, request, known))


@law
@given(files, requests(), given_any.files, usage(), st.data())
def test_p4_the_whole_is_at_least_as_strict_as_each_part(
    found: Files,
    request: ReserveRequest,
    touched: list[FileDelta],
    known: UsageDocument,
    data: st.DataObject,
) -> None:
    part = data.draw(st.lists(st.sampled_from(touched), unique_by=lambda file: file.path, min_size=1))
    intent, policy = Intent.of(ask(effect=REVERT, agent="one", cost=request.cost)), snapshot(*found)
    whole = judged(policy, intent.model_copy(update={"difference": difference(*touched)}), known)
    partly = judged(policy, intent.model_copy(update={"difference": difference(*part)}), known)
    assert no_looser(whole, partly)


@law
@given(files, requests(), usage())
def test_p5_allowed_means_that_nothing_speaks_up_and_the_strictest_finding_decides(
    found: Files,
    request: ReserveRequest,
    known: UsageDocument,
) -> None:
    evaluation = judged(snapshot(*found), request, known)
    verdicts = [finding.verdict for finding in evaluation.findings]
    assert evaluation.verdict == max(verdicts, default=Verdict.ALLOW)
    assert Verdict.ALLOW not in verdicts
    assert (evaluation.verdict is Verdict.ALLOW) == (not evaluation.findings)
    for finding in evaluation.findings:
        assert all((finding.rule, finding.observed, finding.limit, finding.source)), finding
        assert finding.remedy.endswith("."), finding
        assert finding.retry_at is None or finding.retry_at > NOON, finding
    if evaluation.verdict is Verdict.ESCALATE:
        assert evaluation.terms is not None
        able = len(voters(evaluation.terms.chain, request.requesters))
        said = "org.escalation.approvers" in {finding.rule for finding in evaluation.findings}
        assert said == (able < evaluation.terms.quorum)
    if evaluation.verdict is Verdict.ALLOW:
        assert evaluation.autonomy is Autonomy.ACT


@law
@given(documents(ORG) | documents(AGENT) | documents(REPO), requests(), usage())
def test_p5_one_file_alone_and_no_file_allow_nothing(
    only: PolicyDocument, request: ReserveRequest, known: UsageDocument
) -> None:
    for policy in (snapshot(only), snapshot()):
        evaluation = judged(policy, request, known)
        assert (evaluation.verdict, evaluation.autonomy) == (Verdict.DENY, Autonomy.OFF)


def approval(escalated: Escalated, request: ReserveRequest, **changes: Any) -> Approval:
    """Everybody who may vote said yes to exactly this."""
    return Approval(
        **{
            "approval": "approval/1",
            "request_digest": request.digest,
            "policy_digest": escalated.policy_digest,
            "lifts": escalated.findings,
            "approvers": tuple(sorted(voters(escalated.terms.chain, request.requesters))) or ("nobody",),
            "expires_at": NOON + escalated.terms.expires_after,
            **changes,
        }
    )


@law
@given(documents(ORG), documents(AGENT), requests())
def test_p6_an_approval_lifts_what_asks_people_and_can_change_no_denial(
    org: PolicyDocument, agent: PolicyDocument, request: ReserveRequest
) -> None:
    policy = snapshot(org, agent)

    def decided(asked: ReserveRequest) -> Allowed | Escalated | Denied:
        return Ledger(LedgerState(snapshot=policy)).reserve(asked, NOON)

    plain = decided(request)
    if isinstance(plain, Escalated):
        yes = approval(plain, request)
        lifted = decided(request.model_copy(update={"approval": yes}))
        enough = len(voters(plain.terms.chain, request.requesters)) >= plain.terms.quorum
        assert isinstance(lifted, Allowed if enough else Escalated)
        assert not enough or lifted.findings == plain.findings
        for change in (
            {"request_digest": "0" * 64},
            {"policy_digest": "0" * 64},
            {"lifts": yes.lifts[1:]},
            {"approvers": ("nobody",)},
            {"approvers": yes.approvers[:1] * 3 if plain.terms.quorum > 1 else ("one",)},
            {"expires_at": NOON},
        ):
            spoiled = request.model_copy(update={"approval": yes.model_copy(update=change)})
            assert not isinstance(decided(spoiled), Allowed), change
    if isinstance(plain, Denied):
        yes = Approval(
            approval="approval/1",
            request_digest=request.digest,
            policy_digest=policy.digest,
            lifts=plain.findings,
            approvers=("ada", "grace", "edsger"),
            expires_at=NOON + timedelta(minutes=30),
        )
        assert decided(request.model_copy(update={"approval": yes})) == plain


@law
@given(files, requests(), usage())
def test_p7_the_answer_depends_on_nothing_but_the_inputs_even_after_a_journey(
    found: Files,
    request: ReserveRequest,
    known: UsageDocument,
) -> None:
    policy, intent = snapshot(*found), Intent.of(request)
    first = judged(policy, intent, known)
    travelled = judged(
        PolicySnapshot.model_validate_json(policy.model_dump_json()),
        Intent.model_validate_json(intent.model_dump_json()),
        UsageDocument.model_validate_json(known.model_dump_json()),
    )
    assert travelled == first
    backwards = Usage(policy)
    for name, asked in (
        ("rejections", backwards.reject),
        ("sightings", backwards.see),
        ("questions", backwards.ask),
    ):
        for each in reversed(getattr(known, name)):
            asked(each)
    for number, use in reversed(list(enumerate(known.uses))):
        backwards.add(str(number), use)
    backwards.pauses, backwards.demotions = known.pauses, known.demotions
    assert evaluate(policy, intent, backwards, NOON) == first, "nor does the order in which it was learned"


ELSEWHERE = """
import json, sys
from policies.documents import PolicySnapshot
from policies.evaluate import evaluate
from policies.usage import Intent, Usage, UsageDocument
from tests.fakes.asks import NOON
for policy, intent, known in json.load(sys.stdin):
    policy = PolicySnapshot.model_validate_json(policy)
    usage = Usage(policy, UsageDocument.model_validate_json(known))
    print(evaluate(policy, Intent.model_validate_json(intent), usage, NOON).model_dump_json())
"""


@settings(deadline=None, max_examples=2, phases=[Phase.generate])
@given(st.lists(st.tuples(documents(ORG), documents(AGENT), requests(), usage()), min_size=8, max_size=8))
def test_p7_another_process_gives_the_same_answer(
    cases: list[tuple[PolicyDocument, PolicyDocument, ReserveRequest, UsageDocument]],
) -> None:
    asked = [(snapshot(org, agent), Intent.of(request), known) for org, agent, request, known in cases]
    here = [judged(policy, intent, known).model_dump_json() for policy, intent, known in asked]
    there = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        input=json.dumps([[part.model_dump_json() for part in case] for case in asked]),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    assert there.stdout.splitlines() == here


@law
@given(files, st.data(), requests(), usage())
def test_p8_tightening_any_single_number_never_loosens(
    found: Files,
    data: st.DataObject,
    request: ReserveRequest,
    known: UsageDocument,
) -> None:
    loose = judged(snapshot(*found), request, known)
    chosen = data.draw(st.sampled_from(found))
    others = [document for document in found if document is not chosen]
    for tight in tightened(chosen):
        assert judged(snapshot(tight, *others), request, known).verdict >= loose.verdict, tight


@law
@given(files, requests(), usage())
def test_p9_written_out_and_read_again_a_policy_judges_the_same(
    found: Files,
    request: ReserveRequest,
    known: UsageDocument,
) -> None:
    files = {document.file: as_yaml(document) for document in found}
    before = snapshot(*found)
    read = parse({**files, "people.yaml": PEOPLE})
    assert read.digest == before.digest
    here, there = judged(before, request, known), judged(read, request, known)
    assert [_unplaced(finding) for finding in there.findings] == [
        _unplaced(finding) for finding in here.findings
    ]
    assert (there.verdict, there.terms, there.autonomy) == (here.verdict, here.terms, here.autonomy)


def _unplaced(finding: Finding) -> tuple[object, ...]:
    return finding.rule, finding.verdict, finding.observed, finding.limit, finding.retry_at


@law
@given(files, requests(), usage())
def test_p10_what_is_said_to_be_over_at_an_instant_is_over_then_and_not_a_tick_earlier(
    found: Files,
    request: ReserveRequest,
    known: UsageDocument,
) -> None:
    policy = snapshot(*found)
    for finding in judged(policy, request, known).findings:
        if finding.retry_at is not None:
            said = (finding.rule, finding.verdict)
            assert said in live(judged(policy, request, known, finding.retry_at - TICK))
            assert said not in live(judged(policy, request, known, finding.retry_at))


@law
@given(
    st.lists(given_any.attention_limits, min_size=1, max_size=2),
    documents(AGENT),
    given_any.askings,
    usage(),
)
def test_p10_people_are_asked_at_the_instant_at_which_it_is_said_that_they_will_be(
    nagging: list[Limit], agent: PolicyDocument, asking: Any, known: UsageDocument
) -> None:
    rules = agent.rules.model_copy(update={"limits": given_any.numbered(nagging)})
    policy = snapshot(agent.model_copy(update={"rules": rules}))
    index = Usage(policy, known)
    for finding in attention(policy, asking, index, NOON):
        if finding.retry_at is not None:
            before = attention(policy, asking, index, finding.retry_at - TICK)
            then = attention(policy, asking, index, finding.retry_at)
            assert finding.rule in {each.rule for each in before}
            assert finding.rule not in {each.rule for each in then}
