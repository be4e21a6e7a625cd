"""Rules of today's rollout controllers, written from their documentation. Nothing of ours in them.

Each is a function of one rollout, poll by poll, and answers with the poll after which traffic goes back, or
None. A poll is (weight, canary bad, canary total, stable bad, stable total) of one minute.
"""

import math
from collections.abc import Callable, Sequence

from bench.canary_argo import Measured, Metric

Seen = tuple[float, int, int, int, int]
Rule = Callable[[Sequence[Seen], float], int | None]
"""The polls and stable's true base rate, which nobody knows but rules that are tuned to it."""


def argo(limit: float, *, every: int, window: int = 5, failures: int = 3, fixed: bool = False) -> Rule:
    """Argo Rollouts: an analysis every so many minutes over a window; a failed or errored one aborts.

    The condition is "the canary's error rate is below `limit` times the base rate", which a team has to
    know, or, `fixed`, below `limit` itself. A window without requests has no rate and meets no condition.
    """
    metric = Metric(failures=failures)

    def judged(polls: Sequence[Seen], base: float) -> int | None:
        measured: list[Measured] = []
        for end in range(every, len(polls) + 1, every):
            seen = polls[max(0, end - window) : end]
            bad, total = sum(one[1] for one in seen), sum(one[2] for one in seen)
            below = total > 0 and bad / total < (limit if fixed else limit * base)
            measured.append("successful" if below else "failed")
            if metric.phase(measured) in ("failed", "error"):
                return end
        return None

    return judged


def flagger(limit: float, *, threshold: int = 5) -> Rule:
    """Flagger: every interval the error rate of the last one; the threshold-th failed check takes it back.

    Failed checks are never forgotten, and the rollback runs one interval later.
    """

    def judged(polls: Sequence[Seen], base: float) -> int | None:
        failed = 0
        for number, (_, bad, total, _, _) in enumerate(polls, start=1):
            failed += total > 0 and bad / total > limit
            if failed >= threshold:
                return min(number + 1, len(polls))
        return None

    return judged


def kayenta(polls: Sequence[Seen], base: float) -> int | None:
    """Kayenta: at the end of each step Mann-Whitney's interval (98 %) on the rates of its minutes.

    High, and so red, when the interval's lower end is above a quarter of the Hodges-Lehmann estimate. The
    baseline is stable itself; a same-size one, as its authors advise, would be noisier.
    """
    steps: dict[float, list[Seen]] = {}
    for one in polls:
        steps.setdefault(one[0], []).append(one)
    end = 0
    for seen in steps.values():
        end += len(seen)
        canary = [bad / total for _, bad, total, _, _ in seen if total]
        stable = [bad / total for _, _, _, bad, total in seen if total]
        if canary and stable and _high(canary, stable):
            return end
    return None


def _high(canary: Sequence[float], stable: Sequence[float]) -> bool:
    differences = sorted(one - other for one in canary for other in stable)
    n, m = len(canary), len(stable)
    spread = 2.326 * math.sqrt(n * m * (n + m + 1) / 12)
    lowest = differences[max(0, math.floor(n * m / 2 - spread))]
    middle = differences[len(differences) // 2]
    return lowest > 0.25 * abs(middle) and sum(canary) / n >= sum(stable) / m


def peeking(polls: Sequence[Seen], base: float) -> int | None:
    """A z-test of the pooled rates at nominal 1 %, looked at after every poll."""
    x = n = y = m = 0
    for number, (_, bad, total, other_bad, other_total) in enumerate(polls, start=1):
        x, n, y, m = x + bad, n + total, y + other_bad, m + other_total
        if not n or not m or not x + y:
            continue
        pooled = (x + y) / (n + m)
        error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        if error and (x / n - y / m) / error > 2.326:
            return number
    return None


PEERS: dict[str, Rule] = {
    "argo, 2x the true base, [5m] every 1m": argo(2, every=1),
    "argo, 2x the true base, [5m] every 5m": argo(2, every=5),
    "argo, its documented example: 95 %, [5m] every 5m": argo(0.05, every=5, fixed=True),
    "flagger, 1 %, 1m": flagger(0.01),
    "kayenta, per step": kayenta,
    "z-test, peeking": peeking,
}
