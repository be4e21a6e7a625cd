"""What the trials of a lane become when the target moves or a change leaves. Pure."""

from workflows.merge_train.beliefs import red
from workflows.merge_train.lane import Entry, Path, Trial


def after_landing(
    trials: tuple[Trial, ...], landed: Path, entries: tuple[Entry, ...], *, composed: bool
) -> tuple[Trial, ...]:
    """The trials that still mean something on the new tip; the rest is to be cancelled and forgotten.

    `entries` are those that were open, with the landed ones. What was tested on the landed car is now tested
    on the tip. What tests a change by itself goes on, overtaken. With `composed`, what shares no lane with
    the landed changes is untouched.
    """
    by_sequence = {entry.sequence: entry for entry in entries}
    moved = [by_sequence[sequence] for sequence in landed if sequence in by_sequence]
    kept: dict[Path, Trial] = {}
    for trial in sorted(trials, key=lambda one: len(one.path), reverse=True):
        if trial.path[: len(landed)] == landed and len(trial.path) > len(landed):
            path = trial.path[len(landed) :]
            kept[path] = trial.model_copy(update={"path": path, "overtaken": False})
        elif trial.path in kept:
            # The same change is tested, or was, on the new tip: that says more.
            continue
        elif not set(trial.path).isdisjoint(landed):
            continue
        elif composed and not any(
            _meet(by_sequence.get(one), other) for one in trial.path for other in moved
        ):
            kept[trial.path] = trial
        elif len(trial.path) == 1 and (trial.overtaken or red(trial) or trial.state == "running"):
            kept[trial.path] = trial.model_copy(update={"overtaken": True})
    return tuple(kept.values())


def after_leaving(trials: tuple[Trial, ...], sequence: int) -> tuple[Trial, ...]:
    """The trials without those that contain a change that was ejected or withdrawn."""
    return tuple(trial for trial in trials if sequence not in trial.path)


def green_before(trials: tuple[Trial, ...], kept: tuple[Trial, ...]) -> tuple[Path, ...]:
    """Paths that were green and are no trial any more: what to remember of them as `passed_before`."""
    held = {trial.path for trial in kept}
    return tuple(trial.path for trial in trials if trial.state == "passed" and trial.path not in held)


def _meet(one: Entry | None, other: Entry) -> bool:
    """Whether two changes share a lane; a change without lanes is in all of them."""
    if one is None or not one.lanes or not other.lanes:
        return True
    return not set(one.lanes).isdisjoint(other.lanes)
