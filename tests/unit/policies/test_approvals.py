"""What an approval is worth: exactly one effect, once, under the policy that people saw."""

from datetime import timedelta

import pytest

from policies.decision import Allowed, Denied, Escalated, Finding, Verdict
from policies.reservations import (
    Committed,
)
from tests.fakes.asks import ESCALATION, NOON, ON, ask, policy
from tests.fakes.ledgers import (
    TO_ON,
    approved,
    rules,
    settled,
    shown,
    under,
)


@pytest.mark.parametrize(
    ("now", "covered"),
    [
        (shown("org.a", observed="3 in 1h", figure=3), True),
        (shown("org.a", observed="2 in 1h", figure=2), True),
        (shown("org.a", observed="4 in 1h", figure=4), False),
        (shown("org.b", observed="3 in 1h", figure=3), False),
        (shown("org.a", observed="3 in 1h"), True),
        (shown("org.a", observed="unknown"), False),
    ],
)
def test_who_saw_a_finding_saw_the_same_rule_no_worse(now: tuple[Finding], covered: bool) -> None:
    (seen,) = shown("org.a", observed="3 in 1h", figure=3)
    assert seen.covers(*now) is covered


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
        assert (twice.findings[-1].observed, twice.findings[-1].limit) == ("used before", "used once")
        assert isinstance(ledger.commit("run/1", NOON), Committed)

    @pytest.mark.parametrize(
        ("changes", "observed", "limit"),
        [
            ({"request_digest": "0" * 64}, "for another effect", "for exactly this effect"),
            ({"policy_digest": "0" * 64}, "given under another policy", "given under the policy in force"),
            ({"expires_at": NOON}, "expired at 2026-03-02 12:00:00 UTC", "not expired"),
            (
                {"expires_at": NOON + timedelta(hours=1, seconds=1)},
                "valid for longer than the policy lets an answer live",
                "expires in time",
            ),
            (
                {"approvers": ("sentry_spike",)},
                "0 of the people who may approve said yes",
                "1 different people",
            ),
            (
                {"approvers": ("mallory", "root")},
                "0 of the people who may approve said yes",
                "1 different people",
            ),
            (
                {"lifts": shown(*TO_ON[:1])},
                f"nobody was asked about {TO_ON[1]}",
                "lifts every rule that asks people",
            ),
            (
                {"lifts": shown(*TO_ON, observed="act")},
                f"people were shown less of {TO_ON[0]}, {TO_ON[1]}",
                "as people were shown it, or better",
            ),
            (
                {"lifts": shown("org.autonomy")},
                f"nobody was asked about {TO_ON[0]}, {TO_ON[1]}",
                "lifts every rule that asks people",
            ),
        ],
    )
    def test_an_approval_that_does_not_fit_lifts_nothing_and_the_answer_says_why(
        self, changes: dict[str, object], observed: str, limit: str
    ) -> None:
        ledger = under(policy())
        decision = ledger.reserve(approved(ask(effect=ON), **changes), NOON)
        assert isinstance(decision, Escalated)
        assert decision.findings[-1] == Finding(
            rule="ledger.approval",
            verdict=Verdict.ESCALATE,
            observed=observed,
            limit=limit,
            remedy="Ask people again.",
            source="ledger",
        )
        assert ledger.state.entries == ledger.state.spent_approvals == ()

    def test_an_approval_lives_exactly_as_long_as_the_policy_lets_an_answer_live(self) -> None:
        request = approved(ask(effect=ON), expires_at=NOON + timedelta(hours=1))
        assert isinstance(under(policy()).reserve(request, NOON), Allowed)

    def test_an_approval_lifts_a_limit_up_to_what_was_shown_and_no_further(self) -> None:
        snapshot = policy(["{id: hourly, max: 2, window: 1h, on_exceed: escalate}"])
        ledger = under(snapshot)
        for number in (1, 2):
            ledger.reserve(ask(f"run/{number}"), NOON)
        shown = [ledger.reserve(ask(f"run/{number}"), NOON) for number in range(3, 9)]
        granted = []
        for number, asked in enumerate(shown, 3):
            assert isinstance(asked, Escalated)
            assert asked.findings[0].observed == "3 in 1h with this one"
            request = approved(
                ask(f"run/{number}"),
                approval=f"approval/{number}",
                policy_digest=snapshot.digest,
                lifts=asked.findings,
            )
            granted.append(isinstance(ledger.reserve(request, NOON), Allowed))
        assert granted == [True, False, False, False, False, False]

    def test_an_approval_outlives_figures_that_get_better_and_time_that_passes(self) -> None:
        snapshot = policy(["{id: busy, max: 1, hold: until_settled, on_exceed: escalate}"])
        for ending in (None, "run/2"):
            ledger = under(snapshot)
            ledger.reserve(ask("run/1"), NOON)
            second = ledger.reserve(ask("run/2"), NOON)
            assert isinstance(second, Escalated)
            ledger.reserve(approved(ask("run/2"), policy_digest=snapshot.digest, lifts=second.findings), NOON)
            third = ledger.reserve(ask("run/3"), NOON)
            assert isinstance(third, Escalated)
            assert third.findings[0].figure == 3
            if ending:
                ledger.release(ending, NOON)
            yes = approved(
                ask("run/3"), approval="approval/3", policy_digest=snapshot.digest, lifts=third.findings
            )
            assert isinstance(ledger.reserve(yes, NOON + timedelta(minutes=5)), Allowed), ending

    def test_an_approval_that_is_not_needed_is_not_spent(self) -> None:
        ledger = under(policy())
        assert isinstance(ledger.reserve(approved(ask()), NOON), Allowed)
        assert ledger.state.spent_approvals == ()
        assert isinstance(ledger.reserve(approved(ask("run/2", effect=ON)), NOON), Allowed)
        assert [spent.approval for spent in ledger.state.spent_approvals] == ["approval/1"]

    def test_an_approval_that_was_used_stays_used_until_it_expires(self) -> None:
        ledger, late = under(policy()), NOON + timedelta(minutes=29)
        ledger.reserve(approved(ask(effect=ON)), NOON)
        ledger.lapse(late)
        again = ledger.reserve(approved(ask("run/2", effect=ON)), late)
        assert again.findings[-1].observed == "used before"

    def test_what_people_lifted_is_kept_until_the_reservation_ends(self) -> None:
        released, done = under(policy()), under(policy())
        for ledger in (released, done):
            ledger.reserve(approved(ask(effect=ON)), NOON)
            assert rules(ledger.known("run/1").lifted) == list(TO_ON)
        released.release("run/1", NOON)
        done.settle(settled("run/1"), NOON)
        assert released.known("run/1").lifted == done.known("run/1").lifted == ()

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
