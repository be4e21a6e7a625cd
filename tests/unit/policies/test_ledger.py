"""The ledger's life cycle: reserve, commit, release, settle, lapse, and what an approval is worth."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from leverframe.model.errors import BadInput, Conflict, NotFound
from leverframe.model.outcomes import Outcome
from policies import ledger
from policies.decision import Allowed, Approval, Decision, Denied, Escalated, Finding, ReserveRequest
from policies.documents import PolicySnapshot
from policies.reservations import (
    LEASE,
    Committed,
    LedgerState,
    PauseRequest,
    Phase,
    Withdrawn,
    next_lapse,
)
from policies.usage import Intent
from tests.fakes.asks import NOON, OFF, ON, ask, policy

ONE_UNSETTLED = "{id: one, scope: [subject], max: 1, hold: until_settled}"
ONE_AN_HOUR = "{id: hourly, max: 1, window: 1h}"
SECOND = timedelta(seconds=1)


def under(snapshot: PolicySnapshot) -> LedgerState:
    return LedgerState(snapshot=snapshot)


def rules(findings: Sequence[Finding]) -> list[str]:
    return [finding.rule for finding in findings]


def approved(request: ReserveRequest, **changes: object) -> ReserveRequest:
    """The request with an approval that fits it under `policy()`, or fits it but for the changes."""
    approval = Approval(
        approval="approval/1",
        effect_digest=Intent.of(request).effect_digest,
        policy_digest=policy().digest,
        approvers=("ada",),
        expires_at=NOON + timedelta(minutes=30),
    )
    return request.model_copy(update={"approval": approval.model_copy(update=changes)})


def test_a_request_that_every_rule_passes_gets_a_reservation_for_exactly_its_effect() -> None:
    state, decision = ledger.reserve(under(policy()), ask(), NOON)
    assert isinstance(decision, Allowed)
    assert decision.reservation.effect == OFF
    assert decision.reservation.lapses_at == NOON + LEASE
    assert next_lapse(state) == NOON + LEASE


def test_the_same_request_again_gets_the_same_answer_and_takes_one_place() -> None:
    state, first = ledger.reserve(under(policy([ONE_AN_HOUR])), ask(), NOON)
    again, second = ledger.reserve(state, ask(), NOON + SECOND)
    assert second == first
    assert again == state


def test_an_id_with_another_effect_is_a_conflict() -> None:
    state, _ = ledger.reserve(under(policy()), ask(), NOON)
    with pytest.raises(Conflict, match="use a new id"):
        ledger.reserve(state, ask(effect=ON), NOON)


@pytest.mark.parametrize("request_", [ask(""), ask("x" * 301), ask(subject=""), ask(subject="x" * 201)])
def test_an_id_or_subject_that_cannot_be_kept_is_bad_input(request_: ReserveRequest) -> None:
    with pytest.raises(BadInput):
        ledger.reserve(under(policy()), request_, NOON)


def test_a_refusal_leaves_the_ledger_as_it_was() -> None:
    state, _ = ledger.reserve(under(policy([ONE_AN_HOUR])), ask(), NOON)
    after, decision = ledger.reserve(state, ask("run/2"), NOON + LEASE)
    assert isinstance(decision, Denied)
    assert decision.retry_at == NOON + timedelta(hours=1)
    assert after is state


def test_a_release_gives_the_place_back_and_the_id_is_spent() -> None:
    state, _ = ledger.reserve(under(policy([ONE_AN_HOUR])), ask(), NOON)
    state, standing = ledger.release(state, "run/1", NOON + SECOND)
    assert standing.phase is Phase.RELEASED
    _, spent = ledger.reserve(state, ask(), NOON + SECOND)
    assert isinstance(spent, Denied)
    assert rules(spent.findings) == ["ledger.reservation"]
    _, fresh = ledger.reserve(state, ask("run/2"), NOON + SECOND)
    assert isinstance(fresh, Allowed)


def test_what_was_committed_is_never_given_back() -> None:
    state, _ = ledger.reserve(under(policy([ONE_AN_HOUR])), ask(), NOON)
    state, answer = ledger.commit(state, "run/1", NOON + SECOND)
    assert answer == Committed(reservation="run/1")
    state, standing = ledger.release(state, "run/1", NOON + SECOND)
    assert standing.phase is Phase.COMMITTED
    _, again = ledger.commit(state, "run/1", NOON + 2 * SECOND)
    assert again == answer
    _, decision = ledger.reserve(state, ask("run/2"), NOON + SECOND)
    assert isinstance(decision, Denied)


def test_settling_frees_the_subject_while_the_window_still_counts() -> None:
    state, _ = ledger.reserve(under(policy([ONE_UNSETTLED, ONE_AN_HOUR])), ask(), NOON)
    state, _ = ledger.commit(state, "run/1", NOON)
    _, busy = ledger.reserve(state, ask("run/2"), NOON)
    assert isinstance(busy, Denied)
    assert rules(busy.findings) == ["org.limits.one", "org.limits.hourly"]
    assert busy.retry_at is None, "waiting alone does not settle anything"
    state, standing = ledger.settle(state, "run/1", Outcome.LANDED, NOON)
    assert (standing.phase, standing.outcome) == (Phase.SETTLED, Outcome.LANDED)
    _, windowed = ledger.reserve(state, ask("run/2"), NOON)
    assert isinstance(windowed, Denied)
    assert rules(windowed.findings) == ["org.limits.hourly"]
    _, later = ledger.reserve(state, ask("run/2"), NOON + timedelta(hours=1))
    assert isinstance(later, Allowed)


def test_the_first_outcome_stands() -> None:
    state, _ = ledger.reserve(under(policy()), ask(), NOON)
    state, _ = ledger.settle(state, "run/1", Outcome.LANDED, NOON)
    _, standing = ledger.settle(state, "run/1", Outcome.FAILED, NOON)
    assert standing.outcome is Outcome.LANDED


def test_a_lapsed_reservation_keeps_its_place_until_somebody_settles_it() -> None:
    state, _ = ledger.reserve(under(policy([ONE_UNSETTLED])), ask(), NOON)
    late = NOON + LEASE
    _, answer = ledger.commit(state, "run/1", late)
    assert isinstance(answer, Withdrawn)
    assert rules(answer.findings) == ["ledger.reservation"]
    _, standing = ledger.release(state, "run/1", late)
    assert standing.phase is Phase.LAPSED, "unknown is not given back"
    _, busy = ledger.reserve(state, ask("run/2"), late)
    assert isinstance(busy, Denied)
    settled, _ = ledger.settle(state, "run/1", Outcome.FAILED, late)
    _, free = ledger.reserve(settled, ask("run/2"), late)
    assert isinstance(free, Allowed)


@pytest.mark.parametrize("act", [ledger.commit, ledger.release])
def test_a_reservation_that_was_never_made_is_not_found(act: object) -> None:
    assert callable(act)
    with pytest.raises(NotFound, match="run/9"):
        act(under(policy()), "run/9", NOON)


def test_a_stricter_policy_before_the_commit_withdraws_and_gives_back() -> None:
    state, _ = ledger.reserve(under(policy([ONE_AN_HOUR])), ask(), NOON)
    state, installed = ledger.install(state, policy([ONE_AN_HOUR], kill_switch=True))
    assert installed.changed
    state, answer = ledger.commit(state, "run/1", NOON)
    assert isinstance(answer, Withdrawn)
    assert rules(answer.findings) == ["org.kill_switch"]
    state, _ = ledger.install(state, policy([ONE_AN_HOUR]))
    _, decision = ledger.reserve(state, ask("run/2"), NOON)
    assert isinstance(decision, Allowed)


def test_a_changed_policy_that_still_allows_it_lets_the_commit_pass() -> None:
    state, _ = ledger.reserve(under(policy([ONE_AN_HOUR])), ask(), NOON)
    state, _ = ledger.install(state, policy(["{id: hourly, max: 2, window: 1h}"]))
    _, answer = ledger.commit(state, "run/1", NOON)
    assert isinstance(answer, Committed)


def test_a_pause_stops_reserve_and_commit_but_not_settle() -> None:
    state, _ = ledger.reserve(under(policy()), ask(), NOON)
    state = ledger.pause(state, PauseRequest(by="ada", reason="incident"), NOON)
    _, decision = ledger.reserve(state, ask("run/2"), NOON)
    assert isinstance(decision, Denied)
    assert "paused by ada: incident" in decision.findings[0].observed
    _, standing = ledger.settle(state, "run/1", Outcome.FAILED, NOON)
    assert standing.phase is Phase.SETTLED
    _, answer = ledger.commit(state, "run/1", NOON)
    assert isinstance(answer, Withdrawn)
    _, after = ledger.reserve(ledger.resume(state), ask("run/2"), NOON)
    assert isinstance(after, Allowed)


def test_a_fitting_approval_lifts_the_escalation_once() -> None:
    state, asked = ledger.reserve(under(policy()), ask(effect=ON), NOON)
    assert isinstance(asked, Escalated)
    state, decision = ledger.reserve(state, approved(ask(effect=ON)), NOON)
    assert isinstance(decision, Allowed)
    assert decision.findings == asked.findings, "what people lifted stays visible"
    assert ledger.reserve(state, approved(ask(effect=ON)), NOON)[1] == decision
    _, twice = ledger.reserve(state, approved(ask("run/2", effect=ON)), NOON)
    assert isinstance(twice, Escalated)
    assert twice.findings[-1].observed == "used before"
    _, committed = ledger.commit(state, "run/1", NOON)
    assert isinstance(committed, Committed)


def test_an_approved_effect_is_withdrawn_when_people_saw_another_policy() -> None:
    state, _ = ledger.reserve(under(policy()), approved(ask(effect=ON)), NOON)
    state, _ = ledger.install(state, policy(["{id: many, max: 9, window: 1h}"]))
    _, answer = ledger.commit(state, "run/1", NOON)
    assert isinstance(answer, Withdrawn)
    assert rules(answer.findings) == [
        "agents.sentry_spike.levers.flip_flag.direction.to_on",
        "org.levers.flip_flag.direction.to_on",
    ]


@pytest.mark.parametrize(
    ("changes", "observed"),
    [
        ({"effect_digest": "0" * 64}, "for another effect"),
        ({"policy_digest": "0" * 64}, "given under another policy"),
        ({"expires_at": NOON}, "expired at 2026-03-02 12:00:00 UTC"),
        ({"expires_at": NOON + timedelta(days=9)}, "valid for longer than the policy lets an answer live"),
        ({"approvers": ("sentry_spike",)}, "0 people said yes"),
    ],
)
def test_an_approval_that_does_not_fit_lifts_nothing(changes: dict[str, object], observed: str) -> None:
    state = under(policy())
    after, decision = ledger.reserve(state, approved(ask(effect=ON), **changes), NOON)
    assert isinstance(decision, Escalated)
    assert decision.findings[-1].observed == observed
    assert after is state


def test_an_approval_never_lifts_a_denial() -> None:
    snapshot = policy(["{id: none, max: 0, window: 1h}"])
    request = approved(ask(effect=ON), policy_digest=snapshot.digest)
    _, decision = ledger.reserve(under(snapshot), request, NOON)
    assert isinstance(decision, Denied)


def test_a_limit_that_escalates_can_be_lifted_by_people() -> None:
    snapshot = policy(["{id: hourly, max: 1, window: 1h, on_exceed: escalate}"])
    state, _ = ledger.reserve(under(snapshot), ask(), NOON)
    _, asked = ledger.reserve(state, ask("run/2"), NOON)
    assert isinstance(asked, Escalated)
    state, decision = ledger.reserve(state, approved(ask("run/2"), policy_digest=snapshot.digest), NOON)
    assert isinstance(decision, Allowed)
    for reservation in ("run/1", "run/2"):
        state, answer = ledger.commit(state, reservation, NOON)
        assert isinstance(answer, Committed)


def test_what_no_limit_can_see_is_forgotten_and_what_is_open_never_is() -> None:
    state = under(policy(["{id: weekly, max: 9, window: 7d}"]))
    for name in ("run/1", "run/2"):
        state, _ = ledger.reserve(state, ask(name), NOON)
    state, _ = ledger.settle(state, "run/1", Outcome.LANDED, NOON)
    kept, _ = ledger.reserve(state, ask("run/3"), NOON + timedelta(days=7) - SECOND)
    assert [entry.id for entry in kept.entries] == ["run/1", "run/2", "run/3"]
    pruned, _ = ledger.reserve(state, ask("run/3"), NOON + timedelta(days=7))
    assert [entry.id for entry in pruned.entries] == ["run/2", "run/3"]


def test_a_full_ledger_denies_instead_of_growing() -> None:
    state, _ = ledger.reserve(under(policy()), ask(), NOON)
    many = tuple(state.entries[0].model_copy(update={"id": f"run/{n}"}) for n in range(ledger.MAX_ENTRIES))
    full = state.model_copy(update={"entries": many})
    after, decision = ledger.reserve(full, ask("run/new"), NOON)
    assert isinstance(decision, Denied)
    assert rules(decision.findings) == ["ledger.capacity"]
    assert after is full
    assert len(full.model_dump_json()) < 1_500_000, "the state fits into one message"


def test_a_decision_survives_its_journey_as_json() -> None:
    decision: Decision
    for effect in (OFF, ON):
        _, decision = ledger.reserve(under(policy()), ask(effect=effect), NOON)
        assert type(decision).model_validate_json(decision.model_dump_json()) == decision
