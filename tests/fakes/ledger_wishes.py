"""What a ledger may be asked, for the state machine: policies, requests, and answers of people."""

from typing import NamedTuple

from hypothesis import strategies as st

from leverframe.model.proposals import Cost
from tests.fakes.asks import BACK, OFF, ON, REVERT, ask
from tests.fakes.bookkeeper import AGENTS, Cap, Fuse, Wanted

scopes = st.sets(st.sampled_from(["agent", "repo", "subject", "lever"])).map(lambda s: tuple(sorted(s)))
some_levers = st.sets(st.sampled_from(["flip_flag", "roll_back", "open_merge_request"]), min_size=1).map(
    lambda s: tuple(sorted(s))
)
caps = st.builds(
    Cap,
    scope=scopes,
    levers=some_levers,
    unit=st.just("count"),
    max=st.sampled_from([0, 1, 2, 3, 3]),
    minutes=st.sampled_from([None, 1, 10, 60, 1440]),
    exceed=st.sampled_from(["deny", "escalate"]),
) | st.builds(
    Cap,
    scope=scopes,
    levers=some_levers,
    unit=st.just("cents"),
    max=st.sampled_from([0, 10, 30, 60, 100]),
    minutes=st.sampled_from([None, 60]),
    exceed=st.just("deny"),
)
policies = st.builds(
    Wanted,
    caps=st.lists(caps, max_size=2).map(tuple),
    level=st.sampled_from(["act", "act", "act", "act_with_approval", "observe", "propose"]),
    kill=st.sampled_from([*[False] * 7, True]),
    quorum=st.integers(1, 2),
    cooldown=st.sampled_from([None, None, None, 5]),
    silence=st.sampled_from([None, None, 120]),
    fuse=st.none()
    | st.builds(
        Fuse,
        bad=st.integers(1, 2),
        of_last=st.integers(2, 3),
        open_minutes=st.sampled_from([10, 60]),
        probe=st.integers(1, 2),
    ),
    questions=st.sampled_from([None, 0, 1]),
)
wishes = st.builds(
    ask,
    effect=st.sampled_from([OFF, ON, REVERT, BACK]),
    agent=st.sampled_from(AGENTS),
    repository=st.sampled_from(["shop", "till"]),
    subject=st.sampled_from(["A", "B"]),
    cost=st.builds(Cost, cents=st.sampled_from([0, 10, 30])),
    requesters=st.sampled_from([(), (), ("Ada@example.com",), ("ada", "edsger")]),
)


class Answer(NamedTuple):
    """What people say to a question, and how the answer may be wrong."""

    approvers: tuple[str, ...]
    minutes: int
    """How long it is still valid."""
    reused: bool
    forgets: bool
    """It does not lift every rule that asked."""
    about: str
    """This request, another one, or this one under another policy."""


answers = st.builds(
    Answer,
    approvers=st.sampled_from(
        [("ada", "grace"), ("edsger", "grace"), ("ada",), ("ada", "ada"), ("ada", "mallory"), ("one", "two")]
    ),
    minutes=st.sampled_from([60, 60, 480, 481, 0, -1]),
    reused=st.sampled_from([False, False, True]),
    forgets=st.sampled_from([False, False, False, True]),
    about=st.sampled_from(["this", "this", "this", "another", "another policy"]),
)
groups = st.sampled_from(["oncall", "leads"])
