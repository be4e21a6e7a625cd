"""Lineage: a request names the run right before it, and the ledger remembers the runs before that one."""

from policies.decision import Denied
from policies.granting import MAX_LINEAGE
from policies.ledger import Ledger
from tests.fakes.asks import NOON, ask, policy
from tests.fakes.ledgers import restarted, rules, under


def tracing(depth: int = 9) -> Ledger:
    """A ledger that allows reactions up to that depth. Its runs: b reacted to a, c to b."""
    ledger = under(policy(org=f"lineage: {{max_depth: {depth}}}\n"))
    ledger.reserve(ask("run/a/0"), NOON)
    ledger.reserve(ask("run/b/0", lineage=["run/a"]), NOON)
    ledger.reserve(ask("run/c/0", lineage=["run/b"]), NOON)
    return ledger


def lineage(ledger: Ledger, reservation: str) -> tuple[str, ...]:
    return ledger.known(reservation).intent.lineage


def test_a_lineage_goes_back_as_far_as_the_ledger_remembers() -> None:
    ledger = tracing()
    assert lineage(ledger, "run/a/0") == ()
    assert lineage(ledger, "run/b/0") == ("run/a",)
    assert lineage(ledger, "run/c/0") == ("run/a", "run/b")
    again = restarted(ledger)
    again.reserve(ask("run/d/0", lineage=["run/c"]), NOON)
    assert lineage(again, "run/d/0") == ("run/a", "run/b", "run/c")


def test_the_oldest_run_that_is_named_is_traced_and_no_run_counts_twice() -> None:
    ledger = tracing()
    ledger.reserve(ask("run/d/0", lineage=["run/c", "run/a", "run/x"]), NOON)
    assert lineage(ledger, "run/d/0") == ("run/b", "run/c", "run/a", "run/x")
    ledger.reserve(ask("run/e/0", lineage=["run/x", "run/c"]), NOON)
    assert lineage(ledger, "run/e/0") == ("run/x", "run/c"), "run/x is not known"


def test_what_the_ledger_remembers_counts_towards_the_depth() -> None:
    ledger = tracing(depth=2)
    decision = ledger.reserve(ask("run/d/0", lineage=["run/c"]), NOON)
    assert isinstance(decision, Denied)
    assert rules(decision.findings) == ["org.lineage.max_depth"]
    assert decision.findings[0].observed == "3 effects of agents led here"


def test_of_a_lineage_that_is_too_long_the_newest_runs_are_recorded() -> None:
    deepest = MAX_LINEAGE - 1
    ledger = under(policy(org=f"lineage: {{max_depth: {deepest}}}\n"))
    for number in range(MAX_LINEAGE):
        before = [f"run/{number - 1}"] if number else []
        assert ledger.reserve(ask(f"run/{number}/0", lineage=before), NOON).kind == "allow"
    assert ledger.reserve(ask("run/x/0", lineage=[f"run/{deepest}", "run/y"]), NOON).kind == "deny"
    recorded = ledger.unwritten[-1].data["intent"]["lineage"]
    assert recorded == [*(f"run/{number}" for number in range(1, MAX_LINEAGE)), "run/y"]
