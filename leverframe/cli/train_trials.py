"""`leverframe train simulate` and `train replay`: what a strategy would do, before it does it to a team."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field

from leverframe.cli.output import AsJson, print_fields, print_json, print_table
from leverframe.cli.session import OfRepository, chosen, given, lines_of, load
from leverframe.model.errors import BadInput
from leverframe.model.topology import Repository, TrainRules
from leverframe.simulation.outcome import STRATEGIES, Outcome, Strategy, simulated
from leverframe.simulation.workload import MOST_CHANGES, NEIGHBOURS, Demand, Workload

LONGEST = 1_000_000
"""Bytes of one line of a history."""

AS_GOOD = 1.05
"""A median within 5 % of the shortest counts as good as it: then fewer builds are better."""

COLUMNS = (
    "STRATEGY",
    "LANDED",
    "P50 MIN",
    "P95 MIN",
    "P99 MIN",
    "BUILDS/CHANGE",
    "ABORTED",
    "FALSE REJECTIONS",
    "LONGEST WAIT MIN",
)


class Asked(BaseModel):
    """The numbers of a simulation, as a person may give them."""

    model_config = ConfigDict(allow_inf_nan=False)

    arrivals_per_hour: float = Field(gt=0, le=1000)
    build_minutes: float = Field(gt=0, le=1440)
    failure: float = Field(ge=0, le=1)
    conflict: float = Field(ge=0, le=1)
    flake: float = Field(ge=0, le=1)
    targets: int = Field(ge=1, le=1000)
    neighbours: int = Field(ge=0, le=1000)
    hours: float = Field(gt=0, le=8784)
    seed: int = Field(ge=0)


@dataclass(frozen=True, slots=True)
class _Row:
    """One strategy with so many runners on a history."""

    runners: int
    outcome: Outcome

    @property
    def bound(self) -> bool:
        return self.outcome.strategy == "oracle"


def simulate(
    *,
    arrivals_per_hour: Annotated[float, typer.Option(help="Changes that ask to land in an hour.")] = 10.0,
    build_minutes: Annotated[float, typer.Option(help="The median of a build; log-normal.")] = 30.0,
    failure: Annotated[float, typer.Option(help="The share of changes that are bad, 0 to 1.")] = 0.05,
    conflict: Annotated[
        float, typer.Option(help="The chance that two neighbours don't go together, 0 to 1.")
    ] = 0.01,
    flake: Annotated[float, typer.Option(help="The chance that a good build is red, 0 to 1.")] = 0.0,
    runners: Annotated[int, typer.Option(help="How many cars are tested at once.")] = 20,
    targets: Annotated[int, typer.Option(help="Parts of the repository; a change touches one.")] = 1,
    neighbours: Annotated[
        int, typer.Option(help="With so many arrivals before it a change may conflict.")
    ] = NEIGHBOURS,
    hours: Annotated[float, typer.Option(help="How long changes arrive.")] = 16.0,
    seed: Annotated[int, typer.Option(help="The same seed draws the same changes.")] = 1,
    strategy: Annotated[Strategy, typer.Option(help="`oracle` knows who lands: the bound.")] = "speculate",
    window: Annotated[int, typer.Option(help="As in the train's rules.")] = 20,
    confirmations: Annotated[
        int | None, typer.Option(help="As in the train's rules, there 1; 0 if nothing flakes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try a strategy on a made-up team. The real planner decides; only builds and changes are drawn."""
    asked = given(
        Asked,
        arrivals_per_hour=arrivals_per_hour,
        build_minutes=build_minutes,
        failure=failure,
        conflict=conflict,
        flake=flake,
        targets=targets,
        neighbours=neighbours,
        hours=hours,
        seed=seed,
    )
    if arrivals_per_hour * hours > MOST_CHANGES:
        raise BadInput(
            f"{arrivals_per_hour:g} changes an hour for {hours:g} hours: at most {MOST_CHANGES} can be tried"
        )
    if confirmations is None:
        # Where nothing flakes, a second run of a red would only cost time.
        confirmations = TrainRules().confirmations if flake else 0
    rules = given(TrainRules, runners=runners, window=window, confirmations=confirmations)
    outcome, _ = simulated(Demand(**asked.model_dump()).drawn(), strategy, rules)
    if as_json:
        print_json(outcome)
    else:
        print_table(COLUMNS, [_cells(outcome)], empty="")


def replay(
    history: Annotated[
        Path,
        typer.Argument(help="JSON lines, oldest first: change, enqueued_at, build_minutes, paths, passes."),
    ],
    runners: Annotated[
        list[int] | None, typer.Option(help="How many cars are tested at once; several to compare them.")
    ] = None,
    repository: OfRepository = "",
    as_json: AsJson = False,
) -> None:
    """Try every strategy on your own past, best first; the oracle is the bound that nothing can beat.

    The declared repository's rules and lanes count where there is one, else the defaults, with the top-level
    directories as lanes.
    """
    declared = _declared(repository)
    workload, lanes = _read(history, declared)
    rules = declared.train if declared else TrainRules()
    every = [given(TrainRules, **{**dict(rules), "runners": one}) for one in runners or [rules.runners]]
    rows = _best_first([row for one in every for row in _tried(workload, one)])
    if as_json:
        print_json(
            {
                "changes": len(workload.arrivals),
                "lanes": lanes,
                "rows": [
                    {"runners": row.runners, "best": at == 0, **dict(row.outcome)}
                    for at, row in enumerate(rows)
                ],
            }
        )
        return
    print_fields({"changes": len(workload.arrivals), "lanes": lanes})
    print_table(
        ("", "RUNNERS", *COLUMNS),
        [
            ("bound" if row.bound else "" if at else "best", row.runners, *_cells(row.outcome))
            for at, row in enumerate(rows)
        ],
        empty="",
    )


def _declared(repository: str) -> Repository | None:
    """The repository to which the history belongs; None where none is declared. Raises BadConfiguration."""
    settings = load()
    return chosen(settings, repository) if repository or settings.repositories else None


def _read(history: Path, declared: Repository | None) -> tuple[Workload, int]:
    from leverframe.simulation.history import directories, read_history  # noqa: PLC0415 - only this needs it

    lanes_of = declared.lanes_of if declared and declared.train.lanes else directories
    workload = read_history(lines_of(history, longest=LONGEST), str(history), lanes_of)
    lanes = len({lane for one in workload.arrivals for lane in one.targets})
    if declared and declared.train.lane_mode == "chain":
        workload = replace(workload, composed=False)
    return workload, lanes


def _tried(workload: Workload, rules: TrainRules) -> Iterator[_Row]:
    for strategy in STRATEGIES:
        yield _Row(rules.runners, simulated(workload, strategy, rules)[0])


def _best_first(rows: list[_Row]) -> list[_Row]:
    """The best, then the others by their median; the oracle's at the end, since nobody can choose it."""
    shortest = min(row.outcome.p50_minutes for row in rows if not row.bound)

    def order(row: _Row) -> tuple[object, ...]:
        found = row.outcome
        good = found.p50_minutes <= shortest * AS_GOOD
        return row.bound, not good, found.builds_per_change if good else 0, found.p50_minutes, row.runners

    return sorted(rows, key=order)


def _cells(found: Outcome) -> tuple[object, ...]:
    return (
        found.strategy,
        found.landed,
        f"{found.p50_minutes:.1f}",
        f"{found.p95_minutes:.1f}",
        f"{found.p99_minutes:.1f}",
        f"{found.builds_per_change:.2f}",
        f"{found.aborted_share:.0%}",
        found.false_rejections,
        f"{found.max_wait_minutes:.1f}",
    )
