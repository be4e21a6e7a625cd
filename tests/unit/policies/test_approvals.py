"""What an approval is worth: exactly one effect, once, under the policy that people saw."""

import pytest

from policies.decision import Allowed, Denied, Escalated
from policies.reservations import (
    Committed,
)
from tests.fakes.asks import ESCALATION, NOON, ON, ask, policy
from tests.fakes.ledgers import (
    DAY,
    TO_ON,
    approved,
    under,
)


class TestApproval:
    def test_a_fitting_approval_lifts_the_escalation_once(self) -> None:
        ledger = under(policy())
        asked = ledger.reserve(ask(effect=ON), NOON)
        assert isinstance(asked, Escalated)
        decision = ledger.reserve(approved(ask(effect=ON)), NOON)
        assert isinstance(decision, Allowed)
        assert decision.findings == asked.findings, "what people lifted stays visible"
        assert ledger.reserve(approved(ask(effect=ON)), NOON) == decision
        twice = ledger.reserve(approved(ask("run/2", effect=ON)), NOON)
        assert isinstance(twice, Escalated)
        assert twice.findings[-1].observed == "used before"
        assert isinstance(ledger.commit("run/1", NOON), Committed)

    @pytest.mark.parametrize(
        ("changes", "observed"),
        [
            ({"request_digest": "0" * 64}, "for another effect"),
            ({"policy_digest": "0" * 64}, "given under another policy"),
            ({"expires_at": NOON}, "expired at 2026-03-02 12:00:00 UTC"),
            ({"expires_at": NOON + DAY}, "valid for longer than the policy lets an answer live"),
            ({"approvers": ("sentry_spike",)}, "0 of the people who may approve said yes"),
            ({"approvers": ("mallory", "root")}, "0 of the people who may approve said yes"),
            ({"lifts": TO_ON[:1]}, f"nobody was asked about {TO_ON[1]}"),
        ],
    )
    def test_an_approval_that_does_not_fit_lifts_nothing(
        self, changes: dict[str, object], observed: str
    ) -> None:
        ledger = under(policy())
        decision = ledger.reserve(approved(ask(effect=ON), **changes), NOON)
        assert isinstance(decision, Escalated)
        assert decision.findings[-1].observed == observed
        assert ledger.state.entries == ledger.state.spent_approvals == ()

    def test_nobody_approves_their_own_request_and_nobody_counts_twice(self) -> None:
        two = policy(escalation=ESCALATION.replace("quorum: 1", "quorum: 2"))
        for approvers, requesters, good in (
            (("ada", "grace"), (), True),
            (("ada", "ada"), (), False),
            (("ada", "grace"), ("ADA@example.com",), False),
            (("edsger", "grace"), ("ada",), True),
        ):
            request = ask(effect=ON, requesters=requesters)
            decision = under(two).reserve(
                approved(request, policy_digest=two.digest, approvers=approvers), NOON
            )
            assert isinstance(decision, Allowed) is good, (approvers, requesters)

    def test_an_approval_never_lifts_a_denial(self) -> None:
        snapshot = policy(["{id: none, max: 0, window: 1h}"])
        request = approved(ask(effect=ON), policy_digest=snapshot.digest)
        assert isinstance(under(snapshot).reserve(request, NOON), Denied)
