"""The turnstile: fewer go through when it is too many, one more when all goes well, and no place is lost."""

import asyncio

import pytest

from activities.turnstile import GROWS_AFTER, Turn, Turnstile


class Crowd:
    """Callers who stay inside until they are let out."""

    def __init__(self, turnstile: Turnstile, size: int) -> None:
        self.inside: list[Turn] = []
        self.most = 0
        self._turnstile = turnstile
        self._out = asyncio.Event()
        self._callers = [asyncio.create_task(self._call()) for _ in range(size)]

    async def _call(self) -> None:
        async with self._turnstile.turn() as turn:
            self.inside.append(turn)
            self.most = max(self.most, len(self.inside))
            await self._out.wait()
            self.inside.remove(turn)

    async def settled(self) -> int:
        """How many are inside once nobody moves any more."""
        for _ in range(20):
            await asyncio.sleep(0)
        return len(self.inside)

    async def leave(self) -> None:
        self._out.set()
        await asyncio.gather(*self._callers)


async def through(turnstile: Turnstile, times: int) -> None:
    for _ in range(times):
        async with turnstile.turn():
            pass


async def most_inside(turnstile: Turnstile) -> int:
    crowd = Crowd(turnstile, 20)
    found = await crowd.settled()
    await crowd.leave()
    return found


async def test_no_more_go_through_at_once_than_there_is_room() -> None:
    assert await most_inside(Turnstile(first=3, most=8)) == 3


async def test_callers_who_were_inside_together_narrow_it_once() -> None:
    turnstile = Turnstile(first=8, most=8)
    crowd = Crowd(turnstile, 8)
    await crowd.settled()
    for turn in tuple(crowd.inside):
        turnstile.narrow(turn)
    assert turnstile.room == 4
    await crowd.leave()
    assert await most_inside(turnstile) == 4


async def test_it_never_closes() -> None:
    turnstile = Turnstile(first=8, most=8)
    for _ in range(6):
        async with turnstile.turn() as turn:
            turnstile.narrow(turn)
    assert turnstile.room == 1
    assert await most_inside(turnstile) == 1


async def test_it_widens_by_one_after_many_good_turns_and_not_past_its_most() -> None:
    turnstile = Turnstile(first=1, most=2)
    await through(turnstile, GROWS_AFTER - 1)
    assert turnstile.room == 1
    await through(turnstile, 1)
    assert await most_inside(turnstile) == 2
    await through(turnstile, 2 * GROWS_AFTER)
    assert await most_inside(turnstile) == 2


async def test_it_widens_again_while_those_who_were_too_many_are_still_inside() -> None:
    turnstile = Turnstile(first=2, most=4)
    crowd = Crowd(turnstile, 2)
    await crowd.settled()
    turnstile.narrow(crowd.inside[0])
    await crowd.leave()
    await through(turnstile, GROWS_AFTER)
    assert turnstile.room == 2
    assert await most_inside(turnstile) == 2


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "waiting"])
async def test_a_caller_who_is_cancelled_gives_the_place_back(inside: bool) -> None:
    turnstile = Turnstile(first=1, most=1)
    ahead = Crowd(turnstile, 1)
    await ahead.settled()
    crowd = Crowd(turnstile, 1)
    await crowd.settled()
    (ahead if inside else crowd)._callers[0].cancel()
    await (crowd if inside else ahead).settled()
    await (crowd if inside else ahead).leave()
    assert await most_inside(turnstile) == 1


async def test_an_error_inside_is_no_good_turn() -> None:
    turnstile = Turnstile(first=1, most=2)
    for _ in range(GROWS_AFTER):
        with pytest.raises(OSError, match="no"):
            async with turnstile.turn():
                raise OSError("no")
    assert turnstile.room == 1
