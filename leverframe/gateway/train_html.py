"""The trains' pages as HTML. Pure: a view of a train in, a document out; no text from outside is markup."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from urllib.parse import quote

from leverframe.gateway.html import Content, Html, el, page
from leverframe.model.lengths import lasting
from leverframe.model.topology import Repository
from workflows.merge_train import learning, words
from workflows.merge_train.view import STATES, CarView, CheckView, EndedView, OtherCar, TrainView

CHECKS = MappingProxyType(
    {
        "passed": ("✓", "green"),
        "failed": ("✗", "red"),
        "inconclusive": ("?", "no verdict"),
        "missing": ("…", "to come"),
    }
)

MODES = MappingProxyType(
    {
        "open": "open",
        "drain": "frozen: drains",
        "hold_landing": "frozen: holds landings",
        "hotfix_only": "frozen: hotfixes only",
    }
)

ENDINGS = MappingProxyType(
    {
        "check_failed": "a check failed",
        "check_inconclusive": "no verdict",
        "conflict": "conflict",
        "incompatible": "incompatible",
        "withdrawn": "withdrawn",
        "head_moved": "newer head",
        "refused": "refused by the forge",
        "empty": "nothing left to land",
    }
)
"""Why a change left, in two or three words."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a page's links go, and the moment that it is of."""

    ui: str
    """Where the Temporal UI shows workflows, with the closing slash."""
    now: datetime


def index(trains: Sequence[tuple[Repository, TrainView | str]], place: Place) -> str:
    """Every declared train in one table; a text stands for one that does not answer."""
    rows = [_row(repository, found, place) for repository, found in trains]
    table = el(
        "table",
        el("thead", el("tr", (el("th", head, scope="col") for head in _HEADS))),
        el("tbody", rows),
    )
    shown = (
        el("div", table, class_="scroll") if rows else el("p", "No repository is declared.", class_="none")
    )
    return _document("Trains", el("h1", "Merge trains"), shown, trail=())


def train(shown: TrainView, target: str, place: Place, *, version: str) -> str:
    """One train. `version` names the view that it draws."""
    at = address(shown.repository, target)
    return _document(
        f"{shown.repository} {target}: {MODES[shown.mode]}",
        el("h1", shown.repository, " ", el("span", target, class_="branch")),
        _alarms(shown, target, place),
        _facts(shown, target, place),
        _line(shown, target, place),
        _lately(shown, place),
        trail=(("Trains", "/trains"),),
        view=f"{at}/view.json",
        version=version,
    )


def problem(title: str, said: str, *, view: str | None = None) -> str:
    """A page that can't be shown, in words. With `view` it looks again by itself."""
    body = el("p", said, class_="alarm")
    return _document(title, el("h1", title), body, trail=(("Trains", "/trains"),), view=view)


def address(repository: str, target: str) -> str:
    """The path of a train's page."""
    return f"/trains/{quote(repository)}/{quote(target)}"


def _document(
    title: str,
    *content: Content,
    trail: Sequence[tuple[str, str]],
    view: str | None = None,
    version: str = "",
) -> str:
    live = view is not None
    head = [
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("link", rel="stylesheet", href="/trains/train.css"),
        el("link", rel="icon", href="/trains/train.svg", type="image/svg+xml"),
        el("script", src="/trains/train.js", defer=True) if live else None,
    ]
    steps = [el("li", el("a", name, href=href)) for name, href in trail]
    body = [
        el("a", "Skip to the train", href="#train", class_="skip") if live else None,
        el(
            "header",
            el("nav", el("ul", el("li", el("a", "Leverframe", href="/")), steps), aria_label="Where"),
            el(
                "p",
                el("a", "Delivery figures", href="/report/dora"),
                " · ",
                el("a", "Flaky tests", href="/report/flaky"),
                class_="small",
            ),
        ),
        el("main", content, id="train", tabindex="-1", data_view=view, data_version=version),
        _pulse() if live else None,
    ]
    return page(f"{title} · Leverframe", head=head, body=body)


def _pulse() -> Html:
    """Whether the page is up to date; without scripts it says how to make it so."""
    return el(
        "footer",
        el("p", "This page does not change by itself: reload it.", id="pulse", role="status"),
        el("button", "Pause", id="pause", type="button", aria_pressed="false", hidden=True),
    )


_HEADS = ("Repository", "Target", "State", "Cars", "Under test", "Last ride")


def _row(repository: Repository, found: TrainView | str, place: Place) -> Html:
    link = el("a", repository.name, href=address(repository.name, repository.target))
    begin = (el("th", link, scope="row"), el("td", repository.target, data_label="Target"))
    if isinstance(found, str):
        return el("tr", begin, el("td", found, colspan="4", data_label="State", class_="bad"))
    last = found.ended[0] if found.ended else None
    told: tuple[Content, ...] = (
        _pill(MODES[found.mode], "ok" if found.mode == "open" else "bad"),
        str(found.queued),
        str(found.runners_busy),
        (last.change, " ", _how(last), ", ", _ago(last.at, place)) if last else "none yet",
    )
    return el(
        "tr", begin, (el("td", each, data_label=head) for head, each in zip(_HEADS[2:], told, strict=True))
    )


def _alarms(shown: TrainView, target: str, place: Place) -> Iterator[Html]:
    """What a person has to know first: a freeze, a red target, what the audit found."""
    freeze = shown.freeze
    if freeze is not None:
        red = freeze.owner == learning.RED_MAIN
        until = f"until {_clock(freeze.until)}" if freeze.until else "until somebody thaws it"
        yield el(
            "section",
            el("h2", f"{target} is red" if red else "The train is frozen"),
            el("p", el("strong", f"{words.FROZEN[freeze.mode].capitalize()}. "), freeze.reason),
            el(
                "p",
                f"By {freeze.owner}, for ",
                _age(freeze.since, place),
                f", {until}. ",
                el("code", "leverframe train thaw --reason …"),
                class_="small",
            ),
            class_="alarm",
            id="freeze",
        )
    if shown.findings:
        yield el(
            "section",
            el("h2", f"The audit found {len(shown.findings)} on {target} that no receipt proves"),
            el("ul", (_finding(one.kind, one.sha, one.detail) for one in shown.findings)),
            class_="alarm",
            id="audit",
        )


def _finding(kind: str, sha: str, detail: str) -> Html:
    return el("li", el("strong", kind.replace("_", " ")), " at ", el("code", sha[:12]), ": ", detail)


def _facts(shown: TrainView, target: str, place: Place) -> Html:
    """How the train is, in a few words each."""
    rules, busy = shown.rules, shown.runners_busy
    meter = el(
        "meter", value=str(min(busy, rules.runners)), min="0", max=str(rules.runners), aria_hidden="true"
    )
    known: list[tuple[str, Content]] = [
        ("State", _pill(MODES[shown.mode], "ok" if shown.mode == "open" else "bad")),
        (f"Tip of {target}", el("code", shown.tip[:12]) if shown.tip else "not looked at yet"),
        ("Runners", (f"{busy} of {rules.runners} busy ", meter)),
        ("Window", f"{shown.window} at the front are tested at once, at the most"),
        ("Strategy", f"{rules.strategy}, cars by {rules.method}"),
        ("Track", (el("strong", shown.track.replace("_", "-")), ": ", shown.track_why)),
        ("Looked at the forge", _ago(shown.looked_at, place) if shown.looked_at else "not yet"),
        ("Audited up to", el("code", shown.audited[:12]) if shown.audited else "nothing landed yet"),
    ]
    if shown.dev:
        known.append(("Dev", words.plain(shown.dev)[0]))
    return el("dl", (el("div", el("dt", name), el("dd", value)) for name, value in known), class_="facts")


def _line(shown: TrainView, target: str, place: Place) -> Html:
    """The target's tip, and each car in the order in which it would land."""
    lanes = tuple(lane.name for lane in shown.rules.lanes)
    stops: list[Content] = [_tip(shown, target, lanes)]
    for car in shown.cars:
        if car.position == shown.window:
            edge = el("p", f"Behind the window of {shown.window}", class_="small")
            stops.append(el("li", _rails((), lanes or ("",)), edge, class_="edge"))
        stops.append(_car(car, target, lanes, place))
    count, more = shown.queued, shown.queued - len(shown.cars)
    return el(
        "section",
        el("h2", "On the train ", el("span", f"{count} car{'' if count == 1 else 's'}", class_="count")),
        el("ol", stops, class_="line"),
        None if count else el("p", "Nothing rides and nothing waits.", class_="none"),
        el("p", f"… and {more} more wait behind them.", class_="none") if more else None,
        aria_label="On the train",
    )


def _tip(shown: TrainView, target: str, lanes: tuple[str, ...]) -> Html:
    sha = el("code", shown.tip[:12]) if shown.tip else None
    named = el("span", f" · lanes {', '.join(lanes)}", class_="small") if lanes else None
    return el("li", _rails(lanes, lanes), el("div", el("strong", target), " ", sha, named), class_="tip")


def _car(car: CarView, target: str, lanes: tuple[str, ...], place: Place) -> Html:
    """One change, and its car where it has one."""
    head = el(
        "h3",
        el("span", str(car.position + 1), class_="place"),
        " ",
        el("span", car.change, class_="change"),
        " ",
        el("span", car.title, class_="title"),
    )
    badges = [_pill(STATES[car.state], car.state)]
    if car.priority != "normal":
        badges.append(_pill(car.priority, "class"))
    if car.override:
        badges.append(_pill(f"fewer checks: {' and '.join(car.override)} vouch", "class"))
    return el(
        "li",
        _rails(car.lanes or lanes, lanes),
        el(
            "article",
            el("div", head, el("p", ((badge, " ") for badge in badges), class_="badges"), class_="top"),
            el("p", _about(car, target, place), class_="small"),
            _checks(car.checks),
            [el("p", _other(other, target, place), class_="small") for other in car.others],
            el("p", words.plain(car.why)[0], class_="why") if car.why else None,
        ),
        class_=f"car {car.state}",
        id=f"car-{car.change}-{car.head[:12]}",
    )


def _rails(on: Sequence[str], lanes: tuple[str, ...]) -> Html:
    """One rail for each lane, with a stop where the car is in it."""
    named = [el("span", class_="stop" if lane in on else "rail", title=lane or None) for lane in lanes]
    return el("span", named or el("span", class_="stop"), class_="rails", aria_hidden="true")


def _about(car: CarView, target: str, place: Place) -> Iterator[Content]:
    """By whom, on what, since when, in which lanes."""
    yield f"by {car.author}"
    if car.author_kind != "person":
        yield f" ({car.author_kind})"
    if car.car is not None:
        commit = el("code", car.car[:12])
        yield " · as "
        yield el("a", commit, href=f"{place.ui}{quote(car.test, safe='')}") if car.test else commit
        yield f" on {', '.join(car.below) or target}"
    if car.lanes:
        yield f" · lane{'s' if len(car.lanes) > 1 else ''} {', '.join(car.lanes)}"
    if car.runs > 1:
        yield f" · run {car.runs}"
    if car.testing_since is not None:
        yield " · under test for "
        yield _age(car.testing_since, place)
    else:
        yield " · queued for "
        yield _age(car.enqueued_at, place)
    if car.overtaken:
        yield f" · overtaken {car.overtaken} times" if car.overtaken > 1 else " · overtaken once"


def _other(other: OtherCar, target: str, place: Place) -> Iterator[Content]:
    """The same change on another base, should that come true."""
    yield "also as "
    yield el("a", el("code", other.car[:12]), href=f"{place.ui}{quote(other.test, safe='')}")
    yield f" on {', '.join(other.below) or target}: {STATES[other.state]}"


def _checks(checks: Sequence[CheckView]) -> Content:
    if not checks:
        return None
    shown = []
    for check in checks:
        sign, said = CHECKS[check.state]
        marks = (el("span", sign, class_="sign", aria_hidden="true"), " ", check.name)
        shown.append(
            el("li", marks, el("span", f": {said}", class_="unseen"), class_=check.state, title=said)
        )
    return el("ul", shown, class_="checks", aria_label="Checks")


def _lately(shown: TrainView, place: Place) -> Html:
    """How the last rides ended, newest first."""
    ended = [_ended(one, place) for one in shown.ended]
    return el(
        "section",
        el("h2", "Lately"),
        el("ol", ended, class_="ended") if ended else el("p", "No ride has ended yet.", class_="none"),
        aria_label="Lately",
    )


def _ended(one: EndedView, place: Place) -> Html:
    said, log = words.plain(one.detail)
    name = f"ended-{one.change}-{one.head[:12]}-{int(one.at.timestamp())}"
    return el(
        "li",
        el(
            "p",
            _pill(_how(one), "green" if one.outcome == "landed" else "red"),
            " ",
            el("strong", one.change),
            " ",
            el("span", one.title, class_="title"),
            " ",
            el("span", _ago(one.at, place), class_="small"),
        ),
        el("p", said, class_="small"),
        el("details", el("summary", "Log"), el("pre", log), id=name) if log else None,
        class_=one.outcome,
    )


def _how(one: EndedView) -> str:
    return "landed" if one.outcome == "landed" else f"left: {ENDINGS.get(one.reason, one.reason)}"


def _pill(text: str, kind: str) -> Html:
    return el("span", text, class_=f"pill {kind}")


def _age(since: datetime, place: Place) -> Html:
    """How long something has lasted, which goes on."""
    shown = lasting(place.now - since)
    return el("time", shown, datetime=since.isoformat(), data_since=str(int(since.timestamp())))


def _ago(at: datetime, place: Place) -> Content:
    return (_age(at, place), " ago")


def _clock(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
