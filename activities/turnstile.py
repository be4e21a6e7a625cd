"""A turnstile: callers of one busy place go through a few at a time, and fewer when it is too many.

Processes that know nothing of each other come to share one limit this way: each adds a little while all goes
well and halves when it does not (Chiu & Jain, *Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance in Computer Networks*, 1989).
"""

import asyncio
from collections import deque
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
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._went_well = 0
        self._narrowings = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for a place and hold it."""
        await self._enter()
        try:
            yield Turn(self._narrowings)
            self._widen()
        finally:
            self._inside -= 1
            self._admit()

    def narrow(self, turn: Turn) -> None:
        """It was too many at once. Callers who were inside together are one such event, not many."""
        if turn.narrowings < self._narrowings:
            return
        self._narrowings += 1
        self._went_well = 0
        self.room = max(1, self.room // 2)

    def _widen(self) -> None:
        self._went_well += 1
        if self._went_well >= GROWS_AFTER and self.room < self._most:
            self._went_well = 0
            self.room += 1

    async def _enter(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._inside -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        """Let in who waits, as far as there is room; whoever does not wait any more is passed over."""
        while self._waiting and self._inside < self.room:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._inside += 1
