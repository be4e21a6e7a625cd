"""The delivery figures as HTML. Pure: a report in, a document out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from leverframe.dora.figures import Figures, Report, Week
from leverframe.dora.words import besides, lines
from leverframe.gateway.html import Content, Html, el, page

ADDRESS = "/report/dora"
SPANS = (7, 30, 90, 365)
"""Days that a person can choose."""

BAR, GAP, HEIGHT = 9, 3, 40
"""Of the charts, in pixels: the width of a week, the space beside it, the height of the fullest one."""


def dora(report: Report, *, days: int, service: str | None) -> str:
    """The figures of a time, for each service and for all together."""
    shown = report.services if len(report.services) == 1 else (*report.services, report.total)
    return _document(
        "Delivery figures",
        el("h1", "Delivery figures"),
        el("p", f"From {_day(report.since)} to {_day(report.until)} UTC. ", _choice(days, service)),
        [_one(figures, service) for figures in shown],
        el("section", el("h2", "How to read them"), el("ul", (el("li", note) for note in report.notes))),
        _definitions(report),
    )


def problem(title: str, said: str) -> str:
    """A page that can't be shown, in words."""
    return _document(title, el("h1", title), el("p", said, class_="alarm"))


def _document(title: str, *content: Content) -> str:
    head = [
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("link", rel="stylesheet", href="/trains/train.css"),
        el("link", rel="stylesheet", href=f"{ADDRESS}/dora.css"),
        el("link", rel="icon", href="/trains/train.svg", type="image/svg+xml"),
    ]
    trail = (("Leverframe", "/"), ("Trains", "/trains"), ("Delivery figures", ADDRESS))
    steps = [el("li", el("a", name, href=href)) for name, href in trail]
    besides = el("p", el("a", "Flaky tests", href="/report/flaky"), class_="small")
    body = [el("header", el("nav", el("ul", steps), aria_label="Where"), besides), el("main", content)]
    return page(f"{title} · Leverframe", head=head, body=body)


def _choice(days: int, service: str | None) -> Content:
    """Other spans, and the same as JSON."""
    links: list[Content] = []
    for span in SPANS:
        current = "page" if span == days else None
        links += [el("a", f"{span} days", href=_address(span, service), aria_current=current), " · "]
    return [*links, el("a", "JSON", href=_address(days, service, ".json"))]


def _address(days: int, service: str | None, kind: str = "") -> str:
    query = {"days": str(days)} | ({"service": service} if service else {})
    return f"{ADDRESS}{kind}?{urlencode(query)}"


def _one(figures: Figures, service: str | None) -> Html:
    name = figures.service or "All services"
    heads = ("Figure", "Value", "Of what")
    rows = [
        el(
            "tr",
            el("th", line.name, scope="row", class_="part" if line.part else None),
            el("td", line.value, data_label="Value"),
            el("td", line.detail, data_label="Of what", class_="small"),
        )
        for line in lines(figures)
    ]
    known = figures.known_from
    since = f" On record since {_day(known)} UTC." if known else ""
    return el(
        "section",
        el("h2", name),
        _charts(figures.weeks) if figures.service or service is None else None,
        el(
            "div",
            el(
                "table",
                el("caption", f"The figures of {name}", class_="unseen"),
                el("thead", el("tr", (el("th", head, scope="col") for head in heads))),
                el("tbody", rows),
            ),
            class_="scroll",
        ),
        el("p", besides(figures), since, class_="small") if known else None,
    )


def _charts(weeks: Sequence[Week]) -> Html:
    """Bars by the week, and the same numbers as a table for whoever does not see them."""
    went_live = [week.deployments for week in weeks]
    failed = [week.caught + week.escaped for week in weeks]
    rework = [week.rework for week in weeks]
    top = max([1, *went_live, *failed])
    series = (
        ("Live by the week", went_live, "live"),
        ("Failed", failed, "failed"),
        ("Rework", rework, "rework"),
    )
    heads = ("Week of", "Live", "Caught in canary", "Escaped", "Rework")
    numbers = [
        el(
            "tr",
            el("th", f"{week.begins:%Y-%m-%d}", scope="row"),
            (
                el("td", str(count), data_label=head)
                for head, count in zip(
                    heads[1:], (week.deployments, week.caught, week.escaped, week.rework), strict=True
                )
            ),
        )
        for week in weeks
    ]
    return el(
        "div",
        el("div", (_bars(name, counts, top, kind) for name, counts, kind in series), class_="charts"),
        el(
            "details",
            el("summary", "By the week, in numbers"),
            el(
                "table",
                el("thead", el("tr", (el("th", head, scope="col") for head in heads))),
                el("tbody", numbers),
            ),
        ),
    )


def _bars(name: str, counts: Sequence[int], top: int, kind: str) -> Html:
    """One bar a week. All charts of a service have one scale."""
    width = len(counts) * (BAR + GAP)
    bars = []
    for at, count in enumerate(counts):
        tall = max(1, round(HEIGHT * count / top))
        shape = {"x": str(at * (BAR + GAP)), "y": str(HEIGHT - tall), "width": str(BAR), "height": str(tall)}
        bars.append(el("rect", **shape, class_=kind if count else "none"))
    said = f"{name}: {sum(counts)} in {len(counts)} weeks, at most {max(counts, default=0)} in one"
    picture = el(
        "svg",
        bars,
        viewBox=f"0 0 {max(width, 1)} {HEIGHT}",
        width=str(max(width, 1)),
        height=str(HEIGHT),
        role="img",
        aria_label=said,
        class_="bars",
    )
    return el("figure", picture, el("figcaption", f"{name}: {sum(counts)}"))


def _definitions(report: Report) -> Html:
    source = report.definitions[0].source
    told = [
        (el("dt", each.name), el("dd", el("q", each.quoted), el("p", "Here: ", each.here, class_="small")))
        for each in report.definitions
    ]
    return el(
        "section",
        el("h2", "Definitions"),
        el(
            "p",
            "DORA's words, from ",
            el("a", source, href=source, rel="noreferrer"),
            ", and what they are here.",
        ),
        el("dl", told, class_="definitions"),
    )


def _day(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
