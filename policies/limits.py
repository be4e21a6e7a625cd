"""Limits: caps within sliding windows and on what is unsettled, in effects, money, tokens or questions."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from leverframe.model.proposals import Cost
from policies.counting import Counter, ScopeKey, amount, scope_key
from policies.decision import Finding, Verdict
from policies.documents import PolicyDocument
from policies.intent import Intent
from policies.rules import Limit, duration_words
from policies.usage import Asking, Usage


def findings(document: PolicyDocument, intent: Intent, usage: Usage, now: datetime) -> Iterator[Finding]:
    """Every limit of the file that one more effect would exceed."""
    for position, limit in enumerate(document.rules.limits):
        if limit.unit == "escalations" or intent.lever not in limit.levers:
            continue
        if intent.cost is None and limit.unit in ("cents", "tokens") and limit.max != "unlimited":
            yield _unpriced(document, position, limit)
            continue
        more = amount(limit, intent.cost or Cost(), intent.tests)
        if limit.unit == "tests" and not more:
            continue
        taken = _Taken(usage.counter(document, limit), scope_key(limit, intent), more)
        verdict = Verdict.ESCALATE if limit.on_exceed == "escalate" else Verdict.DENY
        yield from _exceeded(document, position, taken, now, verdict)


def attention(document: PolicyDocument, asking: Asking, usage: Usage, now: datetime) -> Iterator[Finding]:
    """Every limit of the file on people's attention that one more question to the group would exceed."""
    for position, limit in enumerate(document.rules.limits):
        if limit.unit == "escalations" and asking.lever in limit.levers:
            taken = _Taken(usage.counter(document, limit), scope_key(limit, asking, asking.group), 1)
            yield from _exceeded(document, position, taken, now, Verdict.DENY)


class _Taken(NamedTuple):
    """What stands under a limit, and how much more is asked for."""

    counter: Counter
    scope: ScopeKey
    more: int


def _exceeded(
    document: PolicyDocument, position: int, taken: _Taken, now: datetime, verdict: Verdict
) -> Iterator[Finding]:
    limit = taken.counter.limit
    maximum, together = limit.max, taken.counter.taken(taken.scope, now) + taken.more
    if isinstance(maximum, str) or together <= maximum:
        return
    place = document.source("limits", position)
    retry_at = taken.counter.free_again(taken.scope, together - maximum, now)
    if retry_at is not None:
        help_ = f"Wait until {retry_at:%Y-%m-%d %H:%M:%S %Z}"
    elif limit.window is None and taken.more <= maximum:
        help_ = "Wait until an earlier effect is settled"
    else:
        help_ = f"Raise `max` at {place}"
    unit = "" if limit.unit == "count" else f" {limit.unit}"
    span = f"in {duration_words(limit.window)}" if limit.window else "unsettled"
    per = f" per {', '.join(limit.scope)}" if limit.scope else ""
    yield Finding(
        rule=f"{document.name}.limits.{limit.id}",
        verdict=verdict,
        observed=f"{together}{unit} {span} with this one",
        figure=together,
        limit=f"at most {maximum}{unit} {span}{per}",
        retry_at=retry_at,
        remedy=help_ + (", or ask a person to approve it." if verdict is Verdict.ESCALATE else "."),
        source=place,
    )


def _unpriced(document: PolicyDocument, position: int, limit: Limit) -> Finding:
    place = document.source("limits", position)
    return Finding(
        rule=f"{document.name}.limits.{limit.id}",
        verdict=Verdict.DENY,
        observed="no estimate of the cost",
        limit=f"at most {limit.max} {limit.unit}",
        remedy="Say what it costs before it is spent.",
        source=place,
    )
