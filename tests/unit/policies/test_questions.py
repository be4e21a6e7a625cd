"""Questions to people, as the ledger remembers them."""

from datetime import timedelta

from policies.reservations import (
    Attended,
    AttentionRequest,
    Deferred,
)
from tests.fakes.asks import NOON, ON, policy
from tests.fakes.ledgers import (
    rules,
    under,
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
