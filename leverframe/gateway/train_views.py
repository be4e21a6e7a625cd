"""What the trains' pages ask the engine: the view of each train, however many people look at it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from temporalio.client import Client

from leverframe.gateway.questions import answer_of
from leverframe.model.ids import train_id
from leverframe.model.topology import Repository
from workflows.merge_train.state import TrainState
from workflows.merge_train.view import TrainView, view

FRESH_SECONDS = 1.0
"""Whoever asks within this time shares one query, so that many open pages are no load for the workers."""

ANSWER_SECONDS = 3.0

AT_ONCE = 8
"""Queries that wait for the engine at the same time."""


@dataclass(frozen=True)
class _Asked:
    answer: asyncio.Task[TrainView]
    at: float


class TrainViews:
    """The declared trains by repository and target, and how they are now."""

    def __init__(
        self,
        client: Client,
        repositories: tuple[Repository, ...],
        *,
        fresh: float = FRESH_SECONDS,
        answer: float = ANSWER_SECONDS,
    ) -> None:
        self._client = client
        self._fresh = fresh
        self._answer = answer
        self.declared: Mapping[tuple[str, str], Repository] = MappingProxyType(
            {(each.name, each.target): each for each in repositories}
        )
        self._asked: dict[str, _Asked] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    async def of(self, repository: Repository) -> TrainView:
        """The train, at most a second old. One that has not begun yet is empty.

        Raises:
            Unavailable: the engine or the train's worker did not answer in time.
        """
        now = asyncio.get_running_loop().time()
        asked = self._asked.get(repository.name)
        if asked is None or (asked.answer.done() and now - asked.at >= self._fresh):
            asked = _Asked(asyncio.create_task(self._ask(repository)), now)
            # A failure that nobody waits for any more is no news for the log.
            asked.answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._asked[repository.name] = asked
        # Somebody who goes away does not take the answer from the others.
        return await asyncio.shield(asked.answer)

    async def _ask(self, repository: Repository) -> TrainView:
        train = train_id(repository.name, repository.target)
        async with self._room:
            found = await answer_of(self._client, train, "view", TrainView, who="train", seconds=self._answer)
        return found or view(repository.name, TrainState(rules=repository.train), datetime.now(UTC))
