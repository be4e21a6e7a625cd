"""What the train's doctor concludes from what it saw."""

from typing import Any

import pytest

from leverframe.cli.train_doctor import Seen, examine
from leverframe.model.checks import Check
from leverframe.model.errors import NotFound, Refused, Unavailable
from leverframe.model.topology import Infrastructure, Repository
from leverframe.model.trains import Capability, Rehearsal
from tests.fakes.gitlab_setup import declared

FINE = Rehearsal(git="git version 2.47.3", tip="a" * 40, pushed=False, rewinds="refused")
QUEUE = Capability(native=True, why="main has a merge queue", facts={"rewinds": "refused"})
NO_QUEUE = Capability(native=False, why="merge trains are off", facts={"rewinds": "nobody said"})
BY_FORGE = Check(name="ci", runs_on="forge")


def seen(**more: Any) -> Seen:
    return Seen(**({"has_forge": True, "capability": QUEUE, "rehearsal": FINE} | more))


def shop(track: str = "auto", **more: object) -> Repository:
    known = declared("shop")
    rules = known.train.model_copy(update={"track": track})
    return known.model_copy(update={"train": rules, "checks": (BY_FORGE,)} | more)


def colours(repository: Repository, found: Seen) -> dict[str, str]:
    return {each.part: each.colour for each in examine(repository, found).findings}


def test_a_repository_that_lacks_nothing_is_green_on_the_forges_own_queue() -> None:
    report = examine(shop(), seen())
    assert (report.track, report.why, report.facts) == ("native", QUEUE.why, QUEUE.facts)
    assert {each.colour for each in report.findings} == {"green"}


@pytest.mark.parametrize(
    ("track", "capability", "used", "colour", "said"),
    [
        ("auto", NO_QUEUE, "built_in", "green", "our own train: merge trains are off"),
        ("auto", None, "built_in", "green", "There is no forge with a queue"),
        ("auto", Unavailable("503"), "built_in", "yellow", "does not say whether its queue can be used: 503"),
        ("built_in", QUEUE, "built_in", "green", "rules say built_in"),
        ("built_in", Unavailable("503"), "built_in", "green", "rules say built_in"),
        ("native", QUEUE, "native", "green", "rules say native"),
        ("native", NO_QUEUE, "native", "red", "native can't be: merge trains are off"),
        ("native", None, "native", "red", "names no forge with a queue"),
        ("native", Unavailable("503"), "native", "red", "503"),
    ],
)
def test_the_track_is_told_with_its_reason_and_red_where_the_rules_ask_for_what_there_is_not(
    track: str, capability: Any, used: str, colour: str, said: str
) -> None:
    report = examine(shop(track), seen(capability=capability))
    [found] = [each for each in report.findings if each.part == "track"]
    assert (report.track, found.colour) == (used, colour)
    assert said in found.detail


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (NotFound("there is no branch trunk"), "url and target"),
        (Refused("does not support --atomic"), "push rights with --atomic on main and refs/train/*"),
        (Unavailable("timed out"), "ask again"),
    ],
)
def test_a_landing_that_would_fail_is_red_with_what_to_do(error: Exception, remedy: str) -> None:
    [found] = [each for each in examine(shop(), seen(rehearsal=error)).findings if each.part == "landing"]
    assert (found.colour, found.detail) == ("red", str(error))
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("on_disk", "capability", "colour"),
    [
        ("refused", None, "green"),
        ("taken", QUEUE, "green"),
        ("taken", None, "yellow"),
        ("unknown", QUEUE, "green"),
        ("unknown", NO_QUEUE, "yellow"),
        ("unknown", None, "yellow"),
    ],
)
def test_a_target_that_can_be_moved_by_force_or_may_be_is_yellow(
    on_disk: str, capability: Capability | None, colour: str
) -> None:
    rehearsal = FINE.model_copy(update={"rewinds": on_disk})
    assert colours(shop(), seen(rehearsal=rehearsal, capability=capability))["protection"] == colour


def test_checks_that_nobody_can_run_are_red() -> None:
    assert colours(shop(), seen(has_forge=False, capability=None))["checks"] == "red"


def test_checks_that_are_always_skipped_are_yellow() -> None:
    never = BY_FORGE.model_copy(update={"skip_when_only": ("**",)})
    assert colours(shop(checks=(never,)), seen())["checks"] == "yellow"


def test_what_the_forges_queue_does_not_do_is_yellow() -> None:
    tests = Check(name="tests", command=("true",))
    terraform = Infrastructure(paths=("infra/**",), directory="infra/dev")
    repository = shop(checks=(tests,), infrastructure=terraform)
    report = examine(repository, seen())
    said = {each.part: each.detail for each in report.findings if each.colour == "yellow"}
    assert "does not run tests" in said["checks"]
    assert "applies nothing to dev" in said["infrastructure"]
    by_us = colours(repository, seen(capability=NO_QUEUE.model_copy(update={"facts": QUEUE.facts})))
    assert set(by_us.values()) == {"green"}
