"""A step that the gate can't decide: since when, until when, and when people are told. Pure."""

import math
from datetime import timedelta
from typing import Literal

from leverframe.model.frozen import Frozen, Instant

BLIND_PAGE = timedelta(minutes=5)
"""So long people are not disturbed when the metrics are away."""
REMIND_FIRST = timedelta(hours=1)
"""The first reminder after the page; the next one after twice as long, and so on."""


class Standstill(Frozen):
    """People have to decide, or it goes back by itself."""

    kind: Literal["undecided", "blind"]
    """`undecided`: the step's time is over, and the gate can neither clear nor condemn it. `blind`: there are
    no metrics."""
    percent: int
    since: Instant
    """When people were due to be told."""
    until: Instant
    """When it is taken back by itself."""
    outage: Instant | None = None
    """With `blind`: when the metrics went away."""

    def page(self, now: Instant) -> tuple[str, int]:
        """The key and the number of the newest page that is due: 0 is the first one, the rest remind."""
        number = math.floor(math.log2((now - self.since) / REMIND_FIRST + 1))
        which = f"/{self.outage:%Y%m%dT%H%M%SZ}" if self.outage else ""
        return f"{self.kind}/{self.percent}{which}/{number}", number

    def words(self) -> str:
        """`undecided at 25 % since …, goes back by itself at …`."""
        what = "undecided" if self.kind == "undecided" else "without metrics"
        since = self.outage or self.since
        back = f"goes back by itself at {self.until:%F %H:%M} UTC"
        return f"{what} at {self.percent} % since {since:%F %H:%M} UTC; {back}"
