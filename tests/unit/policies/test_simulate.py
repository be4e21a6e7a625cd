"""Simulation: recorded requests under a candidate policy, in their order, with their recorded ends."""

from datetime import datetime, timedelta

from leverframe.model.outcomes import Outcome
from policies.audit import Record
from policies.decision import Approval, Escalated, ReserveRequest
from policies.documents import PolicySnapshot
from policies.ledger import Ledger
from policies.reservations import LedgerState, PauseRequest, Settlement
from policies.simulate import Simulation, simulate
from tests.fakes.asks import NOON, ON, ask, policy

MINUTE = timedelta(minutes=1)
LOOSE = policy()
ONE_AN_HOUR = policy(["{id: hourly, max: 1, window: 1h}"])
ONE_HELD = policy(["{id: held, max: 1, hold: until_settled}"])


def live(snapshot: PolicySnapshot, *requests: ReserveRequest) -> Ledger:
    """A ledger that was asked these, one a minute."""
    ledger = Ledger(LedgerState())
    ledger.install(snapshot, NOON)
    for number, request in enumerate(requests):
        ledger.reserve(request, NOON + number * MINUTE)
    return ledger


def tried(ledger: Ledger, candidate: PolicySnapshot, since: datetime = NOON) -> Simulation:
    return simulate(ledger.unwritten, candidate, since=since)


def changes(found: Simulation) -> list[tuple[str, str, str]]:
    return [(row.reservation, row.was, row.now) for row in found.changed]


def test_the_policy_of_the_time_changes_nothing() -> None:
    ledger = live(ONE_AN_HOUR, *(ask(f"run/{number}") for number in range(3)))
    found = tried(ledger, ONE_AN_HOUR)
    assert (found.requests, found.changed) == (3, ())


def test_a_stricter_candidate_denies_with_its_own_findings() -> None:
    ledger = live(LOOSE, *(ask(f"run/{number}") for number in range(3)))
    found = tried(ledger, ONE_AN_HOUR)
    assert changes(found) == [("run/1", "allow", "deny"), ("run/2", "allow", "deny")]
    row = found.changed[0]
    assert (row.sequence, row.at, row.agent, row.subject) == (3, NOON + MINUTE, "sentry_spike", "SHOP-1")
    assert row.words == "switch the flag new-checkout off for everybody"
    assert [finding.rule for finding in row.findings] == ["org.limits.hourly"]


def test_what_the_candidate_lets_through_takes_its_place_in_the_candidate_s_usage() -> None:
    ledger = live(policy(kill_switch=True), *(ask(f"run/{number}") for number in range(3)))
    assert changes(tried(ledger, ONE_AN_HOUR)) == [("run/0", "deny", "allow")]


def test_recorded_ends_free_what_is_held_and_what_never_happened_holds_nothing() -> None:
    ledger = live(LOOSE, ask("run/0"), ask("run/1"))
    ledger.settle(Settlement(reservation="run/0", outcome=Outcome.LANDED), NOON + 2 * MINUTE)
    ledger.reserve(ask("run/2"), NOON + 3 * MINUTE)
    ledger.commit("run/2", NOON + 3 * MINUTE)
    ledger.reserve(ask("run/3"), NOON + 4 * MINUTE)
    assert changes(tried(ledger, ONE_HELD)) == [("run/1", "allow", "deny"), ("run/3", "allow", "deny")]
    denied = live(policy(kill_switch=True), ask("run/0"), ask("run/1"))
    assert changes(tried(denied, ONE_HELD)) == [("run/0", "deny", "allow"), ("run/1", "deny", "allow")]


def test_a_withdrawn_or_released_reservation_takes_no_place() -> None:
    ledger = live(LOOSE, ask("run/0"))
    ledger.release("run/0", NOON + MINUTE)
    ledger.reserve(ask("run/1"), NOON + 2 * MINUTE)
    ledger.pause(PauseRequest(by="ada", reason="incident"), NOON + 2 * MINUTE)
    ledger.commit("run/1", NOON + 2 * MINUTE)
    ledger.resume(PauseRequest(by="ada", reason="over"), NOON + 3 * MINUTE)
    ledger.reserve(ask("run/2"), NOON + 3 * MINUTE)
    assert tried(ledger, ONE_AN_HOUR).changed == ()


def test_a_question_and_its_answer_are_one_request() -> None:
    ledger = live(LOOSE)
    wish = ask("run/0", effect=ON)
    asked = ledger.reserve(wish, NOON)
    assert isinstance(asked, Escalated)
    approval = Approval(
        approval="approval/1",
        request_digest=wish.digest,
        policy_digest=LOOSE.digest,
        lifts=asked.findings,
        approvers=("ada",),
        expires_at=NOON + 30 * MINUTE,
    )
    ledger.reserve(wish.model_copy(update={"approval": approval}), NOON + MINUTE)
    found = tried(ledger, policy(kill_switch=True))
    assert (found.requests, changes(found)) == (1, [("run/0", "escalate", "deny")])
    assert tried(ledger, LOOSE).changed == ()


def test_people_s_yes_counts_under_the_candidate_too() -> None:
    ledger = live(LOOSE)
    wish = ask("run/0", effect=ON)
    asked = ledger.reserve(wish, NOON)
    approval = Approval(
        approval="approval/1",
        request_digest=wish.digest,
        policy_digest=LOOSE.digest,
        lifts=asked.findings,
        approvers=("ada",),
        expires_at=NOON + 30 * MINUTE,
    )
    ledger.reserve(wish.model_copy(update={"approval": approval}), NOON + MINUTE)
    ledger.reserve(ask("run/1"), NOON + 2 * MINUTE)
    assert changes(tried(ledger, ONE_AN_HOUR)) == [("run/1", "allow", "deny")]


def test_what_was_only_observed_shows_what_acting_would_mean() -> None:
    ledger = live(policy(autonomy="observe"), ask("run/0"), ask("run/1"))
    assert changes(tried(ledger, ONE_AN_HOUR)) == [("run/0", "deny", "allow")]


def test_what_the_ledger_itself_denied_says_nothing_about_policies() -> None:
    ledger = live(policy(org="storm: {window: 1h, max_subjects: 5000, on_exceed: deny}\n"))
    records: list[Record] = []
    for number in range(1001):
        ledger.reserve(ask(f"run/{number}", subject=f"S-{number}"), NOON)
        records += ledger.unwritten
        ledger.written(ledger.head.sequence)
    assert records[-1].kind == "denied"
    assert simulate(records, LOOSE, since=NOON).requests == 1000


def test_what_is_older_only_builds_up_the_usage() -> None:
    ledger = live(LOOSE, ask("run/0"), ask("run/1"))
    found = tried(ledger, ONE_AN_HOUR, since=NOON + MINUTE)
    assert (found.requests, changes(found)) == (1, [("run/1", "allow", "deny")])
    middle = simulate(ledger.unwritten[1:], ONE_AN_HOUR, since=NOON)
    assert middle.requests == 2, "a log may begin anywhere"
