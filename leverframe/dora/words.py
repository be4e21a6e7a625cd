"""The figures in words, for a terminal and for a page."""

from typing import NamedTuple

from leverframe.dora.figures import Figures, Frequency, RecoveryTime, ReworkRate
from leverframe.dora.measures import Rate, Spans
from leverframe.model.lengths import lasting


class Line(NamedTuple):
    """One figure."""

    name: str
    value: str
    """Short, or `not enough data`."""
    detail: str
    """Of how many, how sure, or what is missing."""
    part: bool = False
    """A part of the figure above."""


NOT_ENOUGH = "not enough data"


def lines(figures: Figures) -> list[Line]:
    """Each figure, with its parts below it."""
    lead, fails = figures.lead_time, figures.change_failure_rate
    lost = f"; {lead.unusable} left out: dated after they were live" if lead.unusable else ""
    opened = _spans("from the change's opening", lead.from_opened, "change")
    return [
        _frequency(figures.deployment_frequency),
        _spans("Lead time, from the first commit", lead.from_commit, "change", lost),
        opened._replace(part=True),
        _rate("Change failure rate", fails.all),
        _rate("escaped: everybody met it", fails.escaped)._replace(part=True),
        _rate("caught in canary", fails.caught_in_canary)._replace(part=True),
        *_recovery(figures.failed_deployment_recovery_time),
        _rework(figures.rework_rate),
    ]


def besides(figures: Figures) -> str:
    """What is no deployment, in one sentence."""
    return (
        f"Besides: {figures.under_way} on their way, {figures.superseded} superseded by a newer one, "
        f"{figures.stopped_before_production} stopped before production."
    )


def percent(ppm: int) -> str:
    """`12.5 %`."""
    tenths = (ppm + 500) // 1000
    return f"{tenths // 10}.{tenths % 10} %"


def _frequency(frequency: Frequency) -> Line:
    between = frequency.time_between.median
    gap = "" if between is None else f", {lasting(between)} between two (median)"
    detail = f"{frequency.deployments} live at 100 %{gap}"
    if frequency.per_day is None:
        return Line("Deployment frequency", NOT_ENOUGH, f"{detail}; {_reason(frequency.why)}")
    noted = f"; {frequency.why}" if frequency.why else ""
    return Line("Deployment frequency", f"{frequency.per_day.normalize():f} a day", f"{detail}{noted}")


def _spans(name: str, spans: Spans, of: str, more: str = "") -> Line:
    if spans.median is None:
        return Line(name, NOT_ENOUGH, _reason(spans.why))
    ninetieth = f"nine in ten within {lasting(spans.p90)}" if spans.p90 is not None else _reason(spans.why)
    counted = f"{spans.count} {of}" + ("" if spans.count == 1 else "s")
    return Line(name, f"{lasting(spans.median)} (median)", f"{counted}{more}; {ninetieth}")


def _rate(name: str, rate: Rate) -> Line:
    if rate.ppm is None or rate.low_ppm is None or rate.high_ppm is None:
        return Line(name, NOT_ENOUGH, _reason(rate.why))
    between = f"between {percent(rate.low_ppm)} and {percent(rate.high_ppm)}, at 95 %"
    return Line(name, percent(rate.ppm), f"{rate.count} of {rate.of}; {between}")


def _recovery(recovery: RecoveryTime) -> list[Line]:
    unknown = f"; of {recovery.unknown} more nobody recorded it" if recovery.unknown else ""
    return [
        _spans("Failed-deployment recovery time", recovery.all, "failed deployment", unknown),
        _spans("escaped: everybody met it", recovery.escaped, "failed deployment")._replace(part=True),
        _spans("caught in canary", recovery.caught_in_canary, "failed deployment")._replace(part=True),
    ]


def _rework(rework: ReworkRate) -> Line:
    line = _rate("Rework rate", rework.all)
    if not rework.all.count:
        return line
    kinds = {"hotfix": rework.hotfix, "revert": rework.revert, "repair by an agent": rework.repair}
    told = ", ".join(f"{kind}: {count}" for kind, count in kinds.items() if count)
    return line._replace(detail=f"{line.detail} ({told})")


def _reason(why: str) -> str:
    return why.removeprefix(f"{NOT_ENOUGH}: ").replace(f"{NOT_ENOUGH} for a", "too few for a")
