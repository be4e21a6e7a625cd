"""Who is behind the trouble: authors who must not approve, and the agents' runs that led to it."""

from agents.contract import RunContext
from agents.sentry_spike.agent import SentrySpike
from leverframe.model.facts import ErrorFacts, FlagState, Frame
from leverframe.model.ids import reservation_id
from leverframe.model.proposals import Lever, Proposal
from leverframe.model.untrusted import Untrusted
from tests.fakes.remediation_world import BEGAN, DUE, FLAG, LIVE, SUSPECT, error_facts

RUN = "run/flaky_test/shop/TEST-1/7"


def proposed(*, author_of: str = "", run_of: str = "", **changes: object) -> Proposal:
    """The proposal on the usual spike, with one commit's author, and one that an agent's run landed."""
    facts: ErrorFacts = error_facts().model_copy(update=changes)
    commits = tuple(
        commit.model_copy(
            update={
                "author": "Ada@Example.com" if commit.sha == author_of else "grace@example.com",
                "run": RUN if commit.sha == run_of else None,
                "by_agent": commit.sha == run_of,
            }
        )
        for commit in facts.commits
    )
    context = RunContext(
        run="run/1", run_url="http://ui", repository="shop", service="shop", subject="SHOP-1", now=BEGAN
    )
    answer = SentrySpike().propose(DUE, facts.model_copy(update={"commits": commits}), context)
    assert isinstance(answer, Proposal)
    return answer


def released_with_the_crash() -> dict[str, object]:
    """Errors that came with the live release, on a line that it brought."""
    frame = Frame(path="shop/pricing.py", function=Untrusted("f"), line=1, blamed=LIVE)
    return {"flags": (), "frames": (frame,)}


def test_the_author_of_the_suspect_commit_must_not_approve_its_repair() -> None:
    assert proposed(author_of=SUSPECT).requesters == ("ada@example.com",)


def test_whoever_made_the_release_must_not_approve_its_roll_back_and_may_approve_the_rest() -> None:
    facts = error_facts(released=True)
    proposal = proposed(author_of=SUSPECT, commits=facts.commits)
    barred = {step.effect.lever: proposal.barred(step) for step in proposal.steps}
    assert barred == {
        Lever.FLIP_FLAG: ("ada@example.com",),
        Lever.ROLL_BACK: ("ada@example.com", "grace@example.com"),
        Lever.OPEN_MERGE_REQUEST: ("ada@example.com",),
    }


def test_only_the_roll_back_is_a_reaction_to_the_run_behind_the_release() -> None:
    facts = error_facts(released=True)
    proposal = proposed(run_of=LIVE, commits=facts.commits)
    assert proposal.lineage == ()
    assert [step.lineage for step in proposal.steps] == [(), (RUN,), (), ()]


def test_a_persons_change_has_no_lineage() -> None:
    assert proposed().lineage == ()


def test_the_run_that_landed_the_suspect_commit_is_the_lineage() -> None:
    assert proposed(run_of=SUSPECT).lineage == (RUN,)


def test_the_run_behind_a_release_that_is_rolled_back_is_the_lineage() -> None:
    assert proposed(run_of=LIVE, **released_with_the_crash()).lineage == (RUN,)


def test_the_run_that_switched_the_flag_is_the_lineage() -> None:
    for grant in (1, 2):
        switched = FlagState(flag=FLAG, on=True, changed_by=reservation_id(RUN, 2, grant))
        assert proposed(flag_states=(switched,)).lineage == (RUN,)


def test_a_flag_that_a_person_switched_has_no_lineage() -> None:
    switched = FlagState(flag=FLAG, on=True, changed_by="ada 2026-03-02T11:00:00+00:00")
    assert proposed(flag_states=(switched,)).lineage == ()
