"""What each agent watches and looks at, for the tests that every agent passes."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from agents.flaky_tests.watch import SETTLE
from leverframe.model.facts import Facts
from leverframe.model.quarantine import FlakyFacts, QuarantineFile
from leverframe.model.signals import ReportArrived, Signal
from leverframe.model.untrusted import Untrusted
from tests.fakes.remediation_world import error_facts
from tests.unit.agents.flaky_tests.lives import AT
from tests.unit.agents.flaky_tests.proposals import entry, facts, flaky
from tests.unit.agents.streams import START, batch


class Samples(NamedTuple):
    """An agent's food."""

    signals: Callable[[int], list[Signal]]
    """So many, the same ones each time."""
    alarm: list[Signal]
    """After these, and some time, a run is due."""
    settles: timedelta
    facts: Callable[[str], Facts]
    """Enough for a proposal; with a text that everything from outside says."""
    tuning: dict[str, int]


def _errors(count: int) -> list[Signal]:
    """Batches with gaps, bursts, repeats and late seconds."""
    dice = random.Random(7)  # noqa: S311  reproducible, not secret
    second, made = START, list[Signal]()
    for number in range(count):
        second += dice.choice((0,) * 20 + (1, 3, 60, 900, 40_000))
        late = second - dice.choice((0, 0, 0, 90, 7200))
        counts = sorted({late: dice.randint(1, 50), second: dice.randint(1, 5)}.items())
        made.append(batch(counts, number=number))
    return made


def report(name: str, at: datetime = AT) -> ReportArrived:
    """A report of the shop's tests."""
    title = Untrusted("the job `unit` of main")
    return ReportArrived(id=name, repository="shop", service="shop", title=title, received_at=at)


def _reports(count: int) -> list[Signal]:
    """Some of them announced twice."""
    return [report(str(number * 2 // 3), AT + timedelta(seconds=number)) for number in range(count)]


def _suite(hostile: str) -> FlakyFacts:
    """One test enters and one leaves; what the text says, so does its name."""
    old = Untrusted(f"tests/old.py::{hostile or 'old'}")
    return facts(
        flaky("pays", test=Untrusted(f"tests/test_a.py::{hostile or 'pays'}")),
        flaky("old", test=old, kind="healed", strength=0, evidence="500 clean runs"),
        file=QuarantineFile(entries=(entry("old", test=old),)),
    )


SAMPLES = {
    "sentry_spike": Samples(
        signals=_errors,
        alarm=[batch([(START + second, 20)], number=second) for second in range(21)],
        settles=timedelta(0),
        facts=lambda hostile: error_facts(hostile=hostile),
        tuning={"tick_seconds": 1},
    ),
    "flaky_tests": Samples(
        signals=_reports, alarm=[report("a"), report("b")], settles=SETTLE, facts=_suite, tuning={}
    ),
}
