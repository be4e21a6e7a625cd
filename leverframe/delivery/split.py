"""The split: which of the next requests go to the canary."""

import random

BLOCK = 100


class Split:
    """Of every 100 requests exactly `percent` go to the canary, at places that follow no pattern.

    Permuted blocks, as trials assign patients: a plain counter would be exact too, but would give the
    canary always the same kind of request when clients send in a rhythm. The places are nested, so a
    request that the canary gets at 5 % it would also get at 25 %. The same seed gives the same places.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - assigns requests, guards nothing
        self._ranks: list[int] = []

    def canary(self, percent: int) -> bool:
        """Whether the next request is one of the canary's `percent` in 100."""
        if not self._ranks:
            self._ranks = self._random.sample(range(BLOCK), BLOCK)
        return self._ranks.pop() < percent
