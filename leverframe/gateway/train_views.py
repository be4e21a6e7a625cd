"""What the trains' pages ask the engine: the view of each train, however many people look at it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from leverframe.model.errors import Unavailable
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
        handle = self._client.get_workflow_handle(train_id(repository.name, repository.target))
        limit = timedelta(seconds=self._answer)
        try:
            async with asyncio.timeout(self._answer + 1), self._room:
                found: TrainView = await handle.query("view", result_type=TrainView, rpc_timeout=limit)
                return found
        except WorkflowQueryFailedError as error:
            raise Unavailable(f"the train can't say how it is: {error}") from error
        except TimeoutError as error:
            raise Unavailable(f"the engine did not answer within {self._answer:g} s") from error
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return view(repository.name, TrainState(rules=repository.train), datetime.now(UTC))
            if error.status in (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED):
                said = f"the train's worker did not answer within {self._answer:g} s"
                raise Unavailable(f"{said}: is `leverframe worker` running?") from error
            raise Unavailable(f"the engine answered {error.status.name}") from error
        except ValueError as error:
            raise Unavailable("the train's worker has another version than this gateway") from error
        except RuntimeError as error:
            # What a lazy client raises that can't connect.
            raise Unavailable("the engine can't be reached") from error
