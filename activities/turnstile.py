"""A turnstile: callers of one busy place go through a few at a time, and fewer when it is too many.

Processes that know nothing of each other come to share one limit this way: each adds a little while all goes
well and halves when it does not (Chiu & Jain, *Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance in Computer Networks*, 1989).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

GROWS_AFTER = 200
"""Turns that went well before one more caller may be inside."""


@dataclass(frozen=True)
class Turn:
    """One caller's time inside."""

    narrowings: int
    """How often it had become narrower before."""


class Turnstile:
    """Callers wait in the order in which they came. Belongs to one event loop."""

    def __init__(self, *, first: int, most: int) -> None:
        """`first`: how many may be inside to begin with; `most`: how many ever."""
        self.room = first
        self._most = most
        self._permits = asyncio.Semaphore(first)
        self._excess = 0
        """Permits that are out although there is no room for them any more."""
        self._went_well = 0
        self._narrowings = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for a place and hold it."""
        await self._permits.acquire()
        turn = Turn(self._narrowings)
        try:
            yield turn
        except BaseException:
            self._leave()
            raise
        self._leave()
        self._widen()

    def narrow(self, turn: Turn) -> None:
        """It was too many at once. Callers who were inside together are one such event, not many."""
        if turn.narrowings < self._narrowings:
            return
        self._narrowings += 1
        self._went_well = 0
        fewer = max(1, self.room // 2)
        self._excess += self.room - fewer
        self.room = fewer

    def _widen(self) -> None:
        self._went_well += 1
        if self._went_well < GROWS_AFTER or self.room == self._most:
            return
        self._went_well = 0
        self.room += 1
        self._leave()

    def _leave(self) -> None:
        if self._excess:
            self._excess -= 1
        else:
            self._permits.release()
