"""Laws of one evaluation, P1 to P5, over any policy and any usage: what is stricter, and what decides."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from leverframe.model.differences import FileDelta
from leverframe.model.proposals import Affected, Cost
from policies.decision import ReserveRequest, Verdict
from policies.documents import PolicyDocument
from policies.intent import Intent
from policies.rules import Autonomy
from policies.terms import voters
from policies.usage import UsageDocument
from tests.fakes import any_policy as given_any
from tests.fakes.any_policy import AGENT, ORG, REPO, STRANGERS, documents, requests, snapshot, usage
from tests.fakes.asks import NOON, REVERT, ask, delta, difference
from tests.fakes.laws import ABOUT_PEOPLE, Files, files, judged, law, live, no_looser


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
