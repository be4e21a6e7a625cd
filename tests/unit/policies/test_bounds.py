"""The ledger's bounds: what it keeps, for how long, and what it answers when it is full."""

from policies.decision import Allowed, Denied
from policies.ledger import MAX_UNWRITTEN, Ledger
from policies.reservations import (
    Committed,
    LedgerStart,
    Phase,
)
from policies.retention import MAX_ENTRIES, MAX_FILES, MAX_SUBJECTS
from tests.fakes.asks import NOON, REVERT, ask, delta, difference, policy
from tests.fakes.ledgers import (
    EVERYTHING,
    ONE_UNSETTLED,
    rules,
    settled,
    under,
)


class TestBounds:
    def test_a_full_ledger_denies_instead_of_growing_and_fits_into_one_message(self) -> None:
        ledger = under(policy())
        ledger.reserve(ask(), NOON)
        entry = ledger.known("run/1")
        many = tuple(
            entry.model_copy(update={"id": f"run/sentry_spike/shop/SHOP-{number:012x}/1/0"})
            for number in range(MAX_ENTRIES)
        )
        full = Ledger(ledger.state.model_copy(update={"entries": many}))
        decision = full.reserve(ask("run/new"), NOON)
        assert isinstance(decision, Denied)
        assert rules(decision.findings) == ["ledger.capacity"]
        assert isinstance(full.commit(many[0].id, NOON), Committed), "what is on its way goes on"
        start = LedgerStart.of("acme", full.state)
        assert len(start.model_dump_json()) < 2_000_000
        assert start.state.entries == full.state.entries

    def test_long_lists_of_files_are_bounded_together(self) -> None:
        ledger = under(policy())
        files = tuple(delta(f"src/{number}.py") for number in range(300))
        asks = MAX_FILES // 300 + 1
        decisions = [
            ledger.reserve(ask(f"run/{number}", effect=REVERT, difference=difference(*files)), NOON)
            for number in range(asks)
        ]
        assert [decision.kind for decision in decisions] == ["allow"] * (asks - 1) + ["deny"]
        ledger.commit("run/0", NOON)
        ledger.written(ledger.head.sequence)
        assert isinstance(
            ledger.reserve(ask("x", effect=REVERT, difference=difference(*files)), NOON), Allowed
        )

    def test_more_subjects_than_storms_are_counted_by_get_nothing(self) -> None:
        ledger = under(policy(org="storm: {window: 1h, max_subjects: 5000, on_exceed: escalate}\n"))
        for number in range(MAX_SUBJECTS):
            assert isinstance(ledger.reserve(ask(f"run/{number}", subject=f"S-{number}"), NOON), Allowed)
            ledger.written(ledger.head.sequence)
        assert rules(ledger.reserve(ask("run/x", subject="another"), NOON).findings) == ["ledger.capacity"]
        assert isinstance(ledger.reserve(ask("run/y", subject="S-1"), NOON), Allowed)
        assert isinstance(ledger.reserve(ask("run/z", subject="T", repository="till"), NOON), Allowed)

    def test_what_can_not_be_recorded_is_not_granted_but_what_is_on_its_way_ends(self) -> None:
        ledger = under(policy([ONE_UNSETTLED]))
        for number in range(MAX_UNWRITTEN):
            ledger.reserve(ask(f"run/{number}"), NOON)
        stopped = ledger.reserve(ask("late", subject="other"), NOON)
        assert isinstance(stopped, Denied)
        assert rules(stopped.findings) == ["ledger.audit"]
        assert len(ledger.unwritten) == MAX_UNWRITTEN, "and asking in vain adds nothing"
        assert isinstance(ledger.commit("run/0", NOON), Committed)
        assert ledger.settle(settled("run/0"), NOON).phase is Phase.SETTLED
        assert ledger.pause(EVERYTHING, NOON).pauses
        ledger.resume(EVERYTHING, NOON)
        ledger.written(ledger.head.sequence)
        assert ledger.unwritten == []
        assert isinstance(ledger.reserve(ask("late", subject="other"), NOON), Allowed)

    def test_records_that_list_many_files_count_as_many(self) -> None:
        ledger = under(policy(kill_switch=True))
        files = tuple(delta(f"src/{number}.py") for number in range(300))
        for number in range(100):
            ledger.reserve(ask(f"run/{number}", effect=REVERT, difference=difference(*files)), NOON)
        assert len(ledger.unwritten) < MAX_UNWRITTEN // 10
