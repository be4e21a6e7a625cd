"""The ledger's life cycle: reserve, commit, release, settle, lapse, and what stops it."""

from datetime import timedelta

import pytest

from leverframe.model.errors import BadInput, Conflict, NotFound
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost, Measurement
from policies.decision import Allowed, Decision, Denied, Escalated, ReserveRequest
from policies.reservations import (
    LEASE,
    Committed,
    LedgerStart,
    PauseRequest,
    Phase,
    PromoteRequest,
    RefusedPolicy,
    Withdrawn,
)
from policies.retention import PARKED_ANEW
from policies.rules import Autonomy
from tests.fakes.asks import NOON, OFF, ON, REVERT, ask, difference, policy
from tests.fakes.ledgers import (
    DAY,
    EVERYTHING,
    ONE_AN_HOUR,
    ONE_UNSETTLED,
    SECOND,
    TO_ON,
    approved,
    kinds,
    restarted,
    rules,
    settled,
    under,
)


class TestReserve:
    def test_a_request_that_every_rule_passes_gets_a_reservation_for_exactly_its_effect(self) -> None:
        ledger = under(policy())
        decision = ledger.reserve(ask(), NOON)
        assert isinstance(decision, Allowed)
        assert decision.reservation.effect == OFF
        assert decision.reservation.lapses_at == NOON + LEASE == ledger.next_lapse()

    def test_the_same_request_again_gets_the_same_answer_and_takes_one_place(self) -> None:
        ledger = under(policy([ONE_AN_HOUR]))
        first, before = ledger.reserve(ask(), NOON), ledger.state
        assert ledger.reserve(ask(), NOON + SECOND) == first
        assert ledger.state == before

    def test_an_id_with_another_effect_is_a_conflict(self) -> None:
        ledger = under(policy())
        ledger.reserve(ask(), NOON)
        with pytest.raises(Conflict, match="use a new id"):
            ledger.reserve(ask(effect=ON), NOON)

    @pytest.mark.parametrize("request_", [ask(""), ask("x" * 301), ask(subject=""), ask(subject="x" * 201)])
    def test_an_id_or_subject_that_cannot_be_kept_is_bad_input(self, request_: ReserveRequest) -> None:
        with pytest.raises(BadInput):
            under(policy()).reserve(request_, NOON)

    def test_a_refusal_uses_nothing_up_and_is_recorded(self) -> None:
        ledger = under(policy([ONE_AN_HOUR]))
        ledger.reserve(ask(), NOON)
        before = ledger.state.entries
        decision = ledger.reserve(ask("run/2"), NOON + SECOND)
        assert isinstance(decision, Denied)
        assert decision.retry_at == NOON + timedelta(hours=1)
        assert ledger.state.entries == before
        assert kinds(ledger) == ["granted", "denied"]

    def test_waiting_is_no_remedy_when_one_denial_would_stay(self) -> None:
        ledger = under(policy([ONE_AN_HOUR], kill_switch=True))
        decision = ledger.reserve(ask(cost=None), NOON)
        assert isinstance(decision, Denied)
        assert decision.retry_at is None

    def test_the_files_of_a_difference_are_kept_until_the_commit_only(self) -> None:
        ledger = under(policy())
        evidence = [Measurement(name="users", observed=9, threshold=1, unit="users")]
        request = ask(effect=REVERT, difference=difference("a.py", "b.py"), evidence=evidence)
        ledger.reserve(request, NOON)
        assert ledger.known("run/1").intent.difference == request.difference
        ledger.commit("run/1", NOON)
        kept = ledger.known("run/1").intent
        assert kept.difference is not None
        assert (kept.difference.files, kept.difference.total_files, kept.evidence) == ((), 2, ())
        assert ledger.book.files == 0
        assert ledger.reserve(request, NOON).kind == "allow", "its digest still names the whole"


class TestLife:
    def test_a_release_gives_the_place_back_and_the_id_is_spent(self) -> None:
        ledger = under(policy([ONE_AN_HOUR]))
        ledger.reserve(ask(), NOON)
        assert ledger.release("run/1", NOON + SECOND).phase is Phase.RELEASED
        spent = ledger.reserve(ask(), NOON + SECOND)
        assert isinstance(spent, Denied)
        assert rules(spent.findings) == ["ledger.reservation"]
        assert isinstance(ledger.reserve(ask("run/2"), NOON + SECOND), Allowed)

    def test_what_was_committed_is_never_given_back(self) -> None:
        ledger = under(policy([ONE_AN_HOUR]))
        ledger.reserve(ask(), NOON)
        answer = ledger.commit("run/1", NOON + SECOND)
        assert answer == Committed(reservation="run/1")
        assert ledger.release("run/1", NOON + SECOND).phase is Phase.COMMITTED
        assert ledger.commit("run/1", NOON + 2 * SECOND) == answer
        assert isinstance(ledger.reserve(ask("run/2"), NOON + SECOND), Denied)

    def test_settling_frees_the_subject_while_the_window_still_counts(self) -> None:
        ledger = under(policy([ONE_UNSETTLED, ONE_AN_HOUR]))
        ledger.reserve(ask(), NOON)
        ledger.commit("run/1", NOON)
        busy = ledger.reserve(ask("run/2"), NOON)
        assert isinstance(busy, Denied)
        assert rules(busy.findings) == ["org.limits.one", "org.limits.hourly"]
        assert busy.retry_at is None, "waiting alone does not settle anything"
        standing = ledger.settle(settled("run/1"), NOON)
        assert (standing.phase, standing.outcome) == (Phase.SETTLED, Outcome.LANDED)
        windowed = ledger.reserve(ask("run/2"), NOON)
        assert isinstance(windowed, Denied)
        assert rules(windowed.findings) == ["org.limits.hourly"]
        assert isinstance(ledger.reserve(ask("run/2"), NOON + timedelta(hours=1)), Allowed)

    def test_the_first_outcome_stands(self) -> None:
        ledger = under(policy())
        ledger.reserve(ask(), NOON)
        ledger.settle(settled("run/1"), NOON)
        assert ledger.settle(settled("run/1", Outcome.FAILED), NOON).outcome is Outcome.LANDED
        assert kinds(ledger) == ["granted", "settled"]

    def test_a_lapsed_reservation_keeps_its_place_until_somebody_settles_it(self) -> None:
        ledger, late = under(policy([ONE_UNSETTLED])), NOON + LEASE
        ledger.reserve(ask(), NOON)
        answer = ledger.commit("run/1", late)
        assert isinstance(answer, Withdrawn)
        assert rules(answer.findings) == ["ledger.reservation"]
        assert ledger.release("run/1", late).phase is Phase.LAPSED, "unknown is not given back"
        assert isinstance(ledger.reserve(ask("run/2"), late), Denied)
        ledger.settle(settled("run/1", Outcome.FAILED), late)
        assert isinstance(ledger.reserve(ask("run/2"), late), Allowed)

    def test_what_nobody_committed_lapses_in_the_next_run_too(self) -> None:
        ledger = under(policy())
        ledger.reserve(ask(), NOON)
        again = restarted(ledger)
        assert again.next_lapse() == NOON + LEASE
        again.lapse(NOON + LEASE)
        assert again.known("run/1").phase is Phase.LAPSED
        assert again.next_lapse() is None

    def test_a_reservation_that_was_never_made_is_not_found(self) -> None:
        ledger = under(policy())
        for act in (ledger.commit, ledger.release):
            with pytest.raises(NotFound, match="run/9"):
                act("run/9", NOON)
        with pytest.raises(NotFound, match="run/9"):
            ledger.settle(settled("run/9"), NOON)

    def test_money_is_reserved_as_an_estimate_and_counted_as_it_was_spent(self) -> None:
        ledger = under(policy(["{id: money, unit: cents, max: 100, window: 1d}"]))
        ledger.reserve(ask(cost=Cost(cents=60)), NOON)
        assert isinstance(ledger.reserve(ask("run/2", cost=Cost(cents=60)), NOON), Denied)
        ledger.settle(settled("run/1", cents=10), NOON)
        assert isinstance(ledger.reserve(ask("run/2", cost=Cost(cents=60)), NOON), Allowed)

    def test_what_no_limit_can_see_is_forgotten_and_what_is_open_never_is(self) -> None:
        breaker = "breaker: {bad: 3, of_last: 10, open_for: 1d}\n"
        ledger = under(policy(["{id: weekly, max: 99, window: 7d}"], org=breaker))
        names = [f"run/{number}" for number in range(52)]
        for name in names:
            ledger.reserve(ask(name), NOON)
        for number, name in enumerate(names[:51]):
            ledger.settle(settled(name), NOON + number * SECOND)
        ledger.lapse(NOON + 7 * DAY - SECOND)
        assert len(ledger.book.entries) == 52
        ledger.lapse(NOON + 8 * DAY)
        kept = set(ledger.book.entries)
        assert kept == set(names[1:]), "the agent's newest 50 outcomes, for its breaker, and what is open"

    def test_a_late_retry_finds_what_was_given_back_for_a_day(self) -> None:
        ledger = under(policy(["{id: weekly, max: 99, window: 7d}"]))
        ledger.reserve(ask(), NOON)
        ledger.release("run/1", NOON)
        assert isinstance(ledger.reserve(ask(), NOON + DAY - SECOND), Denied)
        assert isinstance(ledger.reserve(ask(), NOON + DAY), Allowed)


class TestCommit:
    def test_a_stricter_policy_before_the_commit_withdraws_and_gives_back(self) -> None:
        ledger = under(policy([ONE_AN_HOUR]))
        ledger.reserve(ask(), NOON)
        assert ledger.install(policy([ONE_AN_HOUR], kill_switch=True), NOON).changed
        answer = ledger.commit("run/1", NOON)
        assert isinstance(answer, Withdrawn)
        assert rules(answer.findings) == ["org.kill_switch"]
        ledger.install(policy([ONE_AN_HOUR]), NOON)
        assert isinstance(ledger.reserve(ask("run/2"), NOON), Allowed)

    def test_a_changed_policy_that_still_allows_it_lets_the_commit_pass(self) -> None:
        ledger = under(policy([ONE_AN_HOUR]))
        ledger.reserve(ask(), NOON)
        ledger.install(policy(["{id: hourly, max: 2, window: 1h}"]), NOON)
        assert isinstance(ledger.commit("run/1", NOON), Committed)

    def test_an_approved_effect_is_withdrawn_when_people_saw_another_policy(self) -> None:
        ledger = under(policy())
        ledger.reserve(approved(ask(effect=ON)), NOON)
        ledger.install(policy(["{id: many, max: 9, window: 1h}"]), NOON)
        answer = ledger.commit("run/1", NOON)
        assert isinstance(answer, Withdrawn)
        assert sorted(rules(answer.findings)) == sorted(TO_ON)

    def test_a_demotion_between_reserve_and_commit_stops_the_commit(self) -> None:
        ledger = under(policy(org="breaker: {bad: 1, of_last: 1, open_for: 1h}\n"))
        for name in ("run/1", "run/2"):
            ledger.reserve(ask(name), NOON)
        ledger.settle(settled("run/1", Outcome.FAILED), NOON)
        answer = ledger.commit("run/2", NOON)
        assert isinstance(answer, Withdrawn)
        assert {"ledger.demotion", "org.breaker"} == set(rules(answer.findings))

    def test_a_freeze_that_began_after_the_reservation_stops_the_commit(self) -> None:
        freeze = (
            "freeze:\n  - {id: night, reason: sleep, since: '2026-03-02T12:05:00Z',"
            " until: '2026-03-03T00:00:00Z'}\n"
        )
        ledger = under(policy(org=freeze))
        ledger.reserve(ask(), NOON)
        answer = ledger.commit("run/1", NOON + timedelta(minutes=5))
        assert isinstance(answer, Withdrawn)
        assert rules(answer.findings) == ["org.freeze.night"]

    def test_a_limit_that_people_let_others_exceed_does_not_stop_what_was_within_it(self) -> None:
        snapshot = policy(["{id: hourly, max: 1, window: 1h, on_exceed: escalate}"])
        ledger = under(snapshot)
        ledger.reserve(ask(), NOON)
        asked = ledger.reserve(ask("run/2"), NOON)
        assert isinstance(asked, Escalated)
        request = approved(ask("run/2"), policy_digest=snapshot.digest, lifts=asked.findings)
        assert isinstance(ledger.reserve(request, NOON), Allowed)
        for reservation in ("run/1", "run/2"):
            assert isinstance(ledger.commit(reservation, NOON), Committed)


class TestStops:
    def test_a_pause_stops_reserve_and_commit_but_not_settle(self) -> None:
        ledger = under(policy())
        for name in ("run/1", "run/3"):
            ledger.reserve(ask(name), NOON)
        ledger.pause(EVERYTHING, NOON)
        decision = ledger.reserve(ask("run/2"), NOON)
        assert isinstance(decision, Denied)
        assert decision.paused
        assert "paused by ada: incident" in decision.findings[0].observed
        assert ledger.settle(settled("run/3", Outcome.FAILED), NOON).phase is Phase.SETTLED
        assert isinstance(ledger.commit("run/1", NOON), Withdrawn)
        ledger.resume(EVERYTHING, NOON)
        assert isinstance(ledger.reserve(ask("run/2"), NOON), Allowed)

    def test_a_pause_stops_exactly_its_scope_and_ends_on_its_own(self) -> None:
        ledger = under(policy())
        shop = PauseRequest(by="ada", reason="incident", repository="shop")
        ledger.pause(shop, NOON)
        again = ledger.pause(PauseRequest(by="bob", reason="me too", repository="shop"), NOON + SECOND)
        assert [(pause.by, pause.since) for pause in again.pauses] == [("ada", NOON)]
        assert isinstance(ledger.reserve(ask(repository="till"), NOON), Allowed)
        assert isinstance(ledger.reserve(ask("run/2"), NOON), Denied)
        assert ledger.resume(EVERYTHING, NOON).pauses == again.pauses
        assert ledger.resume(shop, NOON).pauses == ()

    def test_a_run_that_only_a_pause_stops_is_parked_and_recorded_now_and_then(self) -> None:
        ledger = under(policy())
        ledger.pause(EVERYTHING, NOON)
        for seconds in range(0, 660, 60):
            ledger.reserve(ask("run/7/0"), NOON + seconds * SECOND)
        assert kinds(ledger) == ["paused", "denied", "denied"]
        [parked] = ledger.state.parked
        assert (parked.run, parked.since, parked.asked_at) == ("run/7", NOON, NOON + PARKED_ANEW)
        ledger.resume(EVERYTHING, NOON + timedelta(minutes=11))
        ledger.reserve(ask("run/7/0"), NOON + timedelta(minutes=11))
        assert ledger.state.parked == ()

    def test_a_run_that_policy_denies_anyway_is_not_parked(self) -> None:
        ledger = under(policy(kill_switch=True))
        ledger.pause(EVERYTHING, NOON)
        decision = ledger.reserve(ask(), NOON)
        assert isinstance(decision, Denied)
        assert not decision.paused
        assert ledger.state.parked == ()

    def test_bad_outcomes_demote_and_only_a_person_promotes(self) -> None:
        ledger = under(policy(org="breaker: {bad: 2, of_last: 3, open_for: 1h}\n"))
        for number in range(2):
            ledger.reserve(ask(f"run/{number}"), NOON)
        ledger.settle(settled("run/0", Outcome.ROLLED_BACK), NOON)
        assert ledger.state.demotions == ()
        ledger.settle(settled("run/1", Outcome.FAILED), NOON + SECOND)
        [demotion] = ledger.state.demotions
        assert (demotion.agent, demotion.to) == ("sentry_spike", Autonomy.ACT_WITH_APPROVAL)
        assert "run/1 ended as failed" in demotion.reason
        later = NOON + DAY
        asked = ledger.reserve(ask("run/2"), later)
        assert isinstance(asked, Escalated)
        assert "ledger.demotion" in rules(asked.findings)
        person = PromoteRequest(agent="sentry_spike", by="ada", reason="it was the database")
        assert ledger.promote(person, later).demotions == ()

    def test_an_agent_that_is_demoted_already_is_not_demoted_again(self) -> None:
        ledger = under(policy(org="breaker: {bad: 1, of_last: 1, open_for: 1h}\n"))
        for name in ("run/0", "run/1"):
            ledger.reserve(ask(name), NOON)
        for name in ("run/0", "run/1"):
            ledger.settle(settled(name, Outcome.FAILED), NOON)
        assert len(ledger.state.demotions) == 1
        assert kinds(ledger) == ["granted", "granted", "settled", "demoted", "settled"]

    def test_an_effect_that_costs_more_than_was_reserved_is_bad(self) -> None:
        ledger = under(policy(org="breaker: {bad: 1, of_last: 1, open_for: 1h}\n"))
        for name in ("run/0", "run/1"):
            ledger.reserve(ask(name, cost=Cost(cents=10)), NOON)
        ledger.settle(settled("run/0", cents=10), NOON)
        assert ledger.state.demotions == ()
        ledger.settle(settled("run/1", cents=11), NOON)
        assert [demotion.agent for demotion in ledger.state.demotions] == ["sentry_spike"]

    def test_a_refused_policy_is_remembered_until_one_can_be_installed(self) -> None:
        ledger = under(policy())
        refused = RefusedPolicy(revision="abc", problems=("org.yaml:1: no",), since=NOON)
        ledger.refuse_policy(refused, NOON)
        ledger.refuse_policy(refused.model_copy(update={"since": NOON + SECOND}), NOON + SECOND)
        assert ledger.state.refused_policy == refused
        assert kinds(ledger) == ["policy_refused"]
        assert not ledger.install(policy(), NOON).changed
        assert ledger.state.refused_policy is None


def test_a_decision_survives_its_journey_as_json() -> None:
    decision: Decision
    for effect in (OFF, ON):
        decision = under(policy()).reserve(ask(effect=effect), NOON)
        assert type(decision).model_validate_json(decision.model_dump_json()) == decision


def test_a_state_that_was_tampered_with_can_not_be_read() -> None:
    with pytest.raises(BadInput, match="acme"):
        _ = LedgerStart(organisation="acme", packed="bm90IGEgc3RhdGU=").state
