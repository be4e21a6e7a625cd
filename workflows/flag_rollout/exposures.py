"""What requests did with a flag and without it, between two documents. Pure."""

from collections.abc import Iterable

from leverframe.model.flags import FlagHealthDocument
from leverframe.model.releases import ERRORS, LATENCY_EDGES_MS, Count, slower_than
from leverframe.model.topology import RolloutPlan
from workflows.release.sequential import Exposure


def signals(plan: RolloutPlan) -> dict[str, int | None]:
    """Every signal of the plan → the edge, in milliseconds, above which a request counts as bad."""
    return {ERRORS: None, **{slower_than(edge): edge for edge in plan.latency_ms}}


def between(
    before: FlagHealthDocument,
    after: FlagHealthDocument,
    *,
    having: Iterable[str],
    lacking: Iterable[str],
    plan: RolloutPlan,
) -> dict[str, Exposure] | None:
    """By signal what requests under the variants of both arms did; the arm with the flag is `canary`.

    None when the two can't be compared: the source began anew, or a counter went backwards.
    """
    if before.counting_since != after.counting_since:
        return None
    seen: dict[str, Exposure] = {}
    for name, edge in signals(plan).items():
        with_it, without = (_grown(before, after, arm, edge) for arm in (having, lacking))
        if with_it is None or without is None:
            return None
        seen[name] = Exposure(canary=with_it, stable=without)
    return seen


def _grown(
    before: FlagHealthDocument, after: FlagHealthDocument, variants: Iterable[str], edge: int | None
) -> Count | None:
    names = frozenset(variants)
    (bad_before, total_before), (bad, total) = (_counted(one, names, edge) for one in (before, after))
    bad, total = bad - bad_before, total - total_before
    return Count(bad=bad, total=total) if 0 <= bad <= total else None


def _counted(document: FlagHealthDocument, variants: frozenset[str], edge: int | None) -> tuple[int, int]:
    counted = [each for each in document.variants if each.variant in variants]
    bad = sum(
        each.errors if edge is None else sum(each.latency[LATENCY_EDGES_MS.index(edge) + 1 :])
        for each in counted
    )
    return bad, sum(each.requests for each in counted)
