"""Two health documents as what happened between them. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from leverframe.model.releases import Count, HealthDocument, SignalCounts
from workflows.release.sequential import Exposure


@dataclass(frozen=True)
class Between:
    """What was seen between two documents, and what was not."""

    seen: dict[str, Exposure]
    unreadable: dict[str, str]
    """Signal → why the later document does not have it."""
    anew: tuple[str, ...]
    """Signals whose counts can't be compared with those before, and can be with those to come."""


def between(
    before: HealthDocument, after: HealthDocument, *, canary: str, signals: Collection[str]
) -> Between:
    """What both arms did between two documents of the same stable commit.

    A signal's counts begin anew with its source, and when one of them went backwards.
    """
    seen, unreadable, anew = dict[str, Exposure](), dict[str, str](), list[str]()
    for name in signals:
        if name not in after.signals:
            unreadable[name] = after.blind.get(name, "its source does not report it")
            continue
        exposure = _exposure(before.signals.get(name), after.signals[name], canary, after.stable)
        if exposure is None:
            anew.append(name)
        else:
            seen[name] = exposure
    return Between(seen=seen, unreadable=unreadable, anew=tuple(anew))


def _exposure(before: SignalCounts | None, after: SignalCounts, canary: str, stable: str) -> Exposure | None:
    if before is None or before.since != after.since:
        return None
    on_canary, on_stable = (_grown(before, after, sha) for sha in (canary, stable))
    if on_canary is None or on_stable is None:
        return None
    return Exposure(canary=on_canary, stable=on_stable)


def _grown(before: SignalCounts, after: SignalCounts, sha: str) -> Count | None:
    had, has = (counts.arms.get(sha, Count()) for counts in (before, after))
    bad, total = has.bad - had.bad, has.total - had.total
    return Count(bad=bad, total=total) if 0 <= bad <= total else None
