"""`leverframe flaky`: which tests are flaky, which are broken, and what the agent would have done."""

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from leverframe.cli import flaky_jobs, flaky_records
from leverframe.cli.output import AsJson, complain, print_fields, print_long_json, print_table
from leverframe.cli.session import lines_of
from leverframe.model.errors import BadInput

if TYPE_CHECKING:
    from agents.flaky_tests.replay import Judged, Replay
    from leverframe.simulation.attempt_history import Told

app = typer.Typer(
    help="Flaky tests: what is known, what they cost, and the detector on your own history.",
    no_args_is_help=True,
)
app.command("list")(flaky_records.listed)
app.command("show")(flaky_records.show)
app.command("stats")(flaky_records.stats)
app.command("jobs")(flaky_jobs.jobs)
app.command("fixed")(flaky_records.fixed)

_SHOWN = 50
"""Rows of the table; the JSON has all tests."""
_ORDER = ("broken", "flaky", "unknown", "healthy")


@app.command()
def replay(
    history: Annotated[
        Path,
        typer.Argument(
            help="JSON lines, gzipped or not: test, run, sha, branch, attempt, at, outcome, signature. "
            "Those in the order of time stream; others are sorted on disk first."
        ),
    ],
    *,
    ceiling: Annotated[
        float,
        typer.Option(
            "--ceiling",
            "--arl",
            help="Mean runs until a healthy test is quarantined once: at least so many. 1e6 is what lands by "
            "itself, 1e4 what a person approves.",
        ),
    ] = 1e6,
    main: Annotated[
        list[str] | None,
        typer.Option("--main", help="The branch that everybody's work is based on; repeat it."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that can't be used, and say how many.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Judge a past test history: what would have been quarantined, when, why, and when released.

    Each line is one attempt: `{"test": "tests/test_pay.py::test_refund", "run": "8841", "sha": "1f0c…",
    "branch": "main", "attempt": 1, "at": "2026-11-22T18:00:00Z", "outcome": "pass", "signature": null}`.
    The outcome is pass, fail, error or skip; the signature is the failure's text. Rows of several runs may be
    mixed: a run ends when it had no row for two hours of the history's time, or when too many others began.
    """
    from agents.flaky_tests.bounds import Bounds  # noqa: PLC0415 - loads when it is used
    from agents.flaky_tests.replay import MAIN, Replay  # noqa: PLC0415
    from leverframe.reports.lines import LONGEST  # noqa: PLC0415
    from leverframe.simulation.attempt_history import replayed  # noqa: PLC0415

    if not 100 <= ceiling <= 1e12:
        raise BadInput(f"--ceiling {ceiling:g}: give a number of runs from 100 to 1e12")
    started = perf_counter()
    told = replayed(
        lambda skipped: lines_of(history, longest=LONGEST, skipped=skipped),
        str(history),
        lambda: Replay(Bounds(runs_to_false_quarantine=ceiling), frozenset(main) if main else MAIN),
        skip_bad=skip_bad,
        again=history.is_file(),
    )
    result = told.replay
    if not result.runs:
        raise BadInput(f"{history} has no usable row: nothing can be said")
    seconds = round(perf_counter() - started, 3)
    _remark(told)
    if as_json:
        print_long_json(
            "tests",
            ((test, _shape(judged)) for test, judged in result.verdicts()),
            runs=result.runs,
            quarantines=result.quarantines,
            seconds=seconds,
        )
    else:
        _show(result, seconds)


def _remark(told: "Told") -> None:
    """What was left out, on stderr: stdout has the answer alone."""
    replayed, left_out = told.replay, told.left_out
    if told.sorted:
        complain("the rows were not in the order of time and were sorted first")
    if left_out.count:
        complain(
            f"{left_out.count:,} lines could not be used and were left out, the first of them: "
            + "; ".join(left_out.first)
        )
    if replayed.late:
        complain(f"{replayed.late:,} rows came after their run had ended and were left out")
    if replayed.repeated:
        complain(f"{replayed.repeated:,} rows came again and were left out")


def _shape(judged: "Judged") -> dict[str, str | None]:
    return {
        "verdict": judged.verdict.value,
        "quarantined_at": judged.quarantined_at.isoformat() if judged.quarantined_at else None,
        "released_at": judged.released_at.isoformat() if judged.released_at else None,
        "evidence": judged.evidence,
    }


def _show(replayed: "Replay", seconds: float) -> None:
    """What is not healthy, the worst first, then the sums."""
    notable, counts = [], dict.fromkeys(_ORDER, 0)
    for test, judged in replayed.verdicts():
        counts[judged.verdict.value] += 1
        if judged.verdict.value in ("broken", "flaky") or judged.quarantined_at:
            notable.append((test, judged))
    notable.sort(key=lambda one: (_ORDER.index(one[1].verdict.value), one[0]))
    print_table(
        ("VERDICT", "TEST", "QUARANTINED", "RELEASED", "EVIDENCE"),
        [
            (judged.verdict.value, test, judged.quarantined_at, judged.released_at, judged.evidence)
            for test, judged in notable[:_SHOWN]
        ],
        empty="No test is flaky or broken, and none would have been quarantined.",
    )
    print_fields(
        {
            "tests": ", ".join(f"{count:,} {name}" for name, count in counts.items()),
            "not shown": f"{len(notable) - _SHOWN:,} more; --json has all" if len(notable) > _SHOWN else None,
            "runs": replayed.runs,
            "in trouble": f"{replayed.suite.in_trouble:,} of them, by the infrastructure: no evidence",
            "quarantines": replayed.quarantines,
            "noise": f"at most {replayed.suite.noise.bound * 1e6:,.0f} in a million runs of a healthy test",
            "seconds": seconds,
        }
    )
