"""The word that a release is to end, a person's or a newer release's, kept until it is heeded.

The engine delivers a cancellation to whatever the workflow waits for. When that is an activity whose result
came in the same moment, the result wins and the cancellation is gone; so the word itself is kept, and looked
at before each call and after each wait.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow


class Stop:
    """The word, and the task that it interrupts."""

    def __init__(self, why: str | None = None) -> None:
        self.why = why
        """`ada aborted the release: customers call`; None: nobody has said so."""
        self.superseded_by: str | None = None
        """The newer commit for which it ends; None: it ends for another reason."""
        self._way: asyncio.Task[object] | None = None
        self._past = False

    def interrupts(self, way: "asyncio.Task[object]") -> None:
        """The task to interrupt when the word comes."""
        self._way = way

    def order(self, why: str, *, superseded_by: str | None = None) -> None:
        """End the release. Too late once it is on its way back or has arrived; the first word stands."""
        if self._past or self.why is not None:
            return
        self.why, self.superseded_by = why, superseded_by
        if self._way is not None:
            self._way.cancel()

    def heed(self) -> None:
        """Raises CancelledError when the release is to end."""
        if self.why is not None and not self._past:
            raise asyncio.CancelledError

    @property
    def past(self) -> bool:
        """Whether it is too late: from here on the release goes to its end, whatever is said."""
        return self._past

    def pass_by(self) -> None:
        """The release is on its way back, or has arrived."""
        self._past = True

    async def wait(self, news: Callable[[], bool], within: timedelta | None = None) -> bool:
        """Wait for news; False when the time passed without. Raises CancelledError as `heed`."""
        try:
            await workflow.wait_condition(
                lambda: news() or (self.why is not None and not self._past), timeout=within
            )
        except TimeoutError:
            return False
        self.heed()
        return True
