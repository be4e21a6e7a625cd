"""How often the infrastructure makes a healthy test fail and pass at one commit, learned from the bulk.

An isolated discordance is noise, a flake's first or a rare flake's; counting all of them as noise errs on the
side of a healthy test. The bound is a 99 % one and is asked before each run, so that a run never lowers the
bar for itself. It holds for noise of up to 1e-3: where more than half of all healthy tests are discordant
within 700 runs, no discordance is isolated.
"""

from dataclasses import dataclass
from math import exp, sqrt

ASSUMED = 2e-4
"""Of a repository that is not known yet."""
LEAST, MOST = 2e-5, 1e-2
ISOLATED = 500
"""Another discordance within so many runs of the test shows that neither was noise."""
_NONE_SEEN = 4.65
"""The upper bound on what is expected where nothing was seen."""
_ROUNDS = 8
_MEMORY = 5_000
"""Runs of the suite after which a run counts a third of what it did."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What a repository's bulk of tests shows, older runs counting less."""

    isolated: float = 0.0
    """Discordances without another of the same test near them."""
    runs: float = _NONE_SEEN / (ASSUMED * exp(-2.0 * ISOLATED * ASSUMED))
    """Runs of tests that are not quarantined; begins with what makes the bound ASSUMED."""

    @property
    def bound(self) -> float:
        """The share of a healthy test's runs in which it fails and passes at one commit is at most this."""
        seen = max(self.isolated, 0.0)
        most = (seen + 2.4 * sqrt(seen + 1.0) + _NONE_SEEN - 2.4) / self.runs
        noise = min(most, MOST)
        for _ in range(_ROUNDS):
            # Noise has company by chance, too: what is isolated is a share of it.
            noise = min(most * exp(2.0 * ISOLATED * noise), MOST)
        return max(noise, LEAST)

    def with_company(self) -> "Noise":
        """After a discordance that was counted has found company in a probe."""
        return Noise(isolated=max(self.isolated - 1, 0.0), runs=self.runs)

    def after(self, *, runs: int, isolated: int) -> "Noise":
        """After a run of the suite with so many tests, of which so many were discordant on their own.

        Negative where a discordance that was counted turns out to have company.
        """
        kept = 1.0 - 1.0 / _MEMORY
        return Noise(isolated=max(self.isolated * kept + isolated, 0.0), runs=self.runs * kept + runs)
