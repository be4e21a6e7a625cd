"""Observe mode: a shadow ledger of what an agent would have done, scored by what people did."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from leverframe.model.errors import Conflict, NotFound
from leverframe.model.proposals import Cost
from policies.decision import Allowed, Denied, ReserveRequest
from policies.ledger import Ledger
from policies.reservations import (
    ShadowScore,
)
from policies.retention import MAX_SHADOWS
from tests.fakes.asks import NOON, ON, REVERT, ask, difference, policy
from tests.fakes.ledgers import (
    DAY,
    ONE_AN_HOUR,
    ONE_UNSETTLED,
    SECOND,
    kinds,
    restarted,
    rules,
    under,
)

UNMATCHED_IS_BAD = "breaker: {bad: 1, of_last: 1, open_for: 1h, bad_outcomes: [superseded]}\n"
"""An observation that people did not match counts as superseded."""


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

    def test_what_was_really_done_does_not_count_in_the_shadow(self) -> None:
        ledger = under(policy([ONE_AN_HOUR]))
        ledger.reserve(ask(), NOON)
        ledger.install(policy([ONE_AN_HOUR], autonomy="observe"), NOON)
        assert self.would(ledger, ask("run/2")) == "allow"

    def test_the_same_question_again_is_one_observation(self) -> None:
        ledger = self.observing()
        first = ledger.reserve(ask(), NOON)
        assert ledger.reserve(ask(), NOON + SECOND) == first
        assert kinds(ledger) == ["shadowed"]

    def test_the_id_of_an_observation_stands_for_its_effect_alone(self) -> None:
        ledger = self.observing()
        ledger.reserve(ask(), NOON)
        with pytest.raises(Conflict, match="use a new id"):
            ledger.reserve(ask(effect=ON), NOON)

    def test_the_first_score_stands_and_an_unknown_observation_is_not_found(self) -> None:
        ledger = self.observing()
        ledger.reserve(ask(), NOON)
        for matched in (True, False):
            ledger.score(ShadowScore(id="run/1", matched=matched), NOON + DAY)
        assert [entry.matched for entry in ledger.state.shadow] == [True]
        with pytest.raises(NotFound, match="the observation run/2"):
            ledger.score(ShadowScore(id="run/2", matched=True), NOON)

    def observed(self, *requests: ReserveRequest, org: str = "", limits: Sequence[str] = ()) -> Ledger:
        ledger = under(policy(limits, autonomy="observe", org=org))
        for request in requests:
            ledger.reserve(request, NOON)
        return ledger

    def would(self, ledger: Ledger, request: ReserveRequest, at: datetime = NOON) -> str | None:
        decision = ledger.reserve(request, at)
        assert isinstance(decision, Denied)
        return decision.would

    def test_an_observation_holds_its_place_in_the_shadow_until_it_is_scored(self) -> None:
        for matched in (True, False):
            ledger = self.observed(ask(), limits=[ONE_UNSETTLED])
            assert self.would(ledger, ask("run/2")) == "deny"
            ledger.score(ShadowScore(id="run/1", matched=matched), NOON)
            assert self.would(ledger, ask("run/3")) == "allow"
            assert self.would(restarted(ledger), ask("run/4")) == "deny"

    def test_what_would_have_been_denied_counts_neither_before_nor_after_it_is_scored(self) -> None:
        ledger = self.observed(ask("run/1"), ask("run/2"), limits=["{id: two, max: 1, window: 1h}"])
        ledger.score(ShadowScore(id="run/2", matched=True), NOON)
        assert self.would(ledger, ask("run/3"), NOON + timedelta(hours=1)) == "allow"
        assert self.would(ledger, ask("run/4"), NOON + timedelta(hours=1)) == "deny"

    def test_what_would_have_been_denied_is_no_outcome_of_the_shadow(self) -> None:
        ledger = self.observed(ask("run/1"), ask("run/2"), org=UNMATCHED_IS_BAD, limits=[ONE_AN_HOUR])
        ledger.score(ShadowScore(id="run/2", matched=False), NOON)
        assert self.would(ledger, ask("run/3"), NOON + timedelta(hours=1)) == "allow"

    def test_money_counts_in_the_shadow(self) -> None:
        limits = ["{id: money, unit: cents, max: 100, window: 1d}"]
        ledger = self.observed(ask(cost=Cost(cents=60)), limits=limits)
        assert self.would(ledger, ask("run/2", cost=Cost(cents=60))) == "deny"
        assert self.would(ledger, ask("run/3", cost=Cost(cents=40))) == "allow"

    def test_a_shadow_without_a_cost_counts_as_free_where_nothing_is_capped(self) -> None:
        ledger = self.observed(ask(), limits=["{id: money, unit: cents, max: unlimited, window: 1d}"])
        assert self.would(ledger, ask("run/2")) == "allow"

    def test_what_people_did_not_do_is_an_outcome_of_the_shadow_from_when_it_was_scored(self) -> None:
        hour = timedelta(hours=1)
        for matched, after in ((True, "allow"), (False, "deny")):
            ledger = self.observed(ask(), org=UNMATCHED_IS_BAD)
            ledger.score(ShadowScore(id="run/1", matched=matched), NOON + hour)
            for same in (ledger, restarted(ledger)):
                assert self.would(same, ask("run/2"), NOON + 2 * hour - SECOND) == after
        assert self.would(ledger, ask("run/3"), NOON + 2 * hour) == "escalate", "half open: a probe"

    def test_what_is_not_scored_yet_hides_no_outcome(self) -> None:
        two_bad = UNMATCHED_IS_BAD.replace("bad: 1, of_last: 1", "bad: 2, of_last: 2")
        ledger = self.observed(ask("run/first"), org=two_bad)
        ledger.score(ShadowScore(id="run/first", matched=False), NOON)
        for number in range(101):
            assert self.would(ledger, ask(f"run/{number}"), NOON + SECOND) == "allow"
        ledger.score(ShadowScore(id="run/7", matched=False), NOON + 2 * SECOND)
        assert self.would(ledger, ask("run/last"), NOON + 3 * SECOND) == "deny"

    def test_an_observation_keeps_how_many_files_there_were_and_not_their_names(self) -> None:
        request = ask(effect=REVERT, difference=difference("a.py", "b.py"))
        [entry] = self.observed(request).state.shadow
        assert entry.intent.difference is not None
        assert (entry.intent.difference.files, entry.intent.difference.total_files) == ((), 2)

    def test_an_observation_is_remembered_for_a_day_after_the_last_rule_saw_it(self) -> None:
        ledger = self.observed(ask(), limits=["{id: weekly, max: 9, window: 7d}"])
        ledger.lapse(NOON + 8 * DAY - SECOND)
        assert [entry.id for entry in ledger.state.shadow] == ["run/1"]
        ledger.lapse(NOON + 8 * DAY)
        assert ledger.state.shadow == ()

    def test_the_oldest_observation_gives_way_and_with_it_its_place(self) -> None:
        ledger = self.observed(ask(), limits=[f"{{id: many, max: {MAX_SHADOWS}, window: 30d}}"])
        [one] = ledger.state.shadow
        names = [f"run/{number}" for number in range(MAX_SHADOWS + 1)]
        many = tuple(one.model_copy(update={"id": name}) for name in names[:-1])
        full = Ledger(ledger.state.model_copy(update={"shadow": many}))
        assert self.would(full, ask(names[-1])) == "deny"
        assert [entry.id for entry in full.state.shadow] == names[1:]
        assert self.would(full, ask("run/x")) == "allow"
        assert len(full.state.shadow) == MAX_SHADOWS
