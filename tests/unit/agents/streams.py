"""Streams of error counts for tests of the detector."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime

from leverframe.model.signals import ErrorBatch, SecondCount
from leverframe.model.untrusted import Untrusted

START = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())
"""A Monday, midnight."""
DAY = 86_400


def batch(counts: Iterable[tuple[int, int]], *, number: int = 0, **changes: object) -> ErrorBatch:
    """One batch of `(second, count)` pairs, received in its last second."""
    bins = tuple(SecondCount(second=second, count=count) for second, count in counts)
    fields: dict[str, object] = {
        "id": f"batch-{number}",
        "repository": "shop",
        "service": "shop",
        "subject": "SHOP-1A2B3C4D5E6F",
        "title": Untrusted("TypeError"),
        "counts": bins,
        "received_at": datetime.fromtimestamp(max(bin_.second for bin_ in bins), UTC),
    }
    return ErrorBatch.model_validate(fields | changes)


def steady(dice: random.Random, *, days: int, per_minute: float) -> list[tuple[int, int]]:
    """Minutes in which a quiet stream had an event, at most one each."""
    return [(START + minute * 60, 1) for minute in range(days * 1440) if dice.random() < per_minute]
