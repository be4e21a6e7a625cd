"""A flag's ladder: nothing but harm takes it back, and nothing but evidence gives it to more users."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from leverframe.model.flags import INTERNAL, FlagHealthDocument, VariantCounts
from leverframe.model.topology import RolloutPlan, RolloutStep
from tests.fakes.rollout_world import plan
from workflows.flag_rollout.ladder import Ladder, Move, external_rules, internal_rules

T0 = datetime(2026, 1, 1, tzinfo=UTC)
EVERY = timedelta(seconds=10)


class Traffic:
    """Documents ten seconds apart; each call is one more of them."""

    def __init__(self, since: datetime = T0) -> None:
        self.since = since
        self.looks = 0
        self.counts: dict[str, tuple[int, int]] = {}

    def document(self, **more: tuple[int, int]) -> FlagHealthDocument:
        """`on=(requests, errors)` since the document before."""
        self.looks += 1
        for variant, (requests, errors) in more.items():
            had = self.counts.get(variant, (0, 0))
            self.counts[variant] = (had[0] + requests, had[1] + errors)
        return FlagHealthDocument(
            service="shop",
            flag="f",
            counting_since=self.since,
            taken_at=T0 + self.looks * EVERY,
            variants=tuple(
                VariantCounts(variant=name.replace("internal", INTERNAL), requests=requests, errors=errors)
                for name, (requests, errors) in self.counts.items()
            ),
        )


def at_the_foot() -> Ladder:
    return Ladder.at_the_foot(plan(5, 100), ("on",), ("off",), T0)


def looked(ladder: Ladder, traffic: Traffic, times: int, **more: tuple[int, int]) -> tuple[Ladder, Move]:
    """So many looks in which the same comes each time, until one moves."""
    move = None
    for _ in range(times):
        ladder, move = ladder.observed(traffic.document(**more), T0 + traffic.looks * EVERY)
        if move.kind != "hold":
            break
    assert move is not None
    return ladder, move


def test_internal_users_come_first_and_steps_only_grow() -> None:
    assert [step.percent for step in RolloutPlan().steps] == [0, 1, 5, 25, 50, 100]
    for percents in ((5, 100), (), (0, 5), (0, 50, 25, 100), (0, 5, 5, 100)):
        with pytest.raises(ValidationError, match=r"internal users alone|grow up to 100"):
            RolloutPlan(steps=tuple(RolloutStep(percent=each) for each in percents))
    chosen = RolloutPlan().with_percents((0, 3, 30, 100))
    assert [(step.percent, step.excludes) for step in chosen.steps] == [
        (0, "nothing"), (3, 10.0), (30, 3.0), (100, "nothing"),
    ]  # fmt: skip


def test_the_promise_is_shared_between_internal_users_and_all_the_others() -> None:
    inside, outside = internal_rules(RolloutPlan()), external_rules(RolloutPlan())
    assert inside.alpha + outside.alpha == pytest.approx(RolloutPlan().gate.alpha)
    assert (inside.r0, outside.r0) == (3, 1.0)


def test_without_requests_it_holds_for_ever() -> None:
    ladder, move = looked(at_the_foot(), Traffic(), 50, off=(1000, 0))
    assert (move.kind, move.verdict.colour) == ("hold", "hold")
    assert "0 of 20 requests with the flag on have come" in move.verdict.reason
    assert ladder.overdue(T0 + timedelta(hours=1))


def test_blind_is_neither_green_nor_red() -> None:
    ladder = at_the_foot()
    for _ in range(50):
        ladder, move = ladder.observed(None, T0)
        assert move.kind == "hold"
    assert "holding, blind" in move.verdict.reason


def test_internal_users_are_compared_by_themselves_and_not_with_users_picked_by_chance() -> None:
    traffic = Traffic()
    ladder, move = looked(at_the_foot(), traffic, 20, internal=(50, 0), on=(50, 50), off=(1000, 1))
    assert move.kind == "advance"
    ladder = ladder.climbed(T0)
    assert (ladder.step.percent, ladder.seen, ladder.before) == (5, {}, {})
    ladder, move = looked(ladder, traffic, 20, internal=(50, 50), on=(50, 0), off=(1000, 1))
    assert move.kind == "advance"
    assert move.verdict.canary_errors == 0


def test_harm_is_red_in_words_of_flags() -> None:
    _, move = looked(at_the_foot(), Traffic(), 20, internal=(50, 25), off=(1000, 1))
    assert (move.kind, move.verdict.colour) == ("take_back", "red")
    assert move.verdict.reason.startswith("errors with the flag: ")
    assert "canary" not in move.verdict.reason


def test_when_everybody_has_it_it_is_compared_with_those_who_lacked_it_before() -> None:
    traffic, ladder = Traffic(), at_the_foot()
    for _ in range(2):
        ladder, move = looked(ladder, traffic, 20, internal=(50, 0), on=(200, 1), off=(1000, 5))
        assert move.kind == "advance"
        ladder = ladder.climbed(T0)
    _, good = looked(ladder, traffic, 20, on=(1000, 5))
    assert good.kind == "finish"
    assert "without it in the earlier steps: " in good.verdict.reason
    _, bad = looked(ladder, traffic, 20, on=(1000, 400))
    assert bad.kind == "take_back"


def test_a_source_that_began_anew_is_counted_from_there() -> None:
    ladder, _ = looked(at_the_foot(), Traffic(), 3, internal=(50, 0), off=(1000, 0))
    anew = Traffic(since=T0 + timedelta(hours=1))
    ladder, move = looked(ladder, anew, 1, internal=(1, 1), off=(5, 0))
    assert (move.kind, move.verdict.reason) == ("hold", "the counts began anew")
    assert looked(ladder, anew, 20, internal=(50, 0), off=(1000, 0))[1].kind == "advance"


def test_a_person_who_holds_it_keeps_it_there_unless_it_harms() -> None:
    traffic, ladder = Traffic(), at_the_foot()
    for _ in range(20):
        document = traffic.document(internal=(50, 0), off=(1000, 0))
        ladder, move = ladder.observed(document, T0, held=True)
        assert move.kind == "hold"
    for _ in range(20):
        ladder, move = ladder.observed(traffic.document(internal=(50, 50), off=(1000, 0)), T0, held=True)
    assert move.kind == "take_back"
    assert not ladder.overdue(T0 + timedelta(days=9)), "held by a person: nobody needs to be told"
