"""The train as people see it: one value for the command line, the gateway and the Temporal UI. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from leverframe.model.changes import CarLanded, NextAction
from leverframe.model.frozen import Frozen, Instant, Sha
from leverframe.model.ids import car_test_id
from leverframe.model.topology import TrainRules
from leverframe.model.trains import AuditFinding, Capability, Freeze
from leverframe.model.untrusted import Untrusted
from workflows.merge_train import sighting, words
from workflows.merge_train.lane import Path
from workflows.merge_train.planning import plan
from workflows.merge_train.queue import Queued
from workflows.merge_train.state import Settled, Testing, TrainState

RECENT = 20

DRAWN = 200
"""Changes at the front that a view has: one of thousands would be more than an answer may hold."""

OTHERS = 5

CarState = Literal[
    "waiting", "testing", "green", "red", "no_verdict", "conflict", "in_forge_queue", "leaving"
]


STATES: Mapping[CarState, str] = MappingProxyType(
    {
        "waiting": "waits",
        "testing": "under test",
        "green": "green",
        "red": "red, to be confirmed",
        "no_verdict": "no verdict, tested again",
        "conflict": "does not apply",
        "in_forge_queue": "in the forge's queue",
        "leaving": "is taken off",
    }
)
"""A car's state as a person reads it."""


class CheckView(Frozen):
    """One required check of a car."""

    name: str
    state: Literal["passed", "failed", "inconclusive", "missing"]


class OtherCar(Frozen):
    """Another car of the same change, on another base; what lands before it decides which one counts."""

    car: Sha
    below: tuple[str, ...]
    state: CarState
    test: str
    """Workflow id of its present or last test."""


class CarView(Frozen):
    """One open change, and its car where it has one."""

    position: int
    """0 lands first."""
    change: str
    title: str = ""
    """Text from outside."""
    head: Sha
    author: str
    author_kind: Literal["person", "agent", "release"]
    priority: Literal["hotfix", "promotion", "normal"]
    state: CarState
    car: Sha | None = None
    below: tuple[str, ...] = ()
    """The changes that its car stands on, lowest first; none when it stands on the target's tip."""
    lanes: tuple[str, ...] = ()
    """Empty means every lane."""
    checks: tuple[CheckView, ...] = ()
    runs: int = 0
    test: str = ""
    """Workflow id of its present or last test; empty when nobody has tested it."""
    others: tuple[OtherCar, ...] = ()
    """Its other cars that were tested, the one that counts most first."""
    enqueued_at: Instant
    testing_since: Instant | None = None
    overtaken: int = 0
    override: tuple[str, ...] = ()
    """The people who want it landed with fewer checks."""
    why: str = ""
    """What it waits for, in a sentence."""


class EndedView(Frozen):
    """One ride that has ended."""

    change: str
    title: str = ""
    """Text from outside."""
    head: Sha
    outcome: Literal["landed", "ejected"]
    reason: str
    """The evidence of what landed; the typed reason of what was taken off."""
    detail: str
    next_action: NextAction | None = None
    conflicts_with: tuple[str, ...] = ()
    sha: Sha | None = None
    receipt: int | None = None
    at: Instant


class TrainView(Frozen):
    """Everything that is drawn or listed of one train."""

    repository: str
    tip: Sha | None
    mode: Literal["open", "drain", "hold_landing", "hotfix_only"]
    freeze: Freeze | None
    track: Literal["built_in", "native"]
    track_why: str
    rules: TrainRules
    runners_busy: int
    window: int
    """How many cars at the front are tested at once, as AIMD leaves it."""
    cars: tuple[CarView, ...]
    """The first ones, at most `DRAWN`."""
    queued: int
    """How many changes there are, those that `cars` leaves out included."""
    ended: tuple[EndedView, ...]
    """Newest first."""
    findings: tuple[AuditFinding, ...]
    dev: str = ""
    """What dev has that the target has not, in words; empty while it is what the target says."""
    audited: Sha | None
    looked_at: Instant | None


class Explanation(Frozen):
    """Where a change is, what it waits for, and how it fared."""

    change: str
    state: CarState | Literal["landed", "ejected", "unknown"]
    words: str
    car: CarView | None = None
    ended: tuple[EndedView, ...] = ()
    """Its earlier rides, newest first."""


def view(repository: str, state: TrainState, now: datetime) -> TrainView:
    """The train at this moment."""
    return front(repository, state, _waits(state, now))


def front(repository: str, state: TrainState, waits: Mapping[int, str], most: int = DRAWN) -> TrainView:
    """The train with its first `most` cars, and what a plan has said of those who wait."""
    rules = state.rules or TrainRules()
    track, why = track_of(rules, state.capability)
    return TrainView(
        repository=repository,
        tip=state.tip,
        mode=state.freeze.mode if state.freeze else "open",
        freeze=state.freeze,
        track=track,
        track_why=why,
        rules=rules,
        runners_busy=sighting.runners_in_use(state),
        window=min(rules.window, state.clamp.limit or rules.window),
        cars=_cars(state, waits, most),
        queued=len(state.queue.items),
        ended=tuple(_ended(settled) for settled in reversed(state.settled[-RECENT:])),
        findings=state.findings,
        dev=words.of_dev(state.dev) if state.dev else "",
        audited=state.audited,
        looked_at=state.looked_at,
    )


def explain(repository: str, state: TrainState, change: str, now: datetime) -> Explanation:
    """One change, in words."""
    cars = _cars(state, _waits(state, now), len(state.queue.items))
    car = next((car for car in cars if car.change == change and car.state != "leaving"), None)
    ended = tuple(_ended(one) for one in reversed(state.settled) if one.outcome.change == change)
    if car is not None:
        return Explanation(change=change, state=car.state, words=_told(car), car=car, ended=ended)
    if ended:
        return Explanation(change=change, state=ended[0].outcome, words=ended[0].detail, ended=ended)
    said = "The train does not know this change: enqueue it, or it left longer ago than the train remembers."
    return Explanation(change=change, state="unknown", words=said)


def is_native(state: TrainState) -> bool:
    """Whether the forge's own queue carries the changes."""
    return track_of(state.rules or TrainRules(), state.capability)[0] == "native"


def track_of(rules: TrainRules, capability: Capability | None) -> tuple[Literal["built_in", "native"], str]:
    """Who carries the changes, and why. None: no forge has told of a queue of its own."""
    if rules.track != "auto":
        return rules.track, f"The repository's rules say {rules.track}."
    if capability is None:
        return "built_in", "There is no forge with a queue of its own."
    return "native" if capability.native else "built_in", capability.why


def _waits(state: TrainState, now: datetime) -> Mapping[int, str]:
    return plan(sighting.snapshot(state, now), state.rules or TrainRules(), state.record).waits


def _cars(state: TrainState, waits: Mapping[int, str], most: int) -> tuple[CarView, ...]:
    items = state.queue.items[:most]
    standing = sighting.paths(state)
    names = {item.sequence: item.change for item in state.queue.items}
    stands: dict[int, list[tuple[Path, Testing]]] = {}
    # The one that counts most comes first: tested before merely composed, on the tip before further back.
    for path, car in sorted(standing.items(), key=lambda one: (one[1].runs == 0, len(one[0]))):
        stands.setdefault(car.sequence, []).append((path, car))
    cars = [
        _why(_car(position, item, stands.get(item.sequence, []), names, waits), state)
        for position, item in enumerate(items)
    ]
    capability = state.capability
    if is_native(state) and capability is not None and not capability.native:
        why = "It waits for the forge's own queue, as the rules say: "
        why += Untrusted(capability.why).for_markdown(500)
        return tuple(car.model_copy(update={"why": why}) for car in cars)
    held = {
        number
        for number, ((_, car), *_) in stands.items()
        if car.green and car.dev == "waits" and not car.running
    } | sighting.held_up_by_dev(state)
    return tuple(
        car.model_copy(update={"why": _waits_for_dev(state)}) if item.sequence in held else car
        for car, item in zip(cars, items, strict=True)
    )


def _why(car: CarView, state: TrainState) -> CarView:
    """The car with words on what the planner, which knows no names, can't say."""
    asked = state.queue.get(state.inquiry.sequence) if state.inquiry and state.inquiry.trial else None
    if asked is not None and (asked.change, asked.head) == (car.change, car.head):
        why = "It was green before others landed; with which of them it is red is being tested."
        return car.model_copy(update={"why": why})
    frozen = state.freeze is not None and state.freeze.mode == "hold_landing"
    if car.state == "green" and car.below:
        below = ", ".join(Untrusted(name).for_markdown(80) for name in car.below)
        return car.model_copy(update={"why": f"It may land right after {below}."})
    if car.state == "green" and frozen:
        return car.model_copy(update={"why": "It is green; nothing lands while the train is frozen."})
    if car.state == "red" and car.below:
        return car.model_copy(update={"why": "Its red counts for nothing until those below it are decided."})
    return car


def _waits_for_dev(state: TrainState) -> str:
    said = "Dev is shown it once it is first in line and dev is what the target says."
    return f"{said} {words.of_dev(state.dev)}" if state.dev else said


def _car(
    position: int,
    item: Queued,
    stands: Sequence[tuple[Path, Testing]],
    names: Mapping[int, str],
    waits: Mapping[int, str],
) -> CarView:
    path, car = stands[0] if stands else ((), None)
    return CarView(
        position=position,
        change=item.change,
        title=item.title,
        head=item.head,
        author=item.author.name,
        author_kind=item.author.kind,
        priority=item.priority.name.lower(),
        state=_state(item, car),
        car=car.facts.sha if car and car.facts else None,
        below=_named(path, names),
        lanes=item.lanes,
        checks=_checks(car),
        runs=car.runs if car else 0,
        test=_test(item, car),
        enqueued_at=item.enqueued_at,
        testing_since=car.began_at if car and car.running else None,
        overtaken=item.overtaken,
        override=item.override.people if item.override else (),
        others=tuple(
            OtherCar(
                car=one.facts.sha, below=_named(at, names), state=_state(item, one), test=_test(item, one)
            )
            for at, one in stands[1:]
            if one.facts is not None and one.runs > 0
        )[:OTHERS],
        why=waits.get(item.sequence, ""),
    )


def _named(path: Path, names: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(names.get(sequence, "?") for sequence in path[:-1])


def _test(item: Queued, car: Testing | None) -> str:
    if car is None or car.facts is None or not car.trial:
        return ""
    return car_test_id(item.change.rpartition("/")[0], car.facts.sha, car.trial)


def _state(item: Queued, car: Testing | None) -> CarState:
    if item.leaving:
        return "leaving"
    if item.native:
        return "in_forge_queue"
    if car is None:
        return "waiting"
    if car.facts is None:
        return "conflict"
    if car.running:
        return "testing"
    if car.green and car.dev != "waits":
        return "green"
    if car.red is not None and car.red.check in car.missing_or_dev:
        return "red"
    return "no_verdict" if car.silent is not None else "waiting"


def _checks(car: Testing | None) -> tuple[CheckView, ...]:
    if car is None or car.facts is None:
        return ()
    green = {result.check for result in car.passed}
    told: dict[str, Literal["failed", "inconclusive"]] = {}
    if car.silent is not None:
        told[car.silent.check] = "inconclusive"
    if car.red is not None:
        told[car.red.check] = "failed"
    shown = [
        CheckView(name=check.name, state="passed" if check.name in green else told.get(check.name, "missing"))
        for check in car.facts.required
    ]
    if car.dev is not None:
        shown.append(
            CheckView(name="dev", state="passed" if car.dev == "passed" else told.get("dev", "missing"))
        )
    return tuple(shown)


def _ended(settled: Settled) -> EndedView:
    outcome = settled.outcome
    common = {
        "change": outcome.change,
        "title": settled.title,
        "head": settled.head,
        "at": settled.settled_at,
    }
    if isinstance(outcome, CarLanded):
        receipt = outcome.receipt
        proof = words.EVIDENCE[receipt.evidence]
        detail = f"Landed as {receipt.sha[:12]} with receipt {receipt.sequence}: {proof}."
        return EndedView(
            outcome="landed",
            reason=receipt.evidence,
            detail=detail,
            sha=receipt.sha,
            receipt=receipt.sequence,
            **common,
        )
    return EndedView(
        outcome="ejected",
        reason=outcome.reason,
        detail=outcome.detail,
        next_action=outcome.next_action,
        conflicts_with=outcome.conflicts_with,
        **common,
    )


def _told(car: CarView) -> str:
    where = f"{car.change} is number {car.position + 1} in line"
    stands = f"on {', '.join(car.below)} on the target" if car.below else "on the target itself"
    its_car = f"Its car {(car.car or '')[:12]}, {stands},"
    means = {
        "waiting": "It is not under test.",
        "testing": f"{its_car} is under test.",
        "green": f"{its_car} is green.",
        "red": f"{its_car} is red; nobody is blamed before that is confirmed.",
        "no_verdict": f"{its_car} gave no verdict; it is tested again.",
        "conflict": f"It does not apply {stands}; that is a verdict only once its base is decided.",
        "in_forge_queue": "The forge's own queue has it.",
        "leaving": "It is being taken off.",
    }
    return f"{where}. {means[car.state]} {car.why}".strip()
