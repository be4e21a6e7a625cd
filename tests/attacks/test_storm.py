"""Family 12: five hundred error groups ask for effects within a minute."""

from datetime import timedelta
from pathlib import Path

import pytest

from leverframe.model.proposals import FlipFlag, Lever, Measurement, RevertChange
from policies.decision import Allowed, Escalated, ReserveRequest
from policies.documents import PolicySnapshot, parse
from policies.ledger import Ledger
from policies.reservations import Attended, AttentionRequest, LedgerState
from tests.fakes.approval_world import question
from tests.fakes.asks import NOON, PEOPLE, ask, difference, policy

DEFAULTS = Path(__file__).resolve().parents[2] / "policies" / "defaults"
SUBJECTS = 500
FEW = 8
"""How often a group is asked a day, by either policy."""

ROOMY = policy(
    [
        "{id: merge-requests, levers: [open_merge_request], max: 20, window: 1d}",
        f"{{id: questions, scope: [approver_group], unit: escalations, max: {FEW}, window: 1d}}",
    ],
    org="storm: {window: 10m, max_subjects: 10, on_exceed: escalate}\n",
)
"""Caps that a storm does not fill before people are asked."""


def shipped() -> PolicySnapshot:
    """The policy that we ship, with people to ask."""
    files = {
        str(path.relative_to(DEFAULTS)): path.read_text(encoding="utf-8")
        for path in sorted(DEFAULTS.rglob("*.yaml"))
    }
    return parse({**files, "people.yaml": PEOPLE})


class Stormed:
    """What five hundred subjects, each with a flag to kill and a commit to revert, got within a minute."""

    def __init__(self, snapshot: PolicySnapshot) -> None:
        self.allowed: list[ReserveRequest] = []
        self.escalated: list[tuple[ReserveRequest, Escalated]] = []
        self.shown = 0
        """Questions that people were asked at once; the others wait for their digest."""
        self.ledger = Ledger(LedgerState())
        self.ledger.install(snapshot, NOON)
        for number in range(SUBJECTS):
            self._ask(number)
            self.ledger.written(self.ledger.head.sequence)

    def _ask(self, number: int) -> None:
        now = NOON + number * timedelta(minutes=1) / SUBJECTS
        evidence = (
            Measurement(name="errors in the last 60 s", observed=900, threshold=6, unit="errors"),
            Measurement(name="evidence of a change", observed=90_000, threshold=6_000, unit="nats / 1000"),
        )
        effects = (
            FlipFlag(flag=f"feature-{number}", on=False),
            RevertChange(repository="shop", commit=f"{number:040x}", title="Revert", body="Because."),
        )
        for step, effect in enumerate(effects):
            changes = difference(f"shop/part_{number}.py") if step else None
            request = ask(
                f"run/{number}/{step}",
                effect,
                subject=f"SHOP-{number}",
                difference=changes,
                evidence=evidence,
            )
            decision = self.ledger.reserve(request, now)
            if isinstance(decision, Allowed):
                self.allowed.append(request)
            elif isinstance(decision, Escalated):
                self.escalated.append((request, decision))
                asking = AttentionRequest(
                    approval=f"approval/{request.reservation}",
                    agent=request.agent,
                    repository=request.repository,
                    service=request.service,
                    subject=request.subject,
                    lever=request.lever,
                    group=decision.terms.chain[0].name,
                )
                self.shown += isinstance(self.ledger.attend(asking, now), Attended)


@pytest.fixture(scope="module")
def roomy() -> Stormed:
    """The storm under caps with room."""
    return Stormed(ROOMY)


def test_the_shipped_policy_lets_two_flips_and_one_merge_request_pass_and_asks_few_people() -> None:
    stormed = Stormed(shipped())
    levers = [request.lever for request in stormed.allowed]
    assert levers.count(Lever.FLIP_FLAG) <= 2
    assert levers.count(Lever.OPEN_MERGE_REQUEST) <= 1
    assert stormed.shown <= FEW


def test_from_the_eleventh_subject_on_it_is_an_outage_and_nothing_happens_without_people(
    roomy: Stormed,
) -> None:
    acted = {request.subject for request in roomy.allowed}
    assert acted == {f"SHOP-{number}" for number in range(10)}
    assert len(roomy.escalated) == 2 * (SUBJECTS - 10)


def test_people_are_asked_a_handful_of_times_and_find_the_rest_in_their_digest(roomy: Stormed) -> None:
    assert roomy.shown == FEW


def test_like_questions_share_one_message(roomy: Stormed) -> None:
    batches = {
        question().model_copy(update={"effect": request.effect, "findings": decision.findings}).batch
        for request, decision in roomy.escalated
    }
    assert len(batches) == 2, "one for each lever"
