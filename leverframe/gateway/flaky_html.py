"""The page of flaky tests as HTML. Pure: a report in, a document out. Names of tests are from outside."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from statistics import median_low
from urllib.parse import quote

from activities.records_port import (
    ExecutionTotals,
    SignatureCount,
    SuiteFigures,
    SuiteWeek,
    TestCost,
    TestLine,
)
from agents.flaky_tests.jobs import FlakyJob, cost_of
from agents.flaky_tests.words import CAUSES
from leverframe.gateway.dora_html import BAR, GAP, HEIGHT
from leverframe.gateway.flaky_report import FlakyReport, InQuarantine
from leverframe.gateway.html import Content, Html, el, page
from leverframe.model.lengths import lasting

ADDRESS = "/report/flaky"
SPANS = (7, 30, 90, 365)
"""Days that a person can choose."""
SHOWN = 20
"""Causes and dear tests; the JSON has all."""


def index(repositories: Sequence[str]) -> str:
    """Every declared repository."""
    links = [el("li", el("a", name, href=_address(name))) for name in repositories]
    shown = el("ul", links) if links else el("p", "No repository is declared.", class_="none")
    return _document("Flaky tests", el("h1", "Flaky tests"), shown)


def flaky(report: FlakyReport, *, days: int) -> str:
    """One repository."""
    title = f"Flaky tests of {report.repository}"
    head: list[Content] = [el("h1", title), el("p", _choice(report, days))]
    if not (report.figures.runs or report.weeks or report.quarantined or report.jobs):
        return _document(
            title,
            head,
            el(
                "p",
                "Nothing is known yet: no run has been folded in this time. Jobs send their reports as "
                "docs/how-to/send-test-results.md says.",
                class_="none",
            ),
        )
    return _document(
        title,
        head,
        _facts(report.figures, days),
        _quarantined(report),
        _tests("The flakiest tests", report.flakiest, "No test is flaky."),
        _tests("Broken tests", report.broken, "No test is broken."),
        _jobs(report.jobs),
        _weeks(report.weeks),
        _causes(report.figures.signatures),
        _costs(report.figures.costs),
    )


def problem(title: str, said: str) -> str:
    """A page that can't be shown, in words."""
    return _document(title, el("h1", title), el("p", said, class_="alarm"))


def _document(title: str, *content: Content) -> str:
    head = [
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("link", rel="stylesheet", href="/trains/train.css"),
        el("link", rel="stylesheet", href="/report/dora/dora.css"),
        el("link", rel="icon", href="/trains/train.svg", type="image/svg+xml"),
    ]
    trail = (("Leverframe", "/"), ("Trains", "/trains"), ("Flaky tests", ADDRESS))
    steps = [el("li", el("a", name, href=href)) for name, href in trail]
    besides = el("p", el("a", "Delivery figures", href="/report/dora"), class_="small")
    body = [el("header", el("nav", el("ul", steps), aria_label="Where"), besides), el("main", content)]
    return page(f"{title} · Leverframe", head=head, body=body)


def _address(repository: str, kind: str = "") -> str:
    return f"{ADDRESS}/{quote(repository, safe='')}{kind}"


def _choice(report: FlakyReport, days: int) -> Content:
    """Other spans, and the same as JSON."""
    links: list[Content] = [f"At {_minute(report.taken_at)} UTC. "]
    for span in SPANS:
        current = "page" if span == days else None
        href = f"{_address(report.repository)}?days={span}"
        links += [el("a", f"{span} days", href=href, aria_current=current), " · "]
    return [*links, el("a", "JSON", href=f"{_address(report.repository, '/report.json')}?days={days}")]


def _facts(figures: SuiteFigures, days: int) -> Html:
    calm, ages = figures.runs - figures.in_trouble, figures.quarantine_days
    told = {
        "Flake rate": f"{figures.flaky_ppm:,} of a million tests in runs failed and passed",
        "Runs with a flaky test": f"{figures.flaky_runs:,} of {calm:,}"
        + (f"; {figures.in_trouble:,} more were in trouble" if figures.in_trouble else ""),
        f"Lost in {days} days": f"{_took(figures.rerun_milliseconds)} of {_took(figures.milliseconds)}, in "
        "executions after a test's first in a run",
        "Verdicts now": ", ".join(f"{count:,} {verdict.value}" for verdict, count in figures.verdicts),
        "Quarantined by the evidence": f"{len(ages):,}, in the middle for {_count(median_low(ages))}, "
        f"the oldest for {ages[-1]:,}"
        if ages
        else "none",
    }
    if figures.fresh:
        told["Executed again"] = "; ".join(_again(one) for one in figures.fresh)
    if figures.causes:
        told["Likely causes"] = "; ".join(f"{CAUSES[one.cause]}: {one.tests:,}" for one in figures.causes)
    return el(
        "dl", (el("div", el("dt", name), el("dd", said)) for name, said in told.items()), class_="facts"
    )


def _again(one: ExecutionTotals) -> str:
    """What the fresh jobs for one purpose came to."""
    return f"{one.purpose}: {one.passes:,} passed and {one.failures:,} failed, in {one.jobs:,} jobs"


def _quarantined(report: FlakyReport) -> Html:
    today = report.taken_at.astimezone(UTC).date()
    read_at = report.file_read_at
    when = (
        f"The file as it was read at {_minute(read_at)} UTC."
        if read_at
        else "No worker has read the file yet."
    )
    alarm = (
        el("p", report.file_problem, " It forgives nothing.", class_="alarm") if report.file_problem else None
    )
    heads = ("Test", "Owner", "Since", "Expires", "What is known", "Signatures", "Tracked in")
    rows = [_quarantine(one, today) for one in report.quarantined]
    return _section(
        "Quarantined", heads, rows, "No test is quarantined.", before=(alarm, el("p", when, class_="small"))
    )


def _quarantine(one: InQuarantine, today: date) -> tuple[Content, ...]:
    known = one.line.verdict.value if one.line else "neither flaky nor broken now"
    entry = one.entry
    if entry is None:
        at = one.line.quarantined_at if one.line else None
        return one.test, "–", _since(at.date(), today) if at else "–", "not in the file", known, "–", "–"
    left = (entry.expires - today).days
    then = f" (in {_count(left)})" if left > 0 else ": its failures count again"
    expires: Content = (_day(entry.expires), then)
    link = el("a", "issue", href=entry.link, rel="noreferrer") if entry.link else "–"
    masks = ", ".join(mask or "not known" for mask in entry.masks)
    return one.test, entry.owner, _since(entry.since, today), expires, known, el("code", masks), link


def _tests(title: str, lines: Sequence[TestLine], empty: str) -> Html:
    heads = ("Test", "Flaky in", "Evidence")
    rows = [
        (line.test, f"{line.discordant:,} of {line.seen:,} runs", line.evidence) for line in lines[:SHOWN]
    ]
    return _section(title, heads, rows, empty)


def _jobs(jobs: Sequence[FlakyJob]) -> Html:
    heads = ("Job", "From", "Failed and passed in", "At least", "Lost", "Until it passed", "Last")
    rows = [
        (
            job.job,
            job.source,
            f"{job.flaky_runs:,} of {job.runs:,} runs",
            f"{job.at_least_ppm / 10_000:.1f} %",
            _took(job.lost_ms),
            _took(job.waited_ms),
            _minute(job.last.at),
        )
        for job in jobs[:SHOWN]
    ]
    cost = cost_of(jobs)
    said = "A job that failed names no test, and quarantines none: reports of its tests do. "
    came = f"They came of {cost.reported_runs:,} of these {cost.flaky_runs:,} runs"
    how = "." if cost.reported_runs == cost.flaky_runs else ": docs/how-to/send-test-results.md says how."
    empty = "None. Besides the train's checks, those are looked at that gateway.tests.jobs names."
    before = el("p", said, came, how, class_="small") if jobs else None
    return _section("Jobs that failed and passed at one commit", heads, rows, empty, before=before)


def _weeks(weeks: Sequence[SuiteWeek]) -> Html:
    heads = ("Week of", "Runs", "With a flaky test", "Flaky of a million", "Lost")
    rows = [
        (
            f"{week.monday}",
            f"{week.runs:,}",
            f"{week.flaky_runs:,} of {week.runs - week.in_trouble:,}",
            f"{week.flaky_ppm:,}",
            _took(week.rerun_milliseconds),
        )
        for week in weeks
    ]
    minutes = [round(week.rerun_milliseconds / 60_000) for week in weeks]
    charts = (
        _bars("Minutes lost", minutes, "live"),
        _bars("Runs with a flaky test", [week.flaky_runs for week in weeks], "failed"),
    )
    return _section("By the week", heads, rows, "No run is kept.", before=el("div", charts, class_="charts"))


def _bars(name: str, counts: Sequence[int], kind: str) -> Html:
    """One bar a week, on a scale of its own."""
    width, top = len(counts) * (BAR + GAP), max([1, *counts])
    bars = []
    for at, count in enumerate(counts):
        tall = max(1, round(HEIGHT * count / top))
        shape = {"x": str(at * (BAR + GAP)), "y": str(HEIGHT - tall), "width": str(BAR), "height": str(tall)}
        bars.append(el("rect", **shape, class_=kind if count else "none"))
    most = max(counts, default=0)
    picture = el(
        "svg",
        bars,
        viewBox=f"0 0 {max(width, 1)} {HEIGHT}",
        width=str(max(width, 1)),
        height=str(HEIGHT),
        role="img",
        aria_label=f"{name}: {sum(counts):,} in {len(counts)} weeks, at most {most:,} in one",
        class_="bars",
    )
    return el("figure", picture, el("figcaption", f"{name}: {sum(counts):,}"))


def _causes(signatures: Sequence[SignatureCount]) -> Html:
    heads = ("Signature", "Failures", "Tests", "Last")
    rows = [
        (one.fingerprint or "not known", f"{one.failures:,}", f"{one.tests:,}", _minute(one.last_at))
        for one in signatures[:SHOWN]
    ]
    return _section("Top causes, by failure signature", heads, rows, "No failure is kept.")


def _costs(costs: Sequence[TestCost]) -> Html:
    heads = ("Test", "Run again", "Took")
    rows = [(one.test, f"{one.reruns:,} times", _took(one.rerun_milliseconds)) for one in costs[:SHOWN]]
    return _section("Tests that were run again for longest", heads, rows, "No test was run again.")


def _section(
    title: str,
    heads: Sequence[str],
    rows: Iterable[tuple[Content, ...]],
    empty: str,
    before: Content = None,
) -> Html:
    """A table whose first column names the row."""
    body = [
        el(
            "tr",
            el("th", first, scope="row"),
            (el("td", cell, data_label=head) for head, cell in zip(heads[1:], cells, strict=True)),
        )
        for first, *cells in rows
    ]
    table = el(
        "table",
        el("caption", title, class_="unseen"),
        el("thead", el("tr", (el("th", head, scope="col") for head in heads))),
        el("tbody", body),
    )
    shown = el("div", table, class_="scroll") if body else el("p", empty, class_="none")
    return el("section", el("h2", title), before, shown)


def _since(day: date, today: date) -> Content:
    return _day(day), f" ({_count((today - day).days)})"


def _count(days: int) -> str:
    return f"{days:,} day" if days == 1 else f"{days:,} days"


def _day(day: date) -> Html:
    """In one piece, however narrow its column is."""
    return el("span", day.isoformat(), class_="day")


def _took(milliseconds: int) -> str:
    return lasting(timedelta(milliseconds=milliseconds))


def _minute(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
