"""The pager: tells people, once for each cause, while the release goes on."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.chat import ChatActivities
    from workflows.queues import HANDS
    from workflows.release.asking import ANSWER
    from workflows.release.book import Book
    from workflows.release.calls import UNTIL_IT_WORKS
    from workflows.release.reasons import reason

R = TypeVar("R")

PATIENCE = timedelta(minutes=10)
"""How long a chat that does not answer is asked again. The release's story says the same all the while."""

REMEMBERED = 500
"""Causes that are kept; the chat knows the older ones by their keys."""


class Pager:
    """Sends pages in the background: a chat that is down must not keep a release from going back."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a page is under way."""
        return bool(self._under_way)

    def page(self, cause: str, text: Callable[[], str]) -> None:
        """Tell people, unless they were told of this cause already."""
        if cause in self._book.state.paged:
            return
        self._book.note(paged=(*self._book.state.paged, cause)[-REMEMBERED:])
        task = asyncio.create_task(self._send(f"{workflow.info().workflow_id}/{cause}", text()))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def in_time(
        self, work: Coroutine[Any, Any, R], within: timedelta, cause: str, text: Callable[[], str]
    ) -> R:
        """What the work returns; people are paged when it takes longer than that."""
        task = asyncio.create_task(work)
        await workflow.wait([task], timeout=within.total_seconds())
        if not task.done():
            self.page(cause, text)
        return await task

    async def finish(self) -> None:
        """Wait until the pages are out, or given up."""
        await workflow.wait_condition(lambda: not self._under_way)

    async def _send(self, key: str, text: str) -> None:
        try:
            await workflow.execute_activity_method(
                ChatActivities.page,
                args=[key, text],
                task_queue=HANDS,
                start_to_close_timeout=ANSWER,
                schedule_to_close_timeout=PATIENCE,
                retry_policy=UNTIL_IT_WORKS,
                summary="Page people",
            )
        except ActivityError as error:
            workflow.logger.warning("nobody could be paged: %s", reason(error))
