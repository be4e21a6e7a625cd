"""From what a train knows to what its planner sees: which cars stand on the tip, and how they fare. Pure."""

from datetime import datetime

from workflows.merge_train.lane import Entry, Path, Snapshot, Trial
from workflows.merge_train.queue import Queue, Queued, changed
from workflows.merge_train.state import Landing, Suspicion, Testing, TrainState


def snapshot(state: TrainState, now: datetime) -> Snapshot:
    """The lane as the planner sees it. Cars that stand on nothing that is true any more are left out."""
    known = paths(state)
    seen = [_waiting(known, path, now) or _trial(path, car, now) for path, car in known.items()]
    seen = [None if trial and _uncovered(known, trial) else trial for trial in seen]
    seen += [_trial((car.sequence,), car, now, overtaken=True) for car in suspects(state)]
    trials = [trial for trial in seen if trial is not None]
    lane = Snapshot(
        entries=tuple(entry_of(item) for item in state.queue.items if item.leaving is None and item.looked),
        trials=tuple(trials),
        passed_before=_passed_before(state),
        mode=state.freeze.mode if state.freeze else "open",
        builds_left=state.builds_left(now),
        clamp=state.clamp.limit,
        now=now,
    )
    return without(lane, held_up_by_dev(state))


def _passed_before(state: TrainState) -> tuple[Path, ...]:
    """Who was green on an earlier tip. Where dev is red that says nothing: dev had not seen it then."""
    red_on_dev = {car.sequence for car in state.cars if car.red is not None and car.red.check == "dev"}
    return tuple(
        (item.sequence,) for item in state.queue.items if item.green_on and item.sequence not in red_on_dev
    )


def held_up_by_dev(state: TrainState) -> frozenset[int]:
    """Infrastructure changes while dev can't be put back: the others go on without them."""
    if state.dev is None or not state.dev.broken:
        return frozenset()
    return frozenset(car.sequence for car in state.cars if car.dev is not None)


def lands_with_dev(state: TrainState) -> bool:
    """Whether the car that dev has been shown is still the one that lands next."""
    first = next((item for item in state.queue.items if item.leaving is None), None)
    car = paths(state).get((first.sequence,)) if first else None
    shown = state.dev is not None and car is not None and car.facts and car.facts.sha == state.dev.sha
    return bool(shown and car and car.dev == "passed" and car.base == state.tip)


def without(seen: Snapshot, suspects: frozenset[int]) -> Snapshot:
    """The lane as if these changes were not in it, but for the runners that test them."""
    hidden = sum(trial.state == "running" and not suspects.isdisjoint(trial.path) for trial in seen.trials)
    return seen.model_copy(
        update={
            "busy": seen.busy + hidden,
            "entries": tuple(entry for entry in seen.entries if entry.sequence not in suspects),
            "trials": tuple(trial for trial in seen.trials if suspects.isdisjoint(trial.path)),
        }
    )


def paths(state: TrainState) -> dict[Path, Testing]:
    """Every car that stands on the tip or on another such car, by its path, in a fixed order."""
    roots = _roots(state)
    open_ = _open(state)
    found: dict[Path, Testing] = {}
    above: dict[str, list[Testing]] = {}
    for car in state.cars:
        above.setdefault(car.base, []).append(car)
    waiting: list[tuple[Path, str]] = [((), root) for root in roots]
    while waiting:
        below, base = waiting.pop(0)
        for car in sorted(above.get(base, ()), key=lambda car: car.sequence):
            path = (*below, car.sequence)
            asked = (car.sequence, car.override) in open_
            if not asked or path in found or not _still_true(state, car, base):
                continue
            found[path] = car
            if car.facts is not None:
                waiting.append((path, car.facts.sha))
    return found


def suspects(state: TrainState) -> tuple[Testing, ...]:
    """Cars that are tested, or were, on a tip past which others have landed: settled, so they go on there."""
    standing = paths(state)
    tips = {landing.before for landing in state.landings}
    open_ = _open(state)
    return tuple(
        car
        for car in state.cars
        if car.base in tips
        and car.base != state.tip
        and (_owes_a_red_check(car) or (car.dev is None and (car.running or car.green)))
        and (car.sequence, car.override) in open_
        and (car.sequence,) not in standing
    )


def _open(state: TrainState) -> set[tuple[int, bool]]:
    """Who is in line, each with whether an override says what is required of it."""
    return {(item.sequence, item.override is not None) for item in state.queue.items if item.leaving is None}


def _owes_a_red_check(car: Testing) -> bool:
    return car.red is not None and car.red.check in car.missing_or_dev


def red_with_the_target(state: TrainState) -> tuple[Testing, ...]:
    """Cars that were red on a tip that is red itself: that says nothing about their changes."""
    if not any(one.tip == state.tip and one.outcome == "failed" for one in state.suspicions):
        return ()
    return tuple(car for car in state.cars if car.base == state.tip and car.red is not None)


def suspicion(state: TrainState, check: str) -> Suspicion | None:
    """What is known of the check on the target's tip itself."""
    return next((one for one in state.suspicions if (one.tip, one.check) == (state.tip, check)), None)


def trial_of(state: TrainState, path: Path) -> Testing | None:
    """The car behind a trial of the snapshot."""
    if path in (standing := paths(state)):
        return standing[path]
    return next((car for car in suspects(state) if (car.sequence,) == path), None)


def stale(state: TrainState) -> tuple[Testing, ...]:
    """Cars that stand on nothing that is true any more."""
    kept = {(car.sequence, car.base) for car in (*paths(state).values(), *suspects(state))}
    return tuple(car for car in state.cars if (car.sequence, car.base) not in kept)


def with_green(state: TrainState) -> Queue:
    """The queue in which every change that is green on this tip, or above it, remembers so."""
    names = {item.sequence: item.change for item in state.queue.items}
    line = state.queue
    for path, car in paths(state).items():
        item = line.get(path[-1])
        if item is not None and car.green:
            below = tuple(names[sequence] for sequence in path[:-1] if sequence in names)
            line = changed(line, item.model_copy(update={"green_on": state.tip, "green_with": below}))
    for car in suspects(state):
        item = line.get(car.sequence)
        if item is not None and car.green and not item.green_on:
            line = changed(line, item.model_copy(update={"green_on": car.base, "green_with": ()}))
    return line


def since(state: TrainState, base: str) -> tuple[Landing, ...] | None:
    """What landed after that commit was the tip, as far as it is known; None when it never was."""
    if base == state.tip:
        return ()
    for number in range(len(state.landings) - 1, -1, -1):
        landing = state.landings[number]
        if base in (landing.before, landing.tested) and _unbroken(state, number):
            passed = base == landing.tested and base != landing.before
            return state.landings[number + 1 :] if passed else state.landings[number:]
    return None


def landed_since_green(state: TrainState, item: Queued) -> tuple[Landing, ...]:
    """What has landed since the change was last green, and was not below it then; oldest first."""
    landed = since(state, item.green_on) if item.green_on else None
    return tuple(landing for landing in landed or () if landing.change not in (item.change, *item.green_with))


def cars_in_use(state: TrainState) -> tuple[str, ...]:
    """Cars whose refs have to stay: of open changes, of what is being found out, of composed receipts."""
    used = [car.facts.sha for car in state.cars if car.facts]
    used += [landing.tested for landing in state.landings if landing.tested != landing.landed]
    used += [state.dev.sha] if state.dev else []
    used += [state.inquiry.sha] if state.inquiry and state.inquiry.sha else []
    return tuple(dict.fromkeys(used))


def _roots(state: TrainState) -> tuple[str, ...]:
    """The tip, and where lanes are composed the earlier tips, newest first."""
    if state.tip is None:
        return ()
    if state.rules is None or state.rules.lane_mode != "composed":
        return (state.tip,)
    earlier = [commit for landing in reversed(state.landings) for commit in (landing.tested, landing.before)]
    return tuple(dict.fromkeys([state.tip, *earlier]))


def _still_true(state: TrainState, car: Testing, base: str) -> bool:
    """Whether the car's base is what it would land on, or differs from it only in lanes that it is not in."""
    if base == state.tip or any(other.facts and other.facts.sha == base for other in state.cars):
        return True
    if car.dev is not None:
        return False  # Dev is shown what lands, and that stands on the tip.
    landed = since(state, base)
    lanes = car.facts.lanes if car.facts else ()
    return landed is not None and all(disjoint(lanes, landing.lanes) for landing in landed)


def disjoint(ours: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    """Whether two changes share no lane; one without a lane is in all of them."""
    return bool(ours) and bool(theirs) and not set(ours) & set(theirs)


def _unbroken(state: TrainState, number: int) -> bool:
    """Whether from that landing on only this train moved the target."""
    tips = [landing.before for landing in state.landings[number + 1 :]] + [state.tip]
    return all(landing.landed == tip for landing, tip in zip(state.landings[number:], tips, strict=True))


def entry_of(item: Queued) -> Entry:
    """The item as the planner sees it."""
    return Entry(
        sequence=item.sequence,
        priority=item.priority,
        actor=item.actor,
        lanes=item.lanes,
        enqueued_at=item.enqueued_at,
        solo=item.solo,
        override=item.override is not None,
    )


def _owing(known: dict[Path, Testing], path: Path) -> list[Testing]:
    """The cars below that nothing shows to be good: neither a test of their own nor this one."""
    passed = {result.check for result in known[path].passed}
    below = [known[path[:depth]] for depth in range(1, len(path))]
    return [one for one in below if not one.green and any(check.name not in passed for check in one.required)]


def _waiting(known: dict[Path, Testing], path: Path, now: datetime) -> Trial | None:
    """A car that needs no test itself waits for those that test the cars below it."""
    car = known[path]
    if car.green and not car.running and any(one.running for one in _owing(known, path)):
        return Trial(path=path, state="running", began_at=car.began_at or now)
    return None


def _uncovered(known: dict[Path, Testing], trial: Trial) -> bool:
    """Whether it is green only because it needs less than a car below: that proves nothing of the batch."""
    return trial.state == "passed" and bool(_owing(known, trial.path))


def _trial(path: Path, car: Testing, now: datetime, *, overtaken: bool = False) -> Trial | None:
    if car.facts is None:
        return Trial(path=path, state="conflict", began_at=car.began_at or now)
    common = {
        "path": path,
        "overtaken": overtaken,
        "early_red": car.early_red,
        "runs": max(1, car.runs),
        "failed_runs": car.failed_runs,
        "inconclusive_runs": car.inconclusive_runs,
        "began_at": car.began_at or now,
    }
    if car.running:
        return Trial(state="running", **common)
    # Dev sees it only once its base is the tip; further back it is as good as proven.
    if car.green and (car.dev != "waits" or len(path) > 1):
        return Trial(state="passed", **common)
    if _owes_a_red_check(car):
        return Trial(state="failed", **common)
    if car.silent is not None and car.silent.check in car.missing_or_dev:
        return Trial(state="inconclusive", **common)
    return Trial(state="running", **common) if car.green else None


def runners_in_use(state: TrainState) -> int:
    """How many tests run now, those of cars that stand on nothing included."""
    asking = state.inquiry is not None and state.inquiry.trial > 0
    return sum(car.running for car in state.cars) + asking
