"""What can go wrong between a release and the world: calls that are refused, and answers that are lost."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from activities.failures import as_application_error
from leverframe.model.errors import LeverframeError, Unavailable

SOON = timedelta(milliseconds=5)

Hook = Callable[[], Awaitable[None]]


@dataclass
class Faults(Interceptor):
    """Stands between the engine and the activities; names are those of the activities."""

    away: dict[str, int] = field(default_factory=dict)
    """Calls → how many more of them nobody answers …"""
    pause: timedelta = SOON
    """… and how long the engine waits after each."""
    lost: dict[str, int] = field(default_factory=dict)
    """Calls → how many more of them are done, but their answer is lost: the worker died."""
    refuses: dict[str, LeverframeError] = field(default_factory=dict)
    """Calls that are refused for good."""
    before: dict[str, Hook] = field(default_factory=dict)
    """Calls → what happens, once, just before one is done …"""
    after: dict[str, Hook] = field(default_factory=dict)
    """… and just after, when the release has not heard of it."""
    made: list[str] = field(default_factory=list)
    """Calls that were done, in order."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Between(next, self)

    async def around(self, name: str, do: Callable[[], Awaitable[Any]]) -> Any:
        """One call."""
        if hook := self.before.pop(name, None):
            await hook()
        if self._strikes(self.away, name):
            raise Unavailable("nobody answers", wait=self.pause)
        if refusal := self.refuses.get(name):
            raise refusal
        answer = await do()
        self.made.append(name)
        if hook := self.after.pop(name, None):
            await hook()
        if self._strikes(self.lost, name):
            raise Unavailable("the worker is gone", wait=SOON)
        return answer

    @staticmethod
    def _strikes(left: dict[str, int], name: str) -> bool:
        left[name] = left.get(name, 0) - 1
        return left[name] >= 0


class _Between(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, faults: Faults) -> None:
        super().__init__(next)
        self._faults = faults

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        async def do() -> Any:
            return await super(_Between, self).execute_activity(input)

        try:
            return await self._faults.around(activity.info().activity_type, do)
        except LeverframeError as error:
            raise as_application_error(error) from error
