"""Requests and policies in few words, for tests of the policy and what stands on it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from leverframe.model.proposals import Effect, FlipFlag, RevertChange, RollBack
from policies.decision import ReserveRequest
from policies.documents import PolicySnapshot, parse

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

OFF = FlipFlag(flag="new-checkout", on=False)
ON = FlipFlag(flag="new-checkout", on=True)
REVERT = RevertChange(repository="shop", commit="a" * 40, title="Revert", body="Because.")
BACK = RollBack(service="shop", to="b" * 40)


def ask(
    reservation: str = "run/1",
    effect: Effect = OFF,
    *,
    agent: str = "sentry_spike",
    repository: str = "shop",
    subject: str = "SHOP-1",
) -> ReserveRequest:
    """One request; the repository's service has its name."""
    return ReserveRequest(
        reservation=reservation,
        agent=agent,
        repository=repository,
        service=repository,
        subject=subject,
        effect=effect,
    )


def policy(limits: Sequence[str] = (), *, autonomy: str = "act", kill_switch: bool = False) -> PolicySnapshot:
    """The organisation's file with these limits (flow mappings), and a permissive agent's file."""
    levers = (
        "levers: {flip_flag: {direction: {to_off: act, to_on: act_with_approval}, flags: {allow: ['*']}},"
        " roll_back: {}, open_merge_request: {}}\n"
        "escalation: {quorum: 1, expires_after: 1h}\n"
    )
    rows = "".join(f"  - {limit}\n" for limit in limits)
    org = (
        f"version: 1\nlayer: org\nautonomy: {autonomy}\nkill_switch: {str(kill_switch).lower()}\n{levers}"
        + (f"limits:\n{rows}" if rows else "")
    )
    agent = f"version: 1\nlayer: agent\nautonomy: act\nkill_switch: false\n{levers}"
    return parse({"org.yaml": org, "agents/sentry_spike.yaml": agent})
