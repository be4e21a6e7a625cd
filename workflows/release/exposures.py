"""Two health documents as what happened between them. Pure."""

from leverframe.model.releases import LATENCY_EDGES_MS, ArmCounts, HealthDocument
from leverframe.model.topology import CanaryPlan
from workflows.release.sequential import Count, Exposure

ERRORS = "errors"


def signals(plan: CanaryPlan) -> dict[str, int | None]:
    """Every signal of the plan → the edge, in milliseconds, above which a request counts as bad."""
    return {ERRORS: None, **{f"slower than {edge} ms": edge for edge in plan.latency_ms}}


def between(
    before: HealthDocument, after: HealthDocument, *, canary: str, plan: CanaryPlan
) -> dict[str, Exposure] | None:
    """What both arms did between two documents; None when the two can't be compared.

    They can't after a restart of the router, when another commit is stable, or when a counter went backwards.
    """
    if before.router_started_at != after.router_started_at or before.stable != after.stable:
        return None
    seen: dict[str, Exposure] = {}
    for name, edge in signals(plan).items():
        on_canary, on_stable = (_grown(before, after, sha, edge) for sha in (canary, after.stable))
        if on_canary is None or on_stable is None:
            return None
        seen[name] = Exposure(canary=on_canary, stable=on_stable)
    return seen


def _grown(before: HealthDocument, after: HealthDocument, sha: str, edge: int | None) -> Count | None:
    (bad, total), (bad_before, total_before) = (_counted(one, sha, edge) for one in (after, before))
    bad, total = bad - bad_before, total - total_before
    return Count(bad=bad, total=total) if 0 <= bad <= total else None


def _counted(document: HealthDocument, sha: str, edge: int | None) -> tuple[int, int]:
    for arm in document.arms:
        if arm.sha == sha:
            return _bad(arm, edge), arm.requests
    return 0, 0


def _bad(arm: ArmCounts, edge: int | None) -> int:
    return arm.errors if edge is None else sum(arm.latency[LATENCY_EDGES_MS.index(edge) + 1 :])
