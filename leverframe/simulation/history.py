"""A team's own past as a workload: JSON lines of what asked to land, when, at what cost, and how it ended."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field

from leverframe.gateway.documents import parse_as
from leverframe.model.errors import BadInput
from leverframe.model.frozen import Frozen, Instant
from leverframe.simulation.workload import MOST_CHANGES, Arrival, Workload

LONGEST_SPAN = timedelta(days=400)

LanesOf = Callable[[tuple[str, ...]], tuple[str, ...]]
"""The lanes of changed paths, sorted; empty means every lane."""


class PastChange(Frozen):
    """One line of a history."""

    change: str = Field(min_length=1, max_length=500)
    enqueued_at: Instant
    build_minutes: float = Field(gt=0, le=10_080, allow_inf_nan=False)
    paths: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...]
    passes: bool
    """Whether the change was good in itself, flaky runs aside."""


def read_history(lines: Iterable[tuple[int, bytes]], name: str, lanes_of: LanesOf) -> Workload:
    """The workload of a history, composed if it has several lanes. Times count from the first change.

    Args:
        lines: numbered JSON lines, oldest first.
        name: of the file, for errors.
        lanes_of: the lanes of changed paths.

    Raises:
        BadInput: with the number of the line that is unusable, comes twice or is out of order, or that is
            one too many; also when there is no line at all.
    """
    arrivals: list[Arrival] = []
    known: dict[str, int] = {}
    first = last = None
    for number, line in lines:
        where = f"{name}:{number}"
        if number > MOST_CHANGES:
            raise BadInput(f"{where}: more than {MOST_CHANGES} changes; give a part of the history")
        past = parse_as(PastChange, line, where)
        if past.change in known:
            raise BadInput(
                f"{where}: the change is in line {known[past.change]}, too; name another ride differently"
            )
        first, before = first or past.enqueued_at, last or past.enqueued_at
        if past.enqueued_at < before:
            raise BadInput(f"{where}: enqueued_at is before that of the line above; sort the lines by it")
        if past.enqueued_at - first > LONGEST_SPAN:
            raise BadInput(f"{where}: more than {LONGEST_SPAN.days} days after the first line")
        known[past.change] = number
        last = past.enqueued_at
        at = (past.enqueued_at - first) / timedelta(minutes=1)
        arrivals.append(Arrival(number, at, past.build_minutes, past.passes, lanes_of(past.paths)))
    if not arrivals:
        raise BadInput(f"{name} holds no change")
    lanes = {lane for one in arrivals for lane in one.targets}
    return Workload(tuple(arrivals), composed=len(lanes) > 1)


def directories(paths: tuple[str, ...]) -> tuple[str, ...]:
    """The top-level directories of paths, as lanes where a repository declares none.

    Empty, so every lane, for a change that touches a file at the root or a directory whose name begins with
    a dot: those hold what everything is built with.
    """
    tops = set()
    for path in paths:
        parts = PurePosixPath(path).parts
        if len(parts) < 2 or parts[0].startswith((".", "/")):
            return ()
        tops.add(parts[0])
    return tuple(sorted(tops))
