"""Family 11: agents that react to agents. Lineage, a place that is held, and the breaker end each loop."""

from datetime import timedelta

from agents.contract import RunContext
from agents.sentry_spike.agent import SentrySpike
from leverframe.model.facts import FlagState
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Proposal
from policies.decision import Allowed, Denied, ReserveRequest
from policies.documents import PolicySnapshot, parse
from policies.ledger import Ledger
from policies.reservations import LedgerState, Settlement
from tests.fakes.asks import LEVERS, NOON, OFF, ON, PEOPLE, ask, policy
from tests.fakes.remediation_world import BEGAN, DUE, FLAG, error_facts

FREE = LEVERS.replace("to_on: act_with_approval", "to_on: act")
TWO = ("sentry_spike", "flag_janitor")


def running(snapshot: PolicySnapshot) -> Ledger:
    """A ledger with this policy in force."""
    ledger = Ledger(LedgerState())
    ledger.install(snapshot, NOON)
    return ledger


def duelling(org: str) -> PolicySnapshot:
    """Two agents that may both switch every flag both ways, under these rules of the organisation."""
    head = f"version: 1\nautonomy: act\nkill_switch: false\n{FREE}\n"
    escalation = "escalation: {approvers: [sre-oncall], quorum: 1, expires_after: 1h}\n"
    files = {f"agents/{agent}.yaml": f"layer: agent\n{head}" for agent in TWO}
    return parse({"org.yaml": f"layer: org\n{head}{escalation}{org}", "people.yaml": PEOPLE, **files})


def test_a_spike_behind_a_flag_that_an_agent_switched_is_denied_to_agents_that_must_not_answer_agents() -> (
    None
):
    switched = FlagState(flag=FLAG, on=True, changed_by="run/flag_janitor/shop/new-pricing/4/0")
    facts = error_facts().model_copy(update={"flag_states": (switched,)})
    context = RunContext(
        run="run/1", run_url="http://ui", repository="shop", service="shop", subject="SHOP-1", now=BEGAN
    )
    answer = SentrySpike().propose(DUE, facts, context)
    assert isinstance(answer, Proposal)
    request = ask("run/1/0", answer.steps[0].effect, lineage=answer.lineage)
    for lineage, allowed in (
        ("", False),
        ("lineage: {max_depth: 0}\n", False),
        ("lineage: {max_depth: 1}\n", True),
    ):
        decision = running(policy(org=lineage)).reserve(request, NOON)
        assert isinstance(decision, Allowed) is allowed, lineage


def test_a_chain_of_agents_ends_where_the_policy_says_and_nobody_may_lift_that() -> None:
    ledger = running(policy(org="lineage: {max_depth: 2}\n"))
    led: tuple[str, ...] = ()
    for number in range(10):
        decision = ledger.reserve(ask(f"run/{number}/0", subject=f"SHOP-{number}", lineage=led), NOON)
        if not isinstance(decision, Allowed):
            break
        led = (*led, f"run/{number}")
    assert isinstance(decision, Denied)
    assert len(led) == 3, "an answer to a person, to that answer, and to the answer to it"
    assert [finding.rule for finding in decision.findings] == ["org.lineage.max_depth"]


def test_a_chain_is_counted_although_each_agent_knows_only_the_run_right_before_it() -> None:
    ledger = running(policy(org="lineage: {max_depth: 2}\n"))
    decisions = []
    for number in range(5):
        led = (f"run/{number - 1}",) if number else ()
        decisions.append(ledger.reserve(ask(f"run/{number}/0", subject=f"SHOP-{number}", lineage=led), NOON))
        ledger = Ledger(LedgerState.model_validate_json(ledger.state.model_dump_json()))
    assert [decision.kind for decision in decisions] == ["allow", "allow", "allow", "deny", "allow"]
    assert isinstance(decisions[3], Denied)
    assert [finding.rule for finding in decisions[3].findings] == ["org.lineage.max_depth"]


def test_two_agents_never_hold_the_same_flag_at_once() -> None:
    held = "limits: [{id: hands, scope: [subject], levers: [flip_flag], max: 1, hold: until_settled}]\n"
    ledger = running(duelling(held))
    first, second = (_turn(agent, number) for number, agent in enumerate(TWO))
    assert isinstance(ledger.reserve(first, NOON), Allowed)
    decision = ledger.reserve(second, NOON)
    assert isinstance(decision, Denied)
    assert [finding.rule for finding in decision.findings] == ["org.limits.hands"]


def test_two_agents_that_undo_each_other_for_days_are_both_stopped_by_how_it_turns_out() -> None:
    ledger = running(duelling("breaker: {bad: 3, of_last: 10, open_for: 7d}\n"))
    done = 0
    for number in range(200):
        now = NOON + number * timedelta(minutes=10)
        request = _turn(TWO[number % 2], number)
        if isinstance(ledger.reserve(request, now), Allowed):
            done += 1
            ledger.commit(request.reservation, now)
            ended = Settlement(reservation=request.reservation, outcome=Outcome.ROLLED_BACK)
            ledger.settle(ended, now + timedelta(minutes=1))
    assert done == 2 * 3
    assert {demotion.agent for demotion in ledger.state.demotions} == set(TWO)


def _turn(agent: str, number: int) -> ReserveRequest:
    """One agent switches the flag off, the other on again."""
    effect = OFF if agent == TWO[0] else ON
    return ask(f"run/{agent}/{number}/0", effect, agent=agent, subject="new-checkout")
