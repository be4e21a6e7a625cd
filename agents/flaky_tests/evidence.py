"""The evidence that a test is flaky: a Shiryaev-Roberts e-detector over runs at one commit.

A test whose outcome is a function of the commit never fails and passes at one commit, except by noise of the
infrastructure, in at most `noise` of its runs. For each rate q in RATES the statistic goes
M ← (M + 1) · (q / noise if it did both, else 1 - q). Under that hypothesis the factor's expectation is at
most 1, so M minus the number of runs is a supermartingale, and so is the mean over q. Hence the mean number
of runs to a false alarm at M ≥ A is at least A, and an alarm within n runs has a chance of at most n / A,
whatever the pattern of good and bad commits, whenever one stops, and though `noise` is learned meanwhile, as
long as it is an upper bound that was known before the run. Shin, Ramdas, Rinaldo (2022), "E-detectors".

The factor of a quiet run does not hold the noise: quiet runs can be folded later, many at once.
"""

RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
"""How often a flaky test may show itself; the evidence is the mean over them."""

Evidence = tuple[float, ...]
"""One statistic for each of RATES."""

NONE: Evidence = (0.0,) * len(RATES)

_LARGEST = 1e30


def after_quiet(evidence: Evidence, runs: int) -> Evidence:
    """The evidence after so many runs in which the test did not both fail and pass, in closed form."""
    if runs <= 0:
        return evidence
    return tuple(repeated(value, 1.0 - rate, runs) for value, rate in zip(evidence, RATES, strict=True))


def after_discordance(evidence: Evidence, noise: float) -> Evidence:
    """The evidence after a run in which the test failed and passed at one commit."""
    return tuple(
        min((value + 1.0) * rate / noise, _LARGEST) for value, rate in zip(evidence, RATES, strict=True)
    )


def after_job(evidence: Evidence, executions: int, noise: float, *, hit: bool) -> Evidence:
    """The evidence after a fresh job that executed the test so many times at one commit.

    `hit`: it failed and passed. A job counts once however often it failed, since one bad machine fails
    everything. No run is added: the job was asked for because of what was seen.
    """
    by_noise = min(executions * noise, 1.0)

    def factor(rate: float) -> float:
        clean = (1.0 - rate) ** executions
        return (1.0 - clean) / by_noise if hit else clean

    return tuple(min(value * factor(rate), _LARGEST) for value, rate in zip(evidence, RATES, strict=True))


def strength(evidence: Evidence) -> float:
    """What is compared with A: the mean over the rates."""
    return sum(evidence) / len(evidence)


def repeated(value: float, factor: float, runs: int) -> float:
    """M ← (M + 1) · factor, so many times; the factor is less than 1."""
    shrunk: float = factor**runs
    return value * shrunk + factor * (1.0 - shrunk) / (1.0 - factor)
