"""Executing single tests as the environment says, in real runs of pytest."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leverframe_pytest.only import MOST_BEFORE, Malformed, Only, chosen, told
from leverframe_pytest.quarantine import PLACE, Entry, write

pytest_plugins = "pytester"

PLUGIN = ("-p", "no:asyncio", "-p", "leverframe_pytest.plugin", "--leverframe-results=out.jsonl")
SHOP = """
    import os, pathlib, pytest

    ran = []

    @pytest.fixture(autouse=True, scope="module")
    def told():
        yield
        with pathlib.Path(__file__).with_name("ran").open("a") as file:
            file.write(" ".join(ran) + "\\n")

    @pytest.mark.parametrize("currency", ["usd", "e u/r", "a::b"])
    def test_total(currency): ran.append(currency)

    def test_red(): ran.append("red"); assert False

    def test_needs_total():
        ran.append("needs")
        assert "usd" in ran, "nobody came before"

    def test_last():
        ran.append("last")
        assert "LEVERFRAME_ONLY" not in os.environ
"""
NEEDS = "test_shop.py::test_needs_total"


class House:
    """A repository whose tests leave word of which of them ran."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester, self._monkeypatch = pytester, monkeypatch
        pytester.makepyfile(test_shop=SHOP, test_other="def test_other(): pass")

    def run(
        self, *tests: str, kind: str = "as_it_ran", seed: int = 0, arguments: str = ""
    ) -> pytest.RunResult:
        self._monkeypatch.setenv("LEVERFRAME_ONLY", json.dumps(tests))
        self._monkeypatch.setenv("LEVERFRAME_KIND", kind)
        self._monkeypatch.setenv("LEVERFRAME_SEED", str(seed))
        for name in ("out.jsonl", "ran"):
            (self.pytester.path / name).unlink(missing_ok=True)
        return self.pytester.runpytest_inprocess(*PLUGIN, *arguments.split())

    @property
    def ran(self) -> list[str]:
        return (self.pytester.path / "ran").read_text().splitlines()

    @property
    def attempts(self) -> list[tuple[str, int, str]]:
        lines: list[dict[str, Any]] = [
            json.loads(line) for line in (self.pytester.path / "out.jsonl").read_text().splitlines()
        ]
        return [(line["test"], line["attempt"], line["outcome"]) for line in lines]


@pytest.fixture
def house(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(pytester, monkeypatch)


def test_as_it_ran_is_after_the_tests_before_it_and_only_it_is_recorded(house: House) -> None:
    result = house.run(NEEDS, arguments="--maxfail=1")
    assert house.ran == ["usd e u/r a::b red needs"]
    assert house.attempts == [(NEEDS, 1, "pass")]
    assert result.ret == 1, "what came before it was red"


def test_alone_it_is_without_them(house: House) -> None:
    result = house.run(NEEDS, kind="alone")
    assert (house.ran, house.attempts, result.ret) == (["needs"], [(NEEDS, 1, "fail")], 1)


def test_names_with_parameters_are_taken_whole_and_other_files_are_not_even_read(house: House) -> None:
    house.pytester.makepyfile(test_broken="raise SystemExit(9)")
    for name in ("test_shop.py::test_total[e u/r]", "test_shop.py::test_total[a::b]"):
        result = house.run(name, kind="alone")
        assert (house.attempts, result.ret) == ([(name, 1, "pass")], 0)


def test_pytest_in_a_test_knows_nothing_of_it(house: House) -> None:
    assert house.run("test_shop.py::test_last", kind="alone").ret == 0


def test_shuffled_it_is_after_others_of_its_directory_as_the_seed_says(house: House) -> None:
    orders = [house.run(NEEDS, kind="shuffled", seed=seed) and house.ran[0] for seed in range(6)]
    assert len(set(orders)) > 1
    assert all(order.endswith("needs") for order in orders)
    house.run(NEEDS, kind="shuffled", seed=5)
    assert house.ran[0] == orders[5]


def test_in_parallel_it_runs_beside_processes_that_end_with_it(house: House) -> None:
    house.pytester.makepyfile(
        test_shop="""
            import os, pathlib

            def test_beside():
                busy = [
                    each for each in pathlib.Path("/proc").glob("[0-9]*/stat")
                    if each.read_text().rpartition(")")[2].split()[1] == str(os.getpid())
                    and b"while True" in each.with_name("cmdline").read_bytes()
                ]
                pathlib.Path("ran").write_text(" ".join(each.parent.name for each in busy))
                assert busy
        """
    )
    assert house.run("test_shop.py::test_beside", kind="parallel").ret == 0
    assert not [one for one in house.ran[0].split() if Path("/proc", one).exists()]


def test_with_a_seed_its_random_numbers_are_the_same_each_time(house: House) -> None:
    house.pytester.makepyfile(
        test_shop="""
            import pathlib, random

            def test_before(): random.seed()

            def test_draw(): pathlib.Path("ran").write_text(str(random.random()))
        """
    )
    drawn = [
        house.run("test_shop.py::test_draw", kind="seed", seed=seed) and house.ran[0] for seed in (1, 1, 2)
    ]
    assert drawn == [str(random.Random(seed).random()) for seed in (1, 1, 2)]  # noqa: S311  no secret


def test_neither_rerun_plugins_nor_xdist_nor_a_quarantine_change_what_an_execution_says(
    house: House,
) -> None:
    red = "test_shop.py::test_red"
    house.run(red)
    signature = json.loads((house.pytester.path / "out.jsonl").read_text())["signature"]
    today = datetime.now(UTC).date()
    entry = Entry(
        test=red,
        signatures=(signature,),
        since=today - timedelta(days=1),
        expires=today + timedelta(days=9),
        owner="@acme",
        evidence="",
        tracking="",
    )
    path = house.pytester.path / PLACE
    path.parent.mkdir()
    path.write_text(write({red: entry}))
    result = house.run(red, arguments="--reruns=2 -n2 -x")
    assert (house.attempts, result.ret) == ([(red, 1, "fail")], 1)
    assert house.ran == ["usd e u/r a::b red"], "in one process, after the tests before it"


@pytest.mark.parametrize("name", ["test_shop.py::test_gone", "../../etc/passwd", "-k x", "test_shop.py"])
def test_a_test_that_is_not_there_is_an_error_and_runs_nothing(house: House, name: str) -> None:
    result = house.run(name)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*1 of 1 tests are not among those that the command runs*"])
    assert not (house.pytester.path / "ran").exists()


def test_a_file_that_cannot_be_collected_says_so_itself(house: House) -> None:
    house.pytester.makepyfile(test_shop="import nothing_of_this_name")
    result = house.run(NEEDS)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*nothing_of_this_name*"])


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ONLY", ""), ("ONLY", "tests/test_a.py"), ("ONLY", "[]"), ("ONLY", '["a", 7]'), ("ONLY", '{"a": 1}'),
        ("ONLY", '[""]'), ("ONLY", "[" * 100_000), ("ONLY", json.dumps(["a"] * 1_001)),
        ("KIND", "As_it_ran"), ("KIND", ""), ("SEED", "-1"), ("SEED", "1e3"), ("SEED", ""),
        ("SEED", "9" * 19), ("CLOCK", ""), ("CLOCK", "-1"), ("CLOCK", "1.5"), ("CLOCK", "1" * 11),
        ("CLOCK", "²"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_told_by_its_name(variable: str, value: str) -> None:
    environment = {"LEVERFRAME_ONLY": '["a"]', "LEVERFRAME_KIND": "clock", f"LEVERFRAME_{variable}": value}
    with pytest.raises(Malformed, match=f"LEVERFRAME_{variable}"):
        told(environment)


def test_only_a_run_of_the_kind_clock_has_a_clock_of_its_own() -> None:
    environment = {"LEVERFRAME_ONLY": '["a"]', "LEVERFRAME_CLOCK": "0"}
    with pytest.raises(Malformed, match="LEVERFRAME_CLOCK is only for"):
        told(environment)
    only = told({**environment, "LEVERFRAME_KIND": "clock"})
    assert only is not None
    assert only.clock == 0


def test_a_malformed_variable_runs_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERFRAME_ONLY", "test_shop.py::test_last")
    result = house.pytester.runpytest_inprocess(*PLUGIN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*LEVERFRAME_ONLY is not JSON*"])


def test_without_the_variable_everything_runs() -> None:
    assert told({"LEVERFRAME_KIND": "alone"}) is None


def test_few_tests_run_before_a_shuffled_one_of_a_large_directory() -> None:
    nodes = [f"tests/test_{number // 100}.py::test_{number}" for number in range(1_000)]
    for seed in range(20):
        only = Only(tests=frozenset({nodes[500]}), kind="shuffled", seed=seed)
        places = chosen(nodes, only)
        assert places[-1] == 500
        assert len(set(places)) == len(places) <= MOST_BEFORE + 1
