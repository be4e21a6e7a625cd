"""What a proposal needs to know of one test, out of its history."""

from datetime import datetime

from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.causes import Named
from agents.flaky_tests.detector import verdict
from agents.flaky_tests.history import History, Mask, Verdict
from agents.flaky_tests.masking import reexecutions
from agents.flaky_tests.words import explained
from leverframe.model.quarantine import FlakyFinding
from leverframe.model.untrusted import Untrusted

_MOST = 10**15


def finding(
    test: str, history: History, seen: int, at: datetime, bounds: Bounds, *, cause: Named | None = None
) -> FlakyFinding | None:
    """None for a test that never was quarantined. Whose it is and where it lies, the caller adds."""
    quarantine = history.quarantine
    if quarantine is None and not history.quarantines:
        return None
    if quarantine is None:
        kind = "broken" if verdict(history, seen) is Verdict.BROKEN else "healed"
    else:
        kind = "flaky" if quarantine.mask is Mask.ON else "broken"
    return FlakyFinding.model_validate(
        {
            "test": Untrusted(test),
            "kind": kind,
            "at": at,
            "evidence": explained(history, seen, bounds, cause),
            "strength": min(int(quarantine.proven), _MOST) if quarantine and kind == "flaky" else 0,
            "discordant": history.discordant,
            "runs": seen,
            "masks": quarantine.masked if quarantine else (),
            "mask_strength": int(bounds.runs_to_false_quarantine) if kind == "flaky" else 0,
        }
        | ({"executions": reexecutions(quarantine)} if quarantine else {})
    )
