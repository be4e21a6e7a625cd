"""The circuit breaker: an agent whose effects turn out badly is stopped, then may prove itself.

closed ──`bad` of the `of_last` settled──▶ open ──after `open_for`──▶ half open ──a good probe──▶ closed
                                             ▲                             │
                                             └──────────a bad one──────────┘

Nothing is stored: the breaker is read from the agent's uses, in the order in which they were settled. What
opened it stays in the memory of the last outcomes, so one more bad outcome soon after a good probe opens it
again, and lowering `bad` or raising `of_last` or `open_for` can only make it stricter.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from leverframe.model.outcomes import Outcome
from policies.decision import Finding, Verdict
from policies.documents import PolicyDocument
from policies.intent import Intent
from policies.rules import Breaker, duration_words
from policies.usage import Use


@dataclass(frozen=True)
class Standing:
    """Where a breaker stands."""

    state: Literal["closed", "open", "half open"]
    opened_at: datetime | None
    """The last time it opened; None while closed."""
    tripped: bool
    """What was settled last opened it, or opened it again."""


def standing(settings: Breaker, uses: Sequence[Use], now: datetime) -> Standing:
    """Where the breaker stands after these uses of one agent.

    A use counts when it is settled: as bad by its outcome or for costing more than was reserved, as good when
    it landed. Other outcomes say nothing about the agent. A probe is a use reserved while half open.
    """
    outcomes: deque[bool] = deque(maxlen=settings.of_last)
    opened_at: datetime | None = None
    settled = _settled(settings, uses, now)
    for ended_at, good, use in settled:
        if good is None:
            continue
        outcomes.append(not good)
        if good:
            if opened_at is not None and use.at >= opened_at + settings.open_for:
                opened_at = None
        # Bad news after it opened prolongs it, even of an effect that was on its way already.
        elif opened_at is not None or sum(outcomes) >= settings.bad:
            opened_at = ended_at
    if opened_at is None:
        return Standing("closed", None, tripped=False)
    state: Literal["open", "half open"] = "open" if now < opened_at + settings.open_for else "half open"
    return Standing(state, opened_at, tripped=opened_at == settled[-1][0])


def _settled(
    settings: Breaker, uses: Iterable[Use], now: datetime
) -> list[tuple[datetime, bool | None, Use]]:
    """When each use was settled and whether that was good, in this order; None: it counts neither way.

    Of two at the same instant the bad one comes first, so no other order can hide it.
    """
    rows = []
    for use in uses:
        if use.ended_at is not None and use.ended_at <= now:
            bad = use.overrun or use.outcome in settings.bad_outcomes
            good = False if bad else True if use.outcome is Outcome.LANDED else None
            rows.append((use.ended_at, good, use))
    return sorted(rows, key=lambda row: (row[0], row[1] is not False))


def tripped(settings: Breaker, uses: Sequence[Use], now: datetime) -> bool:
    """Whether what was settled last opens the agent's breaker, or opens it again."""
    return standing(settings, uses, now).tripped


def findings(
    document: PolicyDocument, intent: Intent, uses: Sequence[Use], now: datetime
) -> Iterator[Finding]:
    """Open denies. Half open asks people, and denies while `probe` effects of the agent are unsettled.

    Args:
        uses: The agent's, within what the document is about.
    """
    settings = document.rules.breaker
    if settings is None:
        return
    found = standing(settings, uses, now)
    if found.opened_at is None:
        return
    rule, place = f"{document.name}.breaker", document.source("breaker")
    limit = f"fewer than {settings.bad} bad of the last {settings.of_last}"
    unsettled = sum(use.held for use in uses)
    full = unsettled >= settings.probe
    if found.state == "open":
        # Not `retry_at`: waiting alone never makes it pass, a person must approve the probe.
        half_open_at = found.opened_at + settings.open_for
        yield Finding(
            rule=rule,
            verdict=Verdict.DENY,
            observed=f"{intent.agent} was stopped at {_words(found.opened_at)}: its effects went badly",
            limit=f"{limit}, or {duration_words(settings.open_for)} without effects",
            remedy=f"Wait until {_words(half_open_at)}, then ask a person to approve one effect as a probe.",
            source=place,
        )
        return
    yield Finding(
        rule=rule,
        verdict=Verdict.DENY if full else Verdict.ESCALATE,
        observed=f"{intent.agent} must prove itself: {unsettled} unsettled of {settings.probe} probes",
        figure=unsettled,
        limit=f"{limit}, or a good probe",
        remedy=(
            "Wait until an earlier effect is settled."
            if full
            else "Ask a person to approve exactly this effect."
        ),
        source=place,
    )


def _words(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S %Z}"
