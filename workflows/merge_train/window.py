"""The clamp: additive increase, multiplicative decrease of how many changes are under test at once. Pure."""

from pydantic import Field

from leverframe.model.frozen import Frozen

FLOOR = 3
"""The window never gets smaller than this."""

IN_A_ROW = 2
"""So many confirmed failures without a landing between them halve the window."""


class Clamp(Frozen):
    """How far the window is open; `limit` is what a snapshot calls `clamp`."""

    limit: int | None = Field(default=None, ge=1)
    """None until failures in a row, and again once the window is whole."""
    failures: int = Field(default=0, ge=0)
    """Confirmed failures since the last landing."""


def after_landed(clamp: Clamp, window: int) -> Clamp:
    """One more is tested at once, up to the whole window."""
    if clamp.limit is None or clamp.limit + 1 >= window:
        return Clamp()
    return Clamp(limit=clamp.limit + 1)


def after_failed(clamp: Clamp, window: int) -> Clamp:
    """A confirmed failure: from the second in a row on, each halves the window.

    Call it for `check_failed` and `incompatible` only: what infrastructure did never shrinks the window.
    """
    failures = clamp.failures + 1
    if failures < IN_A_ROW:
        return Clamp(limit=clamp.limit, failures=failures)
    now = window if clamp.limit is None else clamp.limit
    return Clamp(limit=min(window, max(FLOOR, now // 2)), failures=failures)
