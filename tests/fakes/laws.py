"""What the laws of one evaluation have in common: any policy files, a verdict on them, and its strictness."""

import os
from datetime import datetime, timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from policies.decision import ReserveRequest, Verdict
from policies.documents import PolicyDocument, PolicySnapshot
from policies.evaluate import Evaluation, evaluate
from policies.intent import Intent
from policies.usage import Usage, UsageDocument
from tests.fakes.any_policy import AGENT, ORG, REPO, documents
from tests.fakes.asks import NOON

law = settings(
    deadline=None,
    max_examples=int(os.environ.get("LEVERFRAME_TEST_LAW_EXAMPLES", "25")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
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
