"""What has to be shown before cars may land: that they are what they say, and what was tested of them.

The checks that count are those of our declaration, whatever the tree of a car says about its own.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise

from activities.backends.git_process import Git
from activities.backends.track_compose import changed_paths
from leverframe.model.changes import Car, CheckResult
from leverframe.model.errors import Refused
from leverframe.model.topology import Repository
from leverframe.model.trains import Evidence, Override


def prove(
    git: Git,
    repository: Repository,
    cars: Sequence[Car],
    checks: Sequence[CheckResult],
    *,
    override: Override | None = None,
    tested: Car | None = None,
) -> Evidence:
    """Check stacked cars, lowest first, and say what there is to show for the last one.

    Raises:
        Refused: with the first thing that is not so.
    """
    _stacked(cars)
    for car in cars:
        _as_it_says(git, car)
    top = cars[-1]
    required = _required(repository, cars)
    if override is not None:
        if tested is not None or len(cars) > 1:
            raise Refused("an override lands one car, tested on its own base")
        _agreed(repository, override)
        required = override.checks
    evidence: Evidence = "exact" if override is None else "override"
    if tested is not None and tested.sha != top.sha:
        _restacked(git, repository, cars, tested)
        evidence = "composed"
    on = tested.sha if tested is not None else top.sha
    passed = {result.check for result in checks if result.sha == on and result.outcome == "passed"}
    if missing := [name for name in required if name not in passed]:
        raise Refused(f"not proven on {on[:12]}: {', '.join(missing)}")
    return evidence


def same_closure(
    git: Git, repository: Repository, *, tested: str, landed: str, lanes: Collection[str]
) -> bool:
    """Whether no path of these lanes, and none of no lane, differs between two commits. No lanes: all."""
    # Without a bound: what other lanes landed meanwhile may be much, and is not kept.
    differ = git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", tested, landed).fields
    wanted = set(lanes)
    for path in differ:
        named = set(repository.lanes_of((path,)))
        if not wanted or not named or named & wanted:
            return False
    return True


def _stacked(cars: Sequence[Car]) -> None:
    for below, car in pairwise(cars):
        if car.base != below.sha:
            raise Refused(f"{car.sha[:12]} is not built on {below.sha[:12]}, below which it should land")
    if len({car.change for car in cars}) < len(cars):
        raise Refused("one change can't land twice in one batch")


def _as_it_says(git: Git, car: Car) -> None:
    """Tree, paths and parents are those of its method, on its base."""
    if not car.paths:
        raise Refused(f"{car.sha[:12]} changes nothing on {car.base[:12]}: there is nothing to land")
    line = _first_parents(git, car)
    if not _has_the_shape(car, [parents for _, *parents in line]):
        raise Refused(f"{car.sha[:12]} is not built on its base {car.base[:12]} by {car.method}")
    if line[0][0] != car.tree:
        raise Refused(f"{car.sha[:12]} does not have the tree that was tested")
    paths = changed_paths(git, car.base, car.sha)
    if paths != car.paths:
        raise Refused(f"{car.sha[:12]} changes other paths than its car says")


def _first_parents(git: Git, car: Car) -> list[list[str]]:
    """Tree and parents of each commit from the car down to its base."""
    listed = git.run(
        "rev-list", "--first-parent", "--no-commit-header", "--format=%T %P", f"{car.base}..{car.sha}", "--"
    )
    return [line.split() for line in listed.text.splitlines()]


def _has_the_shape(car: Car, line: list[list[str]]) -> bool:
    match car.method:
        case "merge":
            return line == [[car.base, car.head]]
        case "squash":
            return line == [[car.base]]
        case "rebase":
            return all(len(parents) == 1 for parents in line) and line[-1:] == [[car.base]]


def _required(repository: Repository, cars: Sequence[Car]) -> tuple[str, ...]:
    paths = tuple(dict.fromkeys(path for car in cars for path in car.paths))
    return tuple(check.name for check in repository.required_checks(paths))


def _agreed(repository: Repository, override: Override) -> None:
    people = {person.strip().casefold() for person in override.people}
    if len(people) < 2 or "" in people:
        raise Refused("an override needs two people, and both are named the same or not at all")
    declared = {check.name for check in repository.checks}
    if unknown := [name for name in override.checks if name not in declared]:
        told = ", ".join(unknown)
        raise Refused(f"{repository.name} declares no check {told}: an override names declared ones")


def _restacked(git: Git, repository: Repository, cars: Sequence[Car], tested: Car) -> None:
    """The last car is `tested` on another base, and nothing that its lanes build from differs."""
    (car,) = cars if len(cars) == 1 else (None,)
    if car is None:
        raise Refused("a batch lands as it was tested, never restacked past another lane")
    if repository.train.lane_mode != "composed":
        raise Refused(
            f"{car.sha[:12]} was not tested itself, and {repository.name} declares no composed lanes"
        )
    same = (tested.change, tested.head, tested.method, tested.paths)
    if same != (car.change, car.head, car.method, car.paths):
        raise Refused(f"{tested.sha[:12]}, which was tested, is not the same change as {car.sha[:12]}")
    _as_it_says(git, tested)
    lanes = repository.lanes_of(car.paths)
    if not same_closure(git, repository, tested=tested.sha, landed=car.sha, lanes=lanes):
        raise Refused(
            f"{car.sha[:12]} builds from something else than {tested.sha[:12]}, which was tested: "
            "test it itself"
        )
