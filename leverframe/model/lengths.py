"""Lengths of time as people read them."""

from datetime import timedelta


def lasting(span: timedelta) -> str:
    """A length of time in one or two units. `train.js` counts on in the same words."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"
