"""Replay: records applied again make the same state, and a past decision comes out the same."""

from datetime import timedelta

import pytest

from leverframe.model.errors import BadInput, NotFound
from leverframe.model.outcomes import Outcome
from policies.audit import Head, Record, chain
from policies.decision import Approval
from policies.documents import NO_POLICY, PolicySnapshot
from policies.ledger import Ledger
from policies.replay import Replayed, fold, replay
from policies.reservations import LEASE, LedgerState, PauseRequest, Settlement
from tests.fakes.asks import NOON, OFF, ON, ask, policy
from tests.fakes.ledger_machine import swept

MINUTE = timedelta(minutes=1)
STRICT = policy(["{id: hourly, max: 1, window: 1h}"])
LOOSE = policy()
OBSERVING = policy(autonomy="observe")
KEPT = {snapshot.digest: snapshot for snapshot in (NO_POLICY, STRICT, LOOSE, OBSERVING)}


def kept(digest: str) -> PolicySnapshot:
    return KEPT[digest]


def lived() -> Ledger:
    """A life with every kind of decision."""
    ledger = Ledger(LedgerState())
    ledger.install(STRICT, NOON)
    ledger.reserve(ask("run/1"), NOON)
    ledger.reserve(ask("run/2"), NOON + MINUTE)
    ledger.commit("run/1", NOON + MINUTE)
    ledger.install(LOOSE, NOON + 2 * MINUTE)
    wish = ask("run/3", effect=ON)
    asked = ledger.reserve(wish, NOON + 3 * MINUTE)
    approval = Approval(
        approval="approval/1",
        request_digest=wish.digest,
        policy_digest=LOOSE.digest,
        lifts=asked.findings,
        approvers=("ada",),
        expires_at=NOON + 30 * MINUTE,
    )
    ledger.reserve(wish.model_copy(update={"approval": approval}), NOON + 4 * MINUTE)
    ledger.reserve(
        ask("run/4", effect=ON, approval=approval.model_copy(update={"approvers": ("mallory",)})),
        NOON + 4 * MINUTE,
    )
    ledger.pause(PauseRequest(by="ada", reason="incident"), NOON + 5 * MINUTE)
    ledger.commit("run/3", NOON + 5 * MINUTE)
    ledger.resume(PauseRequest(by="ada", reason="over"), NOON + 6 * MINUTE)
    ledger.settle(Settlement(reservation="run/1", outcome=Outcome.LANDED), NOON + 6 * MINUTE)
    ledger.install(OBSERVING, NOON + 7 * MINUTE)
    ledger.reserve(ask("run/5", effect=OFF), NOON + 7 * MINUTE)
    ledger.install(LOOSE, NOON + 8 * MINUTE)
    ledger.reserve(ask("run/6"), NOON + 8 * MINUTE)
    ledger.commit("run/6", NOON + 8 * MINUTE + LEASE)
    return ledger


def decisions(records: list[Record]) -> list[Replayed]:
    kinds = ("granted", "escalated", "denied", "shadowed", "committed", "withdrawn")
    return [replay(records, record.sequence, kept) for record in records if record.kind in kinds]


def test_folding_the_records_gives_the_state() -> None:
    ledger, later = lived(), NOON + timedelta(hours=1)
    assert swept(fold(ledger.unwritten, kept), later) == swept(ledger.state, later)


def test_folding_up_to_a_record_gives_the_state_of_that_time() -> None:
    state = fold(lived().unwritten, kept, until=2)
    assert [entry.id for entry in state.entries] == ["run/1"]
    assert state.snapshot == STRICT
    assert state.audit_head.sequence == 2


def test_every_past_decision_comes_out_the_same() -> None:
    again = decisions(lived().unwritten)
    assert all(each.same for each in again), [each for each in again if not each.same]
    assert [(each.reservation, each.was) for each in again] == [
        ("run/1", "allow"),
        ("run/2", "deny"),
        ("run/1", "allow"),
        ("run/3", "escalate"),
        ("run/3", "allow"),
        ("run/4", "escalate"),
        ("run/3", "deny"),
        ("run/5", "allow"),
        ("run/6", "allow"),
        ("run/6", "deny"),
    ]
    assert again[1].findings[0].rule == "org.limits.hourly"
    assert again[0].words == "switch the flag new-checkout off for everybody"


def test_a_decision_that_was_not_what_the_policy_says_is_seen() -> None:
    """Somebody wrote a log with a whole chain, in which a denied effect was granted."""
    records = lived().unwritten
    granted, denied = records[1], records[2]
    entry = {**granted.data["entry"], "id": "run/2"}
    forged = chain(granted.as_head(), "granted", {**granted.data, "entry": entry}, denied.at)
    again = replay([*records[:2], forged], forged.sequence, kept)
    assert (again.was, again.now, again.same) == ("allow", "deny", False)


@pytest.mark.parametrize(
    ("sequence", "error", "words"),
    [
        (1, BadInput, "record 1 of the audit log is no decision, it is `installed`"),
        (999, NotFound, "the audit log has no record 999"),
    ],
)
def test_what_is_no_decision_can_not_be_replayed(sequence: int, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        replay(lived().unwritten, sequence, kept)


def test_a_log_that_does_not_begin_at_its_beginning_or_is_broken_is_bad_input() -> None:
    records = lived().unwritten
    with pytest.raises(BadInput, match="record 1 is missing"):
        fold(records[1:], kept)
    with pytest.raises(BadInput, match="does not hold at record 2"):
        fold([records[0], records[1].model_copy(update={"data": {}})], kept)
    with pytest.raises(BadInput, match="record 1 of the audit log can't be read"):
        fold([chain(Head(), "granted", {}, NOON)], kept)
