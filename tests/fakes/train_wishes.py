"""What a state machine may wish of a train's world: its rules, what is bad in it, and its people."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from leverframe.model.changes import Author, Change
from leverframe.model.checks import Check
from leverframe.model.topology import Lane, TrainRules

NUMBERS = range(1, 8)
"""So many changes may be there in one life."""

AREAS = ("a", "b", "docs", "infra")
STRANGER = 90
"""Marks from here on come from commits that people push to the target."""

CHECKS = (
    Check(name="fast", phase="fast", command=("true",), skip_when_only=("docs/**",)),
    Check(name="slow", command=("true",), skip_when_only=("docs/**", "b/**")),
)
EXTRA = Check(name="extra", command=("true",))
LANES = (Lane(name="a", paths=("a/**",)), Lane(name="b", paths=("b/**",)))
PEOPLE = ("grace", "edsger", "ada")


@dataclass(frozen=True)
class Truth:
    """Which changes are bad, alone or only together, and which check sees it."""

    bad: tuple[tuple[str, frozenset[int]], ...] = ()

    def red(self, paths: frozenset[str], check: str) -> bool:
        """Whether the check is red on a tree with these paths."""
        names = [path.rpartition("/")[2] for path in paths]
        mended = {int(name[5:]) for name in names if name.startswith("fixed")}
        marks = {int(name[1:]) for name in names if name.startswith("m")} - mended
        return any(check == by and marks >= members for by, members in self.bad)


def _sets(least: int, most: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    members = st.frozensets(st.sampled_from(NUMBERS), min_size=least, max_size=most)
    return st.tuples(st.sampled_from(["fast", "slow", "dev"]), members)


truths = st.builds(
    lambda alone, together: Truth(
        (*alone, *together, ("fast", frozenset({STRANGER})), ("slow", frozenset({STRANGER + 1})))
    ),
    st.lists(_sets(1, 1), max_size=2),
    st.lists(_sets(2, 3), max_size=3),
)
rules = st.builds(
    TrainRules,
    track=st.just("built_in"),
    method=st.sampled_from(["merge", "squash"]),
    strategy=st.sampled_from(["speculate", "serial", "window", "aimd", "batch", "speculate"]),
    runners=st.integers(1, 4),
    window=st.integers(1, 6),
    builds_a_day=st.sampled_from(["unlimited", "unlimited", 0, 3]),
    batch=st.sampled_from([1, 4]),
    confirmations=st.integers(0, 2),
    lane_mode=st.sampled_from(["chain", "chain", "composed"]),
    lanes=st.just(LANES),
    max_overtaken=st.integers(0, 3),
    max_wait_minutes=st.sampled_from([30, 240]),
    foreign_commits=st.sampled_from(["record", "freeze"]),
)
numbers = st.sampled_from(NUMBERS)
pauses = st.sampled_from([0, 1, 2, 4, 10, 100])


@dataclass
class Person:
    """What people remember of one change of theirs."""

    area: str
    shared: int | None
    """The file that others edit, too, if any."""
    author: Author
    pushes: int = 0
    change: Change | None = None
    heads: list[str] = field(default_factory=list)
