"""`leverframe flaky list`, `show`, `stats` and `fixed`: what the store knows of a repository's tests."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from statistics import median_low
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from leverframe.cli.output import AsJson, complain, print_fields, print_json, print_table, say
from leverframe.cli.session import OfRepository, chosen, load
from leverframe.model.errors import BadInput, NotFound
from leverframe.model.lengths import lasting
from leverframe.model.untrusted import Untrusted

if TYPE_CHECKING:
    from activities.records_port import ExecutionLine, SignatureCount, SuiteFigures, TestStory
    from activities.results_port import Results, SuiteSize
    from agents.flaky_tests.causes import Named
    from agents.flaky_tests.jobs import JobCost
    from leverframe.model.quarantine import Quarantined

ALL = 20_000
"""Tests that a part of an identity is looked for in: as many as a list is made of."""
CANDIDATES = 10
SHOWN = 20
"""Rows of each table below a test or a suite; the JSON has all."""
DAYS = 30

_HOW = "docs/how-to/send-test-results.md"
_NO_FILE = (
    "not told by its reports. Where policy forbids paths, it enters the quarantine only if its class or its "
    f"suite names exactly one file of the target branch; else let the reports name files: {_HOW}"
)
_NO_MARKS = (
    "not told by its reports. Where policy forbids marks, a person must approve its quarantine; "
    f"leverframe_pytest tells them: {_HOW}"
)


def listed(
    *,
    repository: OfRepository = "",
    verdict: Annotated[
        Literal["flaky", "broken", "unknown", "healthy"] | None,
        typer.Option("--verdict", help="Only tests of which this is said now."),
    ] = None,
    quarantined: Annotated[
        bool | None,
        typer.Option(
            "--quarantined/--not-quarantined",
            help="Only tests that the evidence does, or does not, quarantine.",
        ),
    ] = None,
    order: Annotated[
        Literal["changed", "flaky", "test"],
        typer.Option("--order", help="What changed last first, what was flaky most often first, or by name."),
    ] = "changed",
    limit: Annotated[int, typer.Option(min=1, max=ALL, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List tests that have failed at least once, and what the evidence says of each."""
    from agents.flaky_tests.history import Verdict  # noqa: PLC0415 - loads when it is used

    results, name = opened(repository)
    lines, count = results.listed(
        name,
        verdict=Verdict(verdict) if verdict else None,
        quarantined=quarantined,
        order=order,
        limit=limit,
    )
    if as_json:
        print_json({"repository": name, "count": count, "tests": [asdict(line) for line in lines]})
        return
    print_table(
        ("VERDICT", "TEST", "FLAKY IN", "QUARANTINED", "LAST CHANGE"),
        [
            (
                line.verdict.value,
                line.test,
                f"{line.discordant:,} of {line.seen:,} runs",
                line.quarantined_at,
                line.changed_at,
            )
            for line in lines
        ],
        empty=_nothing(results.suite(name), name, narrowed=verdict is not None or quarantined is not None),
    )
    if count > len(lines):
        say(f"{count - len(lines):,} more: give --limit.")


def show(
    test: Annotated[str, typer.Argument(help="The whole identity, or a part that no other test has.")],
    *,
    repository: OfRepository = "",
    as_json: AsJson = False,
) -> None:
    """Show one test: its evidence, its failures' causes, its weeks, its last attempts, its quarantines."""
    results, name = opened(repository)
    story = results.story(name, test) or _by_part(results, name, test)
    entry = _entry(results, name, story.line.test)
    if as_json:
        print_json({"repository": name, **asdict(story), "in_file": entry})
    else:
        _print_story(story, entry)


def stats(
    *,
    repository: OfRepository = "",
    days: Annotated[int, typer.Option(min=1, max=400, help="How many days up to now.")] = DAYS,
    as_json: AsJson = False,
) -> None:
    """Say what flakiness costs: the flake rate, minutes lost, top causes, and the age of quarantines."""
    from agents.flaky_tests.jobs import cost_of  # noqa: PLC0415 - loads when it is used

    results, name = opened(repository)
    now = datetime.now(UTC)
    since = now - timedelta(days=days)
    figures = results.figures(name, since=since, now=now)
    jobs = cost_of(results.flaky_jobs(name, since=since, now=now))
    if as_json:
        lost = round(figures.rerun_milliseconds / 60_000)
        told = {"repository": name, "since": since, "until": now, "minutes_lost": lost, **_named(figures)}
        print_json(told | {"jobs": asdict(jobs) | {"minutes_lost": round(jobs.lost_ms / 60_000)}})
    elif not figures.runs and not jobs.jobs and not any(count for _, count in figures.verdicts):
        say(_nothing(results.suite(name), name, narrowed=False))
    else:
        _print_stats(figures, jobs, days)


def opened(repository: str) -> tuple["Results", str]:
    """Where the results are, and which repository is meant. Raises BadConfiguration, Unavailable."""
    from leverframe.bootstrap import build_results  # noqa: PLC0415 - the store loads when it is used

    settings = load()
    name = chosen(settings, repository).name
    return build_results(settings), name


def _nothing(suite: "SuiteSize", repository: str, *, narrowed: bool) -> str:
    """Why there is nothing to show, and what to do."""
    if not suite.runs and suite.waiting:
        return (
            f"{suite.waiting:,} reports of {repository} wait to be folded: a worker of the hands queue does "
            "that within ten minutes once no report of their run has come for tests.settle_minutes."
        )
    if not suite.runs:
        return f"No report of {repository} has come yet: see {_HOW}"
    if narrowed:
        return f"No test of {repository} is like that."
    return f"No test of {repository} has failed in its {suite.runs:,} runs so far."


def _by_part(results: "Results", repository: str, part: str) -> "TestStory":
    """The only test whose identity has it. Raises NotFound for none, BadInput with candidates for several."""
    lines, _ = results.listed(repository, order="test", limit=ALL)
    found = [line.test for line in lines if part in line.test]
    story = results.story(repository, found[0]) if len(found) == 1 else None
    if story is not None:
        return story
    if not found:
        suite = results.suite(repository)
        why = f"a test that has only ever passed has no story; {repository} has {suite.tests:,} tests"
        raise NotFound(
            f"no test of {repository} that has failed has {part!r} in its name: "
            + (why if suite.runs else _nothing(suite, repository, narrowed=False))
        )
    some = [f"  {test}" for test in found[:CANDIDATES]]
    more = [f"  and {len(found) - CANDIDATES:,} more"] if len(found) > CANDIDATES else []
    raise BadInput(
        "\n".join([f"{len(found):,} tests have {part!r} in their names; which one?", *some, *more])
    )


def _entry(results: "Results", repository: str, test: str) -> "Quarantined | None":
    """What the quarantine file says of the test, as a worker last read it; a bad file forgives nothing."""
    from agents.flaky_tests.quarantine_file import read  # noqa: PLC0415 - loads when it is used

    seen = results.quarantine_seen(repository)
    if seen is None or not seen.content:
        return None
    try:
        entries = read(seen.content).entries
    except BadInput as error:
        complain(str(error))
        return None
    return next((entry for entry in entries if entry.test.stored() == test), None)


def _print_story(story: "TestStory", entry: "Quarantined | None") -> None:
    line = story.line
    print_fields(
        {
            "test": line.test,
            "file": line.path or _NO_FILE,
            "marks": _marks(story.markers),
            "verdict": line.verdict.value,
            "evidence": line.evidence,
            "quarantined": line.quarantined_at,
            "in the file": f"since {entry.since}, until {entry.expires}, {entry.owner}" if entry else None,
            "tracked in": entry.link if entry else None,
            "likely cause": _cause(story.cause),
            "first seen": story.first_at,
            "last run": story.last_at,
            "lost": f"{_took(story.rerun_milliseconds)} in executions after the first of a run",
        }
    )
    _print_causes(story.signatures, of_tests=False)
    if story.executions:
        _print_executions(story.executions)
    _section("By the week")
    print_table(
        ("WEEK OF", "RUNS", "PASSED", "FAILED", "SKIPPED", "TOOK"),
        [
            (week.monday, week.runs, week.passes, week.failures, week.skips, _took(week.milliseconds))
            for week in story.weeks[-SHOWN:]
        ],
        empty="Nothing is kept by the week.",
    )
    _section("Attempts of runs in which it failed, newest first")
    print_table(
        ("AT", "OUTCOME", "ATTEMPT", "RUN", "JOB", "BRANCH", "COMMIT", "SIGNATURE"),
        [
            (one.at, one.outcome, one.attempt, one.run, one.job, one.branch, one.sha[:12], one.fingerprint)
            for one in story.attempts[:SHOWN]
        ],
        empty="None is kept any more.",
    )
    if story.events:
        _section("Quarantines, by the evidence")
        print_table(("AT", "WHAT"), [(at, what) for what, at in story.events], empty="")


def _marks(markers: tuple[str, ...] | None) -> str:
    return _NO_MARKS if markers is None else ", ".join(markers) or "none"


def _cause(cause: "Named | None") -> str | None:
    """In words; None where no fresh job has looked."""
    from agents.flaky_tests.words import CAUSES  # noqa: PLC0415 - loads when it is used

    if cause is None:
        return None
    return f"{CAUSES[cause.cause]}: {cause.why}" if cause.why else CAUSES[cause.cause]


def _print_executions(lines: "tuple[ExecutionLine, ...]") -> None:
    """Fresh jobs, as they were asked for."""
    _section("Fresh executions, newest first")
    print_table(
        ("ASKED AT", "FOR", "HOW", "COMMIT", "CHECK", "PASSED", "FAILED", "CAME TO"),
        [
            (
                one.asked_at,
                one.purpose,
                one.kind.how,
                one.sha[:12],
                one.check,
                f"{one.passes} of {one.executions}",
                one.failures,
                one.why or one.outcome,
            )
            for one in lines[:SHOWN]
        ],
        empty="",
    )


def fixed(
    test: Annotated[str, typer.Argument(help="The whole identity, or a part that no other test has.")],
    *,
    sha: Annotated[str, typer.Option("--sha", help="The landed commit that fixes it: all 40 digits.")],
    repository: OfRepository = "",
) -> None:
    """Say that a commit fixes a quarantined test: only runs that have it count from here on."""
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise BadInput(f"--sha {sha!r} is no commit: give all 40 digits, as `git rev-parse` does")
    results, name = opened(repository)
    found = (results.story(name, test) or _by_part(results, name, test)).line.test
    shown = Untrusted(found).for_terminal(200)
    if not results.claim_fix(name, found, sha):
        raise BadInput(f"{shown} is not quarantined by the evidence, so there is nothing to verify")
    say(
        f"Noted. {shown} is executed at the target's tip once that has {sha[:12]}, as often as policy "
        "allows, and released when it is clean for long enough."
    )


def _print_stats(figures: "SuiteFigures", jobs: "JobCost", days: int) -> None:
    calm, of_runs = figures.runs - figures.in_trouble, figures.flaky_runs
    ages = figures.quarantine_days
    lost, all_of_it = figures.rerun_milliseconds, figures.milliseconds
    print_fields(
        {
            "tests": f"{figures.tests:,} in a whole run of the target branch",
            "runs": f"{figures.runs:,} in {days} days; the infrastructure troubled {figures.in_trouble:,}",
            "flake rate": f"{figures.flaky_ppm:,} of a million tests in runs failed and passed; "
            f"{_percent(of_runs, calm)} of runs had such a test ({of_runs:,} of {calm:,})",
            "lost": f"{_took(lost)} in executions after the first of a run, "
            f"{_percent(lost, all_of_it)} of all executions",
            "jobs": f"{jobs.jobs:,} failed and passed at one commit, in {jobs.flaky_runs:,} runs; "
            f"{lasting(jobs.lost)} lost, {lasting(jobs.waited)} until they had passed: leverframe flaky jobs"
            if jobs.jobs
            else None,
            "verdicts": ", ".join(f"{count:,} {verdict.value}" for verdict, count in figures.verdicts),
            "quarantined": f"{len(ages):,}, in the middle for {median_low(ages):,} days, the oldest for "
            f"{ages[-1]:,} days"
            if ages
            else "none",
        }
    )
    if figures.fresh:
        _print_fresh(figures)
    _print_causes(figures.signatures, of_tests=True)
    _section("Tests that were run again for longest")
    print_table(
        ("TEST", "RUN AGAIN", "TOOK"),
        [
            (cost.test, f"{cost.reruns:,} times", _took(cost.rerun_milliseconds))
            for cost in figures.costs[:SHOWN]
        ],
        empty="No test was run again.",
    )


def _print_fresh(figures: "SuiteFigures") -> None:
    """What was executed again, and what that says."""
    from agents.flaky_tests.words import CAUSES  # noqa: PLC0415 - loads when it is used

    _section("Likely causes, of tests that fresh executions looked into")
    print_table(
        ("CAUSE", "TESTS"),
        [(CAUSES[one.cause], one.tests) for one in figures.causes],
        empty="No test was probed.",
    )
    _section("Fresh executions")
    print_table(
        ("FOR", "JOBS", "PASSED", "FAILED", "SAID NOTHING", "TOOK"),
        [
            (one.purpose, one.jobs, one.passes, one.failures, one.silent, _took(one.milliseconds))
            for one in figures.fresh
        ],
        empty="",
    )


def _print_causes(signatures: tuple["SignatureCount", ...], *, of_tests: bool) -> None:
    """Failures by their signature, the most frequent first."""
    _section("Causes, by failure signature")
    columns = ("SIGNATURE", "FAILURES", "LAST", *(("TESTS",) if of_tests else ()))
    print_table(
        columns,
        [
            (one.fingerprint or "not known", one.failures, one.last_at, *((one.tests,) if of_tests else ()))
            for one in signatures[:SHOWN]
        ],
        empty="No failure is kept.",
    )


def _named(figures: "SuiteFigures") -> dict[str, object]:
    """As JSON: verdicts by name."""
    return asdict(figures) | {"verdicts": {verdict.value: count for verdict, count in figures.verdicts}}


def _section(title: str) -> None:
    say("")
    say(title)


def _took(milliseconds: int) -> str:
    return lasting(timedelta(milliseconds=milliseconds))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"
