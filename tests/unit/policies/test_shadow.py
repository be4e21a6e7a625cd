"""Observe mode: a shadow ledger of what an agent would have done, scored by what people did."""

import pytest

from leverframe.model.errors import NotFound
from policies.decision import Allowed, Denied
from policies.ledger import Ledger
from policies.reservations import (
    ShadowScore,
)
from tests.fakes.asks import NOON, ask, policy
from tests.fakes.ledgers import (
    DAY,
    ONE_AN_HOUR,
    SECOND,
    kinds,
    rules,
    under,
)


class TestObserve:
    def observing(self) -> Ledger:
        return under(policy([ONE_AN_HOUR], autonomy="observe"))

    def test_what_would_have_been_allowed_counts_only_in_the_shadow(self) -> None:
        ledger = self.observing()
        first, second = (ledger.reserve(ask(f"run/{number}"), NOON) for number in range(2))
        assert isinstance(first, Denied)
        assert isinstance(second, Denied)
        assert (first.would, second.would) == ("allow", "deny")
        assert rules(first.findings) == ["org.autonomy"]
        assert ledger.state.entries == ()
        ledger.install(policy([ONE_AN_HOUR]), NOON)
        assert isinstance(ledger.reserve(ask("run/9"), NOON), Allowed)

    def test_the_same_question_again_is_one_observation(self) -> None:
        ledger = self.observing()
        first = ledger.reserve(ask(), NOON)
        assert ledger.reserve(ask(), NOON + SECOND) == first
        assert kinds(ledger) == ["shadowed"]

    def test_the_first_score_stands_and_an_unknown_observation_is_not_found(self) -> None:
        ledger = self.observing()
        ledger.reserve(ask(), NOON)
        for matched in (True, False):
            ledger.score(ShadowScore(id="run/1", matched=matched), NOON + DAY)
        assert [entry.matched for entry in ledger.state.shadow] == [True]
        with pytest.raises(NotFound):
            ledger.score(ShadowScore(id="run/2", matched=True), NOON)
