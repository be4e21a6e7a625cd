"""Which outcomes a ledger keeps for breakers when no window sees them any more."""

from collections.abc import Iterable

from policies.book import Book
from policies.events import Granted, Settled
from policies.reservations import LedgerState
from policies.retention import OUTCOMES
from tests.fakes.asks import NOON, ask, policy
from tests.fakes.ledgers import DAY, SECOND, settled, under

BREAKER = "breaker: {bad: 3, of_last: 10, open_for: 1d}\n"


def settle(
    book: Book, names: Iterable[str], day: int, *, agent: str = "one", repository: str = "shop"
) -> None:
    """One effect by each name, reserved and settled on that day, a second apart."""
    ledger = under(policy())
    ledger.reserve(ask(), NOON)
    [entry] = ledger.state.entries
    intent = entry.intent.model_copy(update={"agent": agent, "repository": repository})
    for number, name in enumerate(names):
        at = NOON + day * DAY + number * SECOND
        named = entry.model_copy(update={"id": name, "intent": intent, "reserved_at": at})
        book.forget(at)
        book.apply(Granted(entry=named), at)
        book.apply(Settled(settlement=settled(name)), at)


def test_an_outcome_that_one_breaker_has_done_with_is_kept_while_another_can_read_it() -> None:
    book = Book(LedgerState(snapshot=policy(org=BREAKER, repos={"shop": BREAKER})))
    settle(book, ["run/x"], 0)
    settle(book, [f"run/{number}" for number in range(OUTCOMES + 1)], 3, repository="till")
    assert "run/x" in book.entries, "the newest in the shop"
    settle(book, [f"again/{number}" for number in range(OUTCOMES)], 4)
    assert "run/x" not in book.entries


def test_the_outcomes_of_one_agent_push_out_none_of_another() -> None:
    book = Book(LedgerState(snapshot=policy(org=BREAKER)))
    settle(book, ["run/x"], 0, agent="quiet")
    settle(book, [f"run/{number}" for number in range(OUTCOMES + 1)], 3, agent="busy")
    book.forget(NOON + 9 * DAY)
    assert "run/x" in book.entries
    assert len(book.entries) == OUTCOMES + 1
