"""Questions to people, as the ledger remembers them."""

from datetime import datetime, timedelta
from typing import Literal

from policies.book import MAX_DEFERRALS
from policies.decision import Denied
from policies.ledger import Ledger
from policies.reservations import AnsweredQuestion, Attended, AttentionRequest, Deferred
from tests.fakes.asks import NOON, OFF, ON, ask, policy
from tests.fakes.ledgers import DAY, SECOND, kinds, restarted, rules, under, unswept

HOUR = timedelta(hours=1)


def answer(
    state: Literal["approved", "rejected", "expired", "withdrawn", "superseded"] = "rejected",
    approval: str = "approval/1",
    ended_at: datetime = NOON,
) -> AnsweredQuestion:
    """A question about the request `ask()` has ended."""
    request = ask()
    return AnsweredQuestion(
        approval=approval,
        agent=request.agent,
        repository=request.repository,
        service=request.service,
        subject=request.subject,
        lever=OFF.lever,
        request_digest=request.digest,
        policy_digest="0" * 64,
        state=state,
        votes=(),
        asked_at=NOON,
        ended_at=ended_at,
    )


class TestAttention:
    LIMITED = policy(["{id: nights, scope: [approver_group], unit: escalations, max: 1, window: 8h}"])

    def question(self, approval: str, group: str = "sre-oncall") -> AttentionRequest:
        return AttentionRequest(
            approval=approval,
            agent="sentry_spike",
            repository="shop",
            service="shop",
            subject="SHOP-1",
            lever=ON.lever,
            group=group,
        )

    def test_people_who_were_asked_enough_get_the_rest_in_a_digest(self) -> None:
        ledger = under(self.LIMITED)
        assert isinstance(ledger.attend(self.question("approval/1"), NOON), Attended)
        deferred = ledger.attend(self.question("approval/2"), NOON)
        assert isinstance(deferred, Deferred)
        assert rules(deferred.findings) == ["org.limits.nights"]
        assert isinstance(ledger.attend(self.question("approval/2", "sre-leads"), NOON), Attended)

    def test_the_same_question_gets_the_same_answer_even_when_there_is_room_again(self) -> None:
        ledger = under(self.LIMITED)
        first = ledger.attend(self.question("approval/1"), NOON)
        deferred = ledger.attend(self.question("approval/2"), NOON)
        later = NOON + timedelta(hours=9)
        assert ledger.attend(self.question("approval/2"), later) == deferred
        ledger.install(policy(), later)
        ledger.install(self.LIMITED, later)
        assert ledger.attend(self.question("approval/1"), later) == first

    def test_the_same_question_uses_no_more_of_peoples_attention(self) -> None:
        ledger = under(self.LIMITED)
        for same in (ledger, restarted(ledger)):
            for hours in (0, 1, 2):
                assert isinstance(same.attend(self.question("approval/1"), NOON + hours * HOUR), Attended)
            assert kinds(same) == ["asked"]

    def test_a_question_is_forgotten_after_a_day_and_asked_anew(self) -> None:
        ledger = under(self.LIMITED)
        ledger.attend(self.question("approval/1"), NOON)
        ledger.attend(self.question("approval/2"), NOON)
        later = NOON + DAY
        early = later - 40 * SECOND
        assert isinstance(ledger.attend(self.question("approval/2"), early), Deferred)
        assert isinstance(ledger.attend(self.question("approval/1"), early), Attended)
        assert kinds(unswept(ledger, later)) == ["asked", "deferred"]
        assert isinstance(ledger.attend(self.question("approval/2"), later), Attended)
        assert isinstance(ledger.attend(self.question("approval/1"), later), Deferred)

    def test_a_question_that_waits_for_the_digest_leaves_the_state_after_a_day(self) -> None:
        ledger = under(self.LIMITED)
        for name in ("approval/1", "approval/2"):
            ledger.attend(self.question(name), NOON)
        ledger.lapse(NOON + DAY - SECOND)
        assert [each.question.approval for each in ledger.state.deferrals] == ["approval/2"]
        ledger.lapse(NOON + DAY)
        assert ledger.state.deferrals == ()

    def test_a_limit_that_is_installed_later_counts_the_questions_of_before(self) -> None:
        ledger = under(policy())
        ledger.attend(self.question("approval/1"), NOON)
        ledger.lapse(NOON + HOUR)
        ledger.install(self.LIMITED, NOON + HOUR)
        assert isinstance(ledger.attend(self.question("approval/2"), NOON + HOUR), Deferred)

    def test_a_question_is_remembered_while_a_limit_on_questions_sees_it_and_at_least_a_day(
        self,
    ) -> None:
        effects = "{id: weekly, max: 9, window: 7d}"
        questions = "{id: nights, scope: [approver_group], unit: escalations, max: 1, window: 3d}"
        for limits, memory in (([effects], DAY), ([effects, questions], 3 * DAY)):
            ledger = under(policy(limits))
            ledger.attend(self.question("approval/1"), NOON)
            ledger.lapse(NOON + memory - SECOND)
            assert [question.approval for question in ledger.state.questions] == ["approval/1"]
            ledger.lapse(NOON + memory)
            assert ledger.state.questions == ()

    def test_questions_can_be_counted_by_agent(self) -> None:
        ledger = under(
            policy(["{id: nights, scope: [agent, approver_group], unit: escalations, max: 1, window: 8h}"])
        )
        ledger.attend(self.question("approval/1"), NOON)
        other = self.question("approval/2").model_copy(update={"agent": "other"})
        assert isinstance(ledger.attend(other, NOON), Attended)
        assert isinstance(ledger.attend(self.question("approval/3"), NOON), Deferred)

    def test_effects_use_nothing_up_of_peoples_attention(self) -> None:
        ledger = under(policy(["{id: nights, scope: [agent], unit: escalations, max: 1, window: 8h}"]))
        ledger.reserve(ask(), NOON)
        assert isinstance(ledger.attend(self.question("approval/1"), NOON), Attended)
        assert isinstance(ledger.attend(self.question("approval/2"), NOON), Deferred)

    def test_when_too_many_wait_for_the_digest_the_oldest_is_asked_about_again(self) -> None:
        ledger = under(self.LIMITED)
        for name in ("approval/0", "approval/1"):
            ledger.attend(self.question(name), NOON)
        [one] = ledger.state.deferrals
        names = [f"approval/{number}" for number in range(1, MAX_DEFERRALS + 1)]
        many = tuple(
            one.model_copy(update={"question": one.question.model_copy(update={"approval": name})})
            for name in names
        )
        full = Ledger(ledger.state.model_copy(update={"deferrals": many}))
        assert isinstance(full.attend(self.question("approval/new"), NOON), Deferred)
        waiting = {deferral.question.approval for deferral in full.state.deferrals}
        assert waiting == {*names[1:], "approval/new"}


class TestAnswers:
    def test_the_end_of_a_question_is_recorded_once_and_again_only_after_a_day(self) -> None:
        ledger = under(policy())
        ledger.answered(answer(), NOON)
        for same in (ledger, restarted(ledger)):
            same.answered(answer("expired"), NOON + HOUR)
            assert kinds(same) == ["answered"]
            same.answered(answer(approval="approval/2"), NOON + HOUR)
            assert kinds(unswept(same, NOON + DAY)) == ["answered"] * 2
            same.answered(answer(), NOON + DAY)
            assert kinds(same) == ["answered"] * 3

    def test_the_end_of_a_question_leaves_the_state_after_a_day(self) -> None:
        ledger = under(policy())
        ledger.answered(answer(), NOON)
        ledger.lapse(NOON + DAY - SECOND)
        assert [each.approval for each in ledger.state.ended_questions] == ["approval/1"]
        ledger.lapse(NOON + DAY)
        assert ledger.state.ended_questions == ()

    def test_a_no_cools_the_subject_down_and_any_other_end_does_not(self) -> None:
        cooling = policy(org="cooldown: {after_rejection: 2h}\n")
        states: tuple[Literal["approved", "rejected", "expired", "withdrawn", "superseded"], ...]
        states = ("approved", "rejected", "expired", "withdrawn", "superseded")
        for state in states:
            ledger = under(cooling)
            ledger.answered(answer(state), NOON)
            for same in (ledger, restarted(ledger)):
                decision = same.reserve(ask(), NOON + HOUR)
                said = rules(decision.findings) if isinstance(decision, Denied) else []
                assert said == (["org.cooldown.after_rejection"] if state == "rejected" else [])

    def test_a_no_cools_down_what_an_agent_in_observe_mode_would_have_done(self) -> None:
        ledger = under(policy(autonomy="observe", org="cooldown: {after_rejection: 2h}\n"))
        ledger.answered(answer(), NOON)
        would = []
        again = restarted(ledger)
        for hours in (1, 2):
            decision = again.reserve(ask(f"run/{hours}"), NOON + hours * HOUR)
            assert isinstance(decision, Denied)
            would.append(decision.would)
        assert would == ["deny", "allow"]
