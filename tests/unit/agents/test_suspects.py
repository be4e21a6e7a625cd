"""Suspects and the proposal made of them: the fastest lever with a strong suspect, or a reason for none."""

from datetime import UTC, datetime, timedelta

import pytest

from agents.contract import RunContext
from agents.sentry_spike.agent import SentrySpike
from agents.sentry_spike.suspects import rank
from leverframe.model.facts import ErrorFacts, FlagObservation, FlagState, Frame, LandedCommit
from leverframe.model.proposals import FlipFlag, NoAction, Proposal, RevertChange, RollBack
from leverframe.model.untrusted import Untrusted
from tests.fakes.remediation_world import BEGAN, DUE, FLAG, LIVE, PREVIOUS, SUSPECT, error_facts

CONTEXT = RunContext(
    run="run/sentry_spike/shop/SHOP-1/1",
    run_url="http://ui/namespaces/default/workflows/run",
    repository="shop",
    service="shop",
    subject="SHOP-1",
    now=datetime(2026, 3, 2, 12, 1, tzinfo=UTC),
)


def changed(**changes: object) -> ErrorFacts:
    return error_facts().model_copy(update=changes)


def proposed(facts: ErrorFacts) -> Proposal | NoAction:
    return SentrySpike().propose(DUE, facts, CONTEXT)


def levers(facts: ErrorFacts) -> list[tuple[str, type]]:
    answer = proposed(facts)
    assert isinstance(answer, Proposal)
    return [(step.purpose, type(step.effect)) for step in answer.steps]


def test_a_flag_that_was_on_in_every_error_is_killed_then_its_commit_undone_then_it_is_restored() -> None:
    assert levers(error_facts()) == [
        ("mitigate", FlipFlag),
        ("repair", RevertChange),
        ("restore", FlipFlag),
    ]


def test_a_release_that_is_to_blame_as_well_is_rolled_back_if_the_kill_does_not_help() -> None:
    facts = error_facts(released=True)
    assert levers(facts) == [
        ("mitigate", FlipFlag),
        ("mitigate", RollBack),
        ("repair", RevertChange),
        ("restore", FlipFlag),
    ]
    answer = proposed(facts)
    assert isinstance(answer, Proposal)
    assert ", or if errors go on put production back to 222222222222 (" in answer.summary


@pytest.mark.parametrize(
    "states",
    [
        (FlagState(flag=FLAG, on=False),),
        (FlagState(flag=FLAG, on=True, kill=False),),
        (),
    ],
    ids=["off already", "not safe to kill", "unknown"],
)
def test_a_flag_that_can_not_be_killed_is_no_suspect(states: tuple[FlagState, ...]) -> None:
    assert rank(changed(flag_states=states)).flags == ()


def test_two_flags_that_are_always_on_together_accuse_each_other() -> None:
    seen = (
        FlagObservation(flag=FLAG, value=True, errors=38),
        FlagObservation(flag="other", value=True, errors=38),
    )
    states = (FlagState(flag=FLAG, on=True), FlagState(flag="other", on=True))
    suspects = rank(changed(flags=seen, flag_states=states))
    assert [suspect.score_ppm for suspect in suspects.flags] == [500_000, 500_000]
    assert suspects.flag is None


def test_the_flag_that_the_crash_path_is_named_after_outweighs_its_companions() -> None:
    names = ("express-checkout", "gift-wrap", "new-pricing")
    facts = changed(
        flags=tuple(FlagObservation(flag=name, value=True, errors=38) for name in names),
        flag_states=tuple(FlagState(flag=name, on=True) for name in names),
        frames=(Frame(path="shop/gift_wrap.py", function=Untrusted("paper"), line=11, blamed=SUSPECT),),
    )
    flag = rank(facts).flag
    assert flag is not None
    assert (flag.name, flag.score_ppm) == ("gift-wrap", 1_000_000)


def test_errors_that_came_with_the_release_roll_it_back() -> None:
    frames = (Frame(path="shop/pricing.py", function=Untrusted("f"), line=1, blamed=LIVE),)
    assert levers(changed(flags=(), frames=frames)) == [("mitigate", RollBack), ("repair", RevertChange)]
    answer = proposed(changed(flags=(), frames=frames))
    assert isinstance(answer, Proposal)
    assert answer.steps[0].effect == RollBack(service="shop", to=PREVIOUS)


def test_an_old_release_is_not_blamed_for_errors_that_began_by_themselves() -> None:
    release = rank(changed(flags=(), frames=())).release
    assert release is not None
    assert release.score_ppm == 300_000


def test_errors_that_began_right_after_the_release_landed_blame_it() -> None:
    commits = (
        LandedCommit(sha=LIVE, subject=Untrusted("x"), landed_at=BEGAN - timedelta(hours=1), paths=()),
    )
    suspects = rank(changed(flags=(), frames=(), commits=commits))
    assert suspects.bad_release is not None


def test_errors_that_a_flag_tells_apart_blame_no_release_for_its_time_alone() -> None:
    commits = (
        LandedCommit(sha=LIVE, subject=Untrusted("x"), landed_at=BEGAN - timedelta(hours=1), paths=()),
    )
    suspects = rank(changed(frames=(), commits=commits))
    assert suspects.flag is not None
    assert suspects.release is not None
    assert (suspects.release.score_ppm, suspects.bad_release) == (500_000, None)


def test_without_a_previous_release_nothing_is_rolled_back() -> None:
    frames = (Frame(path="shop/pricing.py", function=Untrusted("f"), line=1, blamed=LIVE),)
    answer = proposed(changed(flags=(), frames=frames, previous=None))
    assert not isinstance(answer, Proposal) or all(step.purpose != "mitigate" for step in answer.steps)


def test_the_crash_frame_outweighs_its_callers() -> None:
    frames = tuple(
        Frame(path="a.py", function=Untrusted("f"), line=line, blamed=sha)
        for line, sha in ((1, SUSPECT), (2, PREVIOUS))
    )
    assert [suspect.name for suspect in rank(changed(frames=frames)).commits] == [SUSPECT, PREVIOUS]


def test_a_commit_made_by_an_agent_is_marked_and_never_reverted() -> None:
    commits = tuple(
        commit.model_copy(update={"by_agent": commit.sha == SUSPECT}) for commit in error_facts().commits
    )
    facts = changed(commits=commits)
    assert "made by an agent" in rank(facts).commits[0].why
    assert levers(facts) == [("mitigate", FlipFlag)]


def with_first(**changes: object) -> ErrorFacts:
    """The suspect commit is the repository's first."""
    commits = tuple(
        commit.model_copy(update={"first": commit.sha == SUSPECT}) for commit in error_facts().commits
    )
    return changed(commits=commits, **changes)


def test_the_first_commit_is_never_reverted_for_nothing_stood_before_it() -> None:
    assert levers(with_first()) == [("mitigate", FlipFlag)]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (changed(sampled=2), "only 2 events"),
        (
            with_first(flags=(), releases=()),
            "is the repository's first, with nothing before it to go back to",
        ),
        (changed(flags=(), frames=(), releases=()), "names a flag, a release or a commit"),
        (changed(flags=(), frames=()), "no suspect is strong enough"),
    ],
)
def test_thin_evidence_proposes_nothing_and_says_why(facts: ErrorFacts, why: str) -> None:
    answer = proposed(facts)
    assert isinstance(answer, NoAction)
    assert why in answer.why
