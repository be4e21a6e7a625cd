"""Flag activities: a reservation is the only key, and it opens exactly one flag."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.flags import FlagActivities
from activities.ports import Health
from leverframe.model.errors import NotFound
from leverframe.model.facts import FlagState
from leverframe.model.ids import digest
from leverframe.model.proposals import FlipFlag, RollBack
from policies.decision import Allowed, Reservation, ReserveRequest

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Switches:
    """A Flags port in memory; a change shows in `evaluate` after `lag` further evaluations."""

    def __init__(self, lag: int = 0) -> None:
        self.values = {"new-pricing": True}
        self.seen = dict(self.values)
        self.keys: list[tuple[str, str]] = []
        self.lag = lag

    def list(self) -> list[FlagState]:
        return [FlagState(flag=flag, on=on) for flag, on in self.values.items()]

    def set(self, flag: str, on: bool, *, key: str, reason: str) -> bool:
        if flag not in self.values:
            raise NotFound(f"no flag {flag!r}")
        self.keys.append((key, reason))
        changed = self.values[flag] is not on
        self.values[flag] = on
        return changed

    def evaluate(self, flag: str, *, targeting_key: str = "leverframe-verify") -> bool:
        if self.lag == 0:
            self.seen = dict(self.values)
        self.lag -= 1
        return self.seen[flag]

    def health(self) -> Health:
        return Health(ok=True, detail="in memory")


def reservation(effect: FlipFlag | RollBack) -> Reservation:
    request = ReserveRequest(
        reservation="run/sentry_spike/shop/SHOP-1/1/0",
        agent="sentry_spike",
        repository="shop",
        service="shop",
        subject="SHOP-1",
        effect=effect,
    )
    allowed = Allowed.grant(request, policy_digest="0" * 64, now=NOW, lapses_at=NOW + timedelta(hours=1))
    return allowed.reservation


def test_a_flip_writes_under_the_reservation_s_id() -> None:
    switches = Switches()
    result = ActivityEnvironment().run(
        FlagActivities(switches).flip, reservation(FlipFlag(flag="new-pricing", on=False))
    )
    assert result.changed
    assert switches.values == {"new-pricing": False}
    assert switches.keys == [("run/sentry_spike/shop/SHOP-1/1/0", "sentry_spike on SHOP-1")]


def test_a_retried_flip_changes_nothing() -> None:
    activities = FlagActivities(Switches())
    held = reservation(FlipFlag(flag="new-pricing", on=False))
    assert ActivityEnvironment().run(activities.flip, held).changed
    assert not ActivityEnvironment().run(activities.flip, held).changed


def refused(held: Reservation) -> ApplicationError:
    switches = Switches()
    with pytest.raises(ApplicationError) as caught:
        ActivityEnvironment().run(FlagActivities(switches).flip, held)
    assert switches.keys == []
    return caught.value


def test_a_reservation_for_another_lever_is_refused() -> None:
    error = refused(reservation(RollBack(service="shop", to="b" * 40)))
    assert (error.type, error.non_retryable) == ("Refused", True)
    assert "roll_back" in str(error)


def test_a_reservation_whose_effect_was_changed_is_refused() -> None:
    held = reservation(FlipFlag(flag="new-pricing", on=False))
    other = FlipFlag(flag="express-checkout", on=False)
    error = refused(held.model_copy(update={"effect": other}))
    assert error.type == "Refused"
    assert digest(other) != held.effect_digest


def test_an_unknown_flag_is_a_final_not_found() -> None:
    with pytest.raises(ApplicationError) as caught:
        ActivityEnvironment().run(
            FlagActivities(Switches()).flip, reservation(FlipFlag(flag="gone", on=False))
        )
    assert (caught.value.type, caught.value.non_retryable) == ("NotFound", True)


def test_verify_waits_until_the_flip_is_seen() -> None:
    switches = Switches(lag=3)
    switches.set("new-pricing", False, key="k", reason="r")
    check = ActivityEnvironment().run(FlagActivities(switches).verify_flag, "new-pricing", False)
    assert (check.ok, check.value) == (True, False)
    assert switches.lag < 0


def test_verify_says_so_when_the_flip_is_never_seen() -> None:
    activities = FlagActivities(Switches(), wait_seconds=0.05)
    check = ActivityEnvironment().run(activities.verify_flag, "new-pricing", False)
    assert (check.ok, check.value) == (False, True)


def test_the_flags_are_listed_as_the_backend_has_them() -> None:
    listed = ActivityEnvironment().run(FlagActivities(Switches()).list_flags)
    assert listed == [FlagState(flag="new-pricing", on=True)]


def test_a_flag_that_was_killed_on_its_way_is_not_given_to_everybody() -> None:
    class Killed(Switches):
        def list(self) -> list[FlagState]:
            return [FlagState(flag="new-pricing", on=False, killed_at_percent=5)]

    switches = Killed()
    with pytest.raises(ApplicationError, match="roll it out again") as refused:
        ActivityEnvironment().run(
            FlagActivities(switches).flip, reservation(FlipFlag(flag="new-pricing", on=True))
        )
    assert refused.value.type == "Refused"
    assert switches.keys == []
