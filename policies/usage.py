"""Usage: what the ledger has granted, as the rules see it."""

from collections.abc import Iterable
from datetime import timedelta

from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.ids import digest
from leverframe.model.proposals import FlipFlag, Lever
from policies.decision import ReserveRequest
from policies.documents import Direction, Limit


class Intent(Frozen):
    """What the rules look at in a request: small enough to keep for as long as a limit can see it."""

    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    effect_digest: str
    flag: str | None = None
    direction: Direction | None = None

    @classmethod
    def of(cls, request: ReserveRequest) -> "Intent":
        """The intent of a request. Two requests with equal intents ask for the same thing."""
        effect = request.effect
        flip = effect if isinstance(effect, FlipFlag) else None
        return cls(
            agent=request.agent,
            repository=request.repository,
            service=request.service,
            subject=request.subject,
            lever=request.lever,
            effect_digest=digest(effect),
            flag=flip.flag if flip else None,
            direction=("to_on" if flip.on else "to_off") if flip else None,
        )


class Use(Frozen):
    """One granted effect that was not given back."""

    intent: Intent
    at: Instant
    """When it was reserved: windows count from here."""
    held: bool
    """Its outcome is not known yet."""


def scope_key(limit: Limit, intent: Intent) -> tuple[tuple[str, ...], ...]:
    """What must be equal for two effects to count together."""
    parts = {
        "agent": (intent.agent,),
        "repo": (intent.repository,),
        # The same subject name in another service is another subject.
        "subject": (intent.service, intent.subject),
    }
    return tuple(parts[name] for name in limit.scope)


def sees(limit: Limit, use: Use, now: Instant) -> bool:
    """Whether a use still counts for the limit at `now`. A window is half open: it ends when it ends."""
    if use.intent.lever not in limit.levers:
        return False
    return use.held if limit.window is None else use.at + limit.window > now


def counted(limit: Limit, intent: Intent, uses: Iterable[Use], now: Instant) -> tuple[Use, ...]:
    """The uses that stand beside `intent` under the limit, oldest first."""
    key = scope_key(limit, intent)
    beside = (use for use in uses if sees(limit, use, now) and scope_key(limit, use.intent) == key)
    return tuple(sorted(beside, key=lambda use: use.at))


def free_again(limit: Limit, taken: tuple[Use, ...], maximum: int) -> Instant | None:
    """When the window lets one more through if nothing else happens; None when waiting alone won't do.

    `taken` is oldest first and has at least `maximum` members.
    """
    if limit.window is None or maximum == 0:
        return None
    return taken[len(taken) - maximum].at + limit.window


def longest_window(limits: Iterable[Limit]) -> timedelta:
    """The longest window among the limits, or zero."""
    return max((limit.window for limit in limits if limit.window), default=timedelta(0))
