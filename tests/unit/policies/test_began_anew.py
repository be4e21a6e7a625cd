"""A ledger that is lost, and the one that begins anew: it goes on in its log and knows nothing of before."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from leverframe.model.outcomes import Outcome
from policies.audit import Head, Record, broken_at, chain
from policies.decision import Allowed, Denied
from policies.documents import NO_POLICY
from policies.events import Began, event_of
from policies.explain import overview_markdown
from policies.ledger import MAX_UNWRITTEN, Ledger
from policies.overview import overview
from policies.replay import Replayed, fold, replay
from policies.report import report
from policies.reservations import LedgerState
from policies.simulate import simulate
from tests.fakes.asks import NOON, ask, policy
from tests.fakes.ledger_machine import swept
from tests.fakes.ledgers import DAY, EVERYTHING, ONE_UNSETTLED, restarted, settled

LATER = NOON + DAY
HELD = policy([ONE_UNSETTLED], org="breaker: {bad: 1, of_last: 1, open_for: 1m}\n")
KEPT = {snapshot.digest: snapshot for snapshot in (NO_POLICY, HELD, policy())}


def lost() -> list[Record]:
    """The log of a ledger with an open reservation, a lowered agent and a pause."""
    ledger = Ledger(LedgerState())
    ledger.install(HELD, NOON)
    ledger.reserve(ask("run/1"), NOON)
    ledger.reserve(ask("run/2", subject="SHOP-2"), NOON)
    ledger.commit("run/2", NOON)
    ledger.settle(settled("run/2", Outcome.FAILED), NOON)
    ledger.pause(EVERYTHING, NOON)
    return ledger.unwritten


def busy(now: datetime = LATER) -> Ledger:
    """A ledger that has decided before it knows where the log ends."""
    ledger = Ledger(LedgerState())
    ledger.install(HELD, now)
    ledger.reserve(ask("run/1"), now)
    ledger.reserve(ask("run/3"), now)
    return ledger


def decisions(records: list[Record]) -> list[Replayed]:
    kinds = ("granted", "escalated", "denied", "committed", "withdrawn")
    return [replay(records, each.sequence, KEPT.__getitem__) for each in records if each.kind in kinds]


def test_a_first_ledger_begins_at_the_beginning_and_says_nothing_of_it() -> None:
    ledger = busy()
    before = ledger.state
    assert not ledger.follow(Head(), LATER)
    assert ledger.state == before
    assert ledger.state.began_anew is None


def test_what_was_decided_before_the_end_of_the_log_was_known_is_chained_after_it() -> None:
    log, ledger = lost(), busy()
    before = list(ledger.unwritten)
    assert ledger.follow(log[-1].as_head(), LATER + timedelta(minutes=1))
    began, *moved, paused = ledger.unwritten
    assert paused.kind == "paused"
    assert event_of(began) == Began(after=log[-1].as_head())
    assert began.at == LATER, "not later than what came after it"
    assert [(each.kind, each.data, each.at) for each in moved] == [
        (each.kind, each.data, each.at) for each in before
    ]
    assert broken_at([*log, *ledger.unwritten]) is None
    assert ledger.head == paused.as_head()


def test_nothing_is_granted_before_it_is_known_whether_there_was_a_ledger_before() -> None:
    ledger = Ledger(LedgerState(snapshot=HELD))
    ledger.log_known = False
    [finding] = ledger.reserve(ask("run/1"), LATER).findings
    assert (finding.rule, finding.retry_at) == ("ledger.audit", LATER + timedelta(seconds=10))
    assert ledger.unwritten == []
    ledger.follow(Head(), LATER)
    assert isinstance(ledger.reserve(ask("run/1"), LATER), Allowed)


def test_everything_is_paused_until_a_person_has_looked_at_what_was_lost() -> None:
    log, ledger = lost(), Ledger(LedgerState())
    ledger.log_known = False
    ledger.install(HELD, LATER)
    ledger.follow(log[-1].as_head(), LATER)
    [pause] = ledger.state.pauses
    assert (pause.by, pause.agent, pause.repository) == ("ledger", None, None)
    assert "only in the audit log" in pause.reason
    stopped = ledger.reserve(ask("run/1"), LATER)
    assert isinstance(stopped, Denied)
    assert stopped.paused, "the run waits for the resume"
    ledger.resume(EVERYTHING, LATER)
    assert isinstance(ledger.reserve(ask("run/1"), LATER), Allowed)


def test_a_ledger_that_nobody_has_asked_yet_says_that_it_began_anew() -> None:
    log, ledger = lost(), Ledger(LedgerState())
    assert ledger.follow(log[-1].as_head(), LATER)
    assert [each.kind for each in ledger.unwritten] == ["began", "paused"]
    assert ledger.state.began_anew == LATER
    told = overview("acme", ledger.state, LATER)
    assert told.began_anew == LATER
    assert "**The ledger began anew** at 2026-03-03 12:00:00 UTC" in overview_markdown(told)


def test_folding_the_log_gives_the_state_of_the_new_ledger_and_below_it_that_of_the_old_one() -> None:
    log, ledger = lost(), busy()
    ledger.follow(log[-1].as_head(), LATER)
    whole = [*log, *ledger.unwritten]
    assert swept(fold(whole, KEPT.__getitem__), LATER) == swept(ledger.state, LATER)
    old = fold(whole, KEPT.__getitem__, until=len(log))
    assert (len(old.entries), len(old.pauses), len(old.demotions)) == (2, 1, 1)
    assert fold(whole, KEPT.__getitem__, until=len(log) + 1) == LedgerState(
        began_anew=LATER, audit_head=ledger.unwritten[0].as_head()
    )


def test_every_decision_before_and_after_comes_out_the_same() -> None:
    log, ledger = lost(), busy()
    ledger.follow(log[-1].as_head(), LATER)
    again = decisions([*log, *ledger.unwritten])
    assert all(each.same for each in again), again
    assert [(each.reservation, each.was) for each in again] == [
        ("run/1", "allow"),
        ("run/2", "allow"),
        ("run/2", "allow"),
        ("run/1", "allow"),
        ("run/3", "deny"),
    ]


@pytest.mark.parametrize("then", [lambda ledger: ledger, restarted], ids=["at once", "in the next run"])
def test_the_same_end_again_changes_nothing(then: Callable[[Ledger], Ledger]) -> None:
    log, ledger = lost(), busy()
    ledger.follow(log[-1].as_head(), LATER)
    again = then(ledger)
    before = again.state
    assert again.unplaced
    assert not again.follow(log[-1].as_head(), LATER + DAY)
    assert again.state == before


def test_its_own_record_at_the_end_of_the_log_is_written_and_no_other_ledger_s() -> None:
    """The answer to its first write was lost, for example because a new run began meanwhile."""
    for end in (Head(), lost()[-1].as_head()):
        ledger = busy()
        ledger.follow(end, LATER)
        last, kinds = ledger.head, [each.kind for each in ledger.unwritten]
        assert not restarted(ledger).follow(ledger.unwritten[1].as_head(), LATER)
        again = restarted(ledger)
        again.follow(ledger.unwritten[1].as_head(), LATER)
        assert [each.kind for each in again.unwritten] == kinds[2:]
        assert again.head == last
        assert not again.unplaced


def test_what_the_lost_ledger_wrote_late_moves_the_new_one_once_more() -> None:
    log, ledger = lost(), busy()
    ledger.follow(log[-2].as_head(), LATER)
    assert ledger.follow(log[-1].as_head(), LATER + DAY)
    assert [each.kind for each in ledger.unwritten].count("began") == 1
    assert event_of(ledger.unwritten[0]) == Began(after=log[-1].as_head())
    assert ledger.state.began_anew == LATER
    assert broken_at([*log, *ledger.unwritten]) is None


def test_a_ledger_whose_records_the_store_has_stays_where_it_is() -> None:
    ledger = busy()
    ledger.written(1)
    before = ledger.state
    assert not ledger.follow(Head(sequence=9, hash="a" * 64), LATER)
    assert ledger.state == before


def test_records_that_were_chained_again_still_count_as_unwritten() -> None:
    log, ledger = lost(), Ledger(LedgerState(snapshot=policy()))
    for number in range(MAX_UNWRITTEN - 1):
        ledger.reserve(ask(f"run/{number}", subject=f"S-{number}"), LATER)
    assert isinstance(restarted(ledger).reserve(ask("run/last"), LATER), Allowed)
    ledger.follow(log[-1].as_head(), LATER)
    assert not isinstance(ledger.reserve(ask("run/last"), LATER), Allowed)
    ledger.written(ledger.head.sequence)
    ledger.resume(EVERYTHING, LATER)
    assert isinstance(ledger.reserve(ask("run/last"), LATER), Allowed)


def test_a_ledger_that_began_anew_has_room_for_as_many_records_as_any_other() -> None:
    ledger = Ledger(LedgerState(snapshot=policy()))
    ledger.follow(lost()[-1].as_head(), LATER)
    ledger.resume(EVERYTHING, LATER)
    while isinstance(ledger.reserve(ask(f"run/{len(ledger.unwritten)}"), LATER), Allowed):
        pass
    assert len(ledger.unwritten) == MAX_UNWRITTEN


def test_a_candidate_policy_begins_anew_where_the_ledger_did() -> None:
    log, ledger = lost(), Ledger(LedgerState())
    ledger.install(policy(), LATER)
    ledger.reserve(ask("run/3"), LATER)
    ledger.reserve(ask("run/4"), LATER)
    ledger.follow(log[-1].as_head(), LATER)
    found = simulate([*log, *ledger.unwritten], HELD, since=LATER)
    assert [(row.reservation, row.now) for row in found.changed] == [("run/4", "deny")]
    assert found.policy_digest == HELD.digest


def test_the_report_counts_across_it_and_knows_that_the_agent_is_not_lowered_any_more() -> None:
    log, ledger = lost(), busy()
    [before] = report(log, since=NOON, now=LATER).agents
    assert before.demoted
    ledger.follow(log[-1].as_head(), LATER)
    [agent] = report([*log, *ledger.unwritten], since=NOON, now=LATER).agents
    assert (agent.allowed, agent.denied, agent.demotions, agent.demoted) == (3, 1, 1, False)


def test_a_log_that_leaves_out_that_the_ledger_began_anew_does_not_hold() -> None:
    log, ledger = lost(), busy()
    ledger.follow(log[-1].as_head(), LATER)
    began, first, *_ = ledger.unwritten
    assert broken_at([*log, first]) == (first.sequence, f"record {began.sequence} is missing")
    forged = chain(log[-1].as_head(), first.kind, first.data, first.at)
    assert broken_at([*log, forged, *ledger.unwritten[2:]]) is not None
