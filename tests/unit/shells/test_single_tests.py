"""What the doctor says of checks that execute single tests: what was seen in a jail, and no more."""

from pathlib import Path
from typing import Any

import pytest

from activities.backends.sandbox_jail import JailSandbox
from leverframe.cli.doctor import Finding
from leverframe.cli.single_tests import TRIED, Seen, looked, single_tests
from leverframe.demo.shop_repository import shop_repository
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from leverframe.model.errors import Refused
from leverframe.model.topology import Repository
from tests.fakes import jails

SHOP = shop_repository("shop.git")
WHOLE = Seen(pytest=True, plugin=True, named=True, moves_clock=True, knows_zones=True)


def bank(*command: str) -> Repository:
    """A repository with such a check."""
    check = Check(name="unit", command=(*command, "{results}"), selects_tests=True)
    return SHOP.model_copy(update={"name": "bank", "checks": (*SHOP.checks, check)})


def found(seen: Seen | str, *repositories: Repository) -> list[Finding]:
    return list(single_tests(repositories, lambda: seen))


def test_without_such_a_check_nothing_is_tried() -> None:
    assert list(single_tests((), unreachable)) == []
    [finding] = single_tests((SHOP,), unreachable)
    assert (finding.colour, finding.detail) == ("yellow", "no check can execute one test again in shop")


def test_a_command_of_another_kind_is_not_tried_and_that_is_said() -> None:
    [finding] = single_tests((bank("make", "test"),), unreachable)
    assert finding.colour == "green"
    assert "not tried: bank by unit, whose command does not begin with {python} -m pytest" in finding.detail


def unreachable() -> Seen:
    raise AssertionError("nothing is to be tried")


@pytest.mark.parametrize(
    ("lacks", "colour", "detail"),
    [
        ({}, "green", "can be executed again, tried: bank by unit"),
        ({"pytest": False, "plugin": False, "named": False}, "red", "{python} in the sandbox lacks pytest,"),
        ({"plugin": False, "named": False}, "red", "{python} in the sandbox lacks our pytest plugin,"),
        ({"named": False}, "red", "has our plugin, and pytest does not load it: bank by unit"),
        (
            {"moves_clock": False},
            "yellow",
            "time-machine 3 is not there, so `clock` varies the time zone alone",
        ),
        ({"knows_zones": False}, "yellow", "knows no time zones, so `clock` does not vary them"),
    ],
)
def test_what_is_missing_is_named(lacks: dict[str, Any], colour: str, detail: str) -> None:
    [finding] = found(WHOLE.model_copy(update=lacks), bank(*TRIED))
    assert finding.colour == colour
    assert detail in finding.detail
    assert bool(finding.remedy) == bool(lacks)


def test_each_repository_is_told_by_what_is_known_of_it() -> None:
    told = found(WHOLE, SHOP, bank("make"), bank(*TRIED).model_copy(update={"name": "till"}))
    assert [(one.part, one.colour) for one in told] == [
        ("single tests", "yellow"),
        ("single tests", "green"),
        ("single tests", "green"),
    ]


def test_a_plugin_that_the_command_names_need_not_be_a_package() -> None:
    seen = WHOLE.model_copy(update={"named": False})
    [finding] = found(seen, bank(*TRIED, "-p", "leverframe_pytest.plugin"))
    assert finding.colour == "green"


def test_a_plugin_that_is_a_package_and_named_in_the_command_ends_pytest() -> None:
    for named in (("-p", "leverframe_pytest.plugin"), ("-pleverframe_pytest.plugin",)):
        [finding] = found(WHOLE, bank(*TRIED, *named))
        assert (finding.colour, "and ends where it is named besides: bank by" in finding.detail) == (
            "red",
            True,
        )
    for once in (("-p", "leverframe"), ("-p", "no:leverframe", "-p", "leverframe_pytest.plugin")):
        [finding] = found(WHOLE, bank(*TRIED, *once))
        assert finding.colour == "green"
    [finding] = found(WHOLE, bank(*TRIED, "-pno:leverframe"))
    assert (finding.colour, "pytest does not load it" in finding.detail) == ("red", True)


class Scripted:
    """A sandbox that answers as it is told to."""

    def __init__(self, answer: CheckResult | Refused) -> None:
        self.answer = answer

    def run_check(self, *_: Any, **__: Any) -> CheckResult:
        if isinstance(self.answer, Refused):
            raise self.answer
        return self.answer


def said(log: str, outcome: Any = "passed") -> Seen | str:
    result = CheckResult(check="doctor", sha="0" * 40, outcome=outcome, seconds=1, summary="s", log=log)
    return looked(Scripted(result))  # type: ignore[arg-type]


def test_an_answer_is_read_as_what_anybody_may_have_printed() -> None:
    assert said("hello\n" + WHOLE.model_dump_json()) == WHOLE
    assert said("\x1b[31m{}") == "{python} in the jail said '{}'"
    assert said("", "failed") == "{python} in the jail: s"


def test_without_a_jail_it_is_yellow_since_nothing_could_be_tried() -> None:
    seen = looked(Scripted(Refused("no jail here")))  # type: ignore[arg-type]
    [finding] = found(seen, bank(*TRIED))
    assert (finding.colour, "no jail here" in finding.detail) == ("yellow", True)


@pytest.mark.parametrize("kind", jails.KINDS)
def test_in_a_real_jail_it_sees_what_the_interpreter_of_these_tests_has(kind: Any) -> None:
    if why := jails.why_not(kind):
        pytest.skip(f"no {kind} jail here: {why}")
    seen = looked(JailSandbox(kind))
    assert isinstance(seen, Seen), seen
    zones = Path("/usr/share/zoneinfo/Asia/Kathmandu").exists()
    # The checkout that the plugin is loaded from here is not visible there.
    assert seen == Seen(pytest=True, plugin=False, named=False, moves_clock=True, knows_zones=zones)
