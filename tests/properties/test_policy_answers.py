"""Laws of one evaluation, P6 to P10, over any policy and any usage: approvals, purity, numbers and time."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from policies.decision import Allowed, Approval, Denied, Escalated, Finding, ReserveRequest
from policies.documents import PolicyDocument, PolicySnapshot, parse
from policies.evaluate import attention, evaluate
from policies.intent import Intent
from policies.ledger import Ledger
from policies.reservations import LedgerState
from policies.rules import Limit
from policies.terms import voters
from policies.usage import Usage, UsageDocument
from tests.fakes import any_policy as given_any
from tests.fakes.any_policy import AGENT, ORG, as_yaml, documents, requests, snapshot, usage
from tests.fakes.asks import NOON, PEOPLE
from tests.fakes.laws import TICK, Files, files, judged, law, live
from tests.fakes.tighter import tightened


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
from policies.intent import Intent
from policies.usage import Usage, UsageDocument
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
