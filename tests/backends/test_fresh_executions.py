"""One test in fresh jails: real pytest runs with our plugin, and reports that can't be relied on."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

import leverframe_pytest
from activities.backends.sandbox_jail import JailSandbox
from activities.fresh_executions import executed, told
from activities.other_times import other_time
from activities.ports import ReportsPlace
from activities.sandbox import SandboxActivities
from agents.flaky_tests.causes import Cause, named, tallied
from agents.flaky_tests.detector import Conditions, observe_probe
from agents.flaky_tests.probes import MOST_JOBS
from leverframe.demo.shop_repository import shop_repository
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from leverframe.model.executions import MOST_EXECUTIONS, Executed, ExecutionOrder, Kind
from leverframe.model.untrusted import Untrusted
from tests.fakes.trees import SHA, artifact_of, write_tar
from tests.unit.agents.flaky_tests.lives import AT, Lives

PLUGIN = Path(leverframe_pytest.__file__).parent
PYTEST = (
    *("env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", sys.executable, "-m", "pytest", "-q"),
    *("-p", "leverframe_pytest.plugin", "-p", "pytest_rerunfailures", "--reruns=2"),
    *("--leverframe-results", "{results}"),
)
SUITE = """
import datetime, os, pathlib, pytest, random, time

def test_before(): pathlib.Path("before").touch()

def test_needs_before():
    assert os.path.exists("before")

def test_once():
    with open("once", "x"): pass

@pytest.mark.parametrize("name", ["$(touch /tmp/x); --help"])
def test_named(name): pass

def test_red(): assert not "red"

def test_skipped(): pytest.skip("no")

def test_abroad(): assert time.timezone == 0

def test_of_the_day(): assert datetime.date.today().day > 1

def test_of_a_zone(): assert time.timezone > 0

def test_file_is_not_new():
    pathlib.Path("new").touch()
    assert time.time() - os.stat("new").st_mtime < 60

def test_chance(): assert (random.random(), os.environ["PYTHONHASHSEED"]) == (0.13436424411240122, "1")

def test_credentials():
    assert not [name for name in os.environ if "TOKEN" in name or "SECRET" in name]

def test_dies(): os._exit(0)
"""


class Bench:
    """Executes tests of one tree, by the command of one check."""

    def __init__(self, jail: JailSandbox, home: Path) -> None:
        self.jail, self.home = jail, home
        files = {f"leverframe_pytest/{path.name}": path.read_text() for path in PLUGIN.glob("*.py")}
        write_tar(home / "shop.tar", {"pytest.ini": "[pytest]", "test_shop.py": SUITE, **files})

    def execute(self, test: str, *, command: tuple[str, ...] = PYTEST, **fields: Any) -> Executed:
        selects = fields.pop("selects_tests", True)
        check = Check(
            name="tests",
            command=command,
            selects_tests=selects,
            results=("*.xml",),
            timeout_seconds=fields.pop("timeout_seconds", 60),
        )
        shop = shop_repository("shop.git").model_copy(update={"checks": (check,)})
        activities = SandboxActivities(self.jail, {"shop": shop}, self.home, self.home / "reports")
        order = ExecutionOrder(
            id="0" * 16, repository="shop", sha=SHA, check="tests", test=Untrusted(test), **fields
        )
        artifact = artifact_of(self.home / "shop.tar")
        return ActivityEnvironment().run(activities.execute_test, order, artifact)

    def script(self, text: str, **fields: Any) -> Executed:
        """The test `t`, by a command that is a shell script."""
        return self.execute("t", command=("sh", "-c", text, "{results}"), **fields)


@pytest.fixture(scope="module")
def bench(jail: JailSandbox, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(jail, tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize(
    ("test", "fields", "passes", "failures"),
    [
        ("test_needs_before", {}, 1, 0),
        ("test_needs_before", {"kind": Kind.ALONE, "executions": 2}, 0, 2),
        ("test_once", {"executions": 2}, 2, 0),
        ("test_once", {"executions": 5, "until_pass": True}, 1, 0),
        ("test_red", {"executions": 2, "until_pass": True, "kind": Kind.PARALLEL}, 0, 2),
        ("test_named[$(touch /tmp/x); --help]", {"kind": Kind.SHUFFLED, "seed": 2**31 - 2}, 1, 0),
        ("test_abroad", {"kind": Kind.CLOCK}, 0, 1),
        ("test_chance", {"kind": Kind.SEED, "seed": 1, "executions": 2}, 2, 0),
        ("test_credentials", {}, 1, 0),
    ],
)
def test_each_execution_is_in_a_jail_of_its_own_and_only_its_outcome_counts(
    bench: Bench, test: str, fields: dict[str, Any], passes: int, failures: int
) -> None:
    done = bench.execute(f"test_shop.py::{test}", **fields)
    assert (done.passes, done.failures, done.why) == (passes, failures, "")
    assert len(done.fingerprints) == (failures > 0)
    assert done.order == "0" * 16


def _clock_jobs(bench: Bench, test: str) -> list[Executed]:
    """Of three executions each: on the first of a month and on another day, in the east and in the west."""
    now = datetime.now(UTC)
    sorts = {_sort(other_time(seed, now).at): seed for seed in range(300)}
    assert set(sorts) == {(True, True), (True, False), (False, True), (False, False)}
    seeds = tuple(sorts.values())
    jobs = [
        bench.execute(f"test_shop.py::{test}", kind=Kind.CLOCK, executions=3, seed=seed) for seed in seeds
    ]
    midnight = any(other_time(seed, now) != other_time(seed, datetime.now(UTC)) for seed in seeds)
    return _clock_jobs(bench, test) if midnight else jobs


def _sort(at: datetime) -> tuple[bool, bool]:
    return at.day == 1, (at.utcoffset() or timedelta(0)) < timedelta(0)


@pytest.mark.parametrize("test", ["test_of_the_day", "test_of_a_zone"])
def test_a_sound_test_that_depends_on_the_date_or_the_zone_is_never_quarantined_by_its_jobs(
    bench: Bench, test: str
) -> None:
    jobs = _clock_jobs(bench, test)
    assert {(job.passes, job.failures) for job in jobs} == {(3, 0), (0, 3)}
    lives = Lives().tell("." * 300 + "B")
    conditions = Conditions(noise=lives.suite.noise.bound, bounds=lives.bounds)
    history, seen = lives.history(), lives.shelf.seen(0)
    each = tuple((job.passes + job.failures, job.failures) for job in jobs)
    for _ in range(MOST_JOBS):
        history = observe_probe(history, each, seen, AT, conditions)
    assert (history.quarantine, history.hits) == (None, lives.history().hits)


def test_what_is_at_odds_with_another_time_is_named_so_and_is_no_evidence(bench: Bench) -> None:
    jobs = [(Kind.CLOCK, 3, job.failures) for job in _clock_jobs(bench, "test_file_is_not_new")]
    assert {failures for _, _, failures in jobs} == {3}
    found = named(tallied({}, [*jobs, *[(Kind.AS_IT_RAN, 3, 0)] * 20]))
    assert found == (Cause.TIME, "it failed in 4 of 4 jobs at another time and in 0 of 20 others")


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.SHUFFLED])
def test_the_executions_of_a_job_have_one_environment(kind: Kind) -> None:
    now = datetime.now(UTC)
    for seed in range(40):
        order = ExecutionOrder(
            id="0" * 16, repository="shop", sha=SHA, check="tests", test=Untrusted("t"), kind=kind, seed=seed
        )
        first, second, last = (dict(told(order, number, "main", now)) for number in (1, 2, 20))
        runs = [each.pop("LEVERFRAME_RUN") for each in (first, second, last)]
        assert runs == [f"{'0' * 16}/{number}" for number in (1, 2, 20)]
        assert first == second == last
        assert ("TZ" in first, "LEVERFRAME_CLOCK" in first) == (kind is Kind.CLOCK,) * 2


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ("test_skipped", "the test was skipped"),
        ("test_gone", "left no results: ended with status 4"),
        ("test_gone", "s: ERROR: LEVERFRAME_ONLY: 1 of 1 tests are not among"),
        ("test_dies", "left no results: passed in"),
    ],
)
def test_what_did_not_run_counts_nothing_and_says_why(bench: Bench, test: str, why: str) -> None:
    done = bench.execute(f"test_shop.py::{test}", executions=3)
    assert (done.passes, done.failures) == (0, 0)
    assert why in done.why


def test_a_command_that_ran_everything_did_not_execute_the_test(bench: Bench) -> None:
    done = bench.execute("test_shop.py::test_red", command=("env", "-u", "LEVERFRAME_ONLY", *PYTEST[1:]))
    assert (done.passes, done.failures) == (0, 0)
    assert "ran other tests than it was told" in done.why


def test_a_check_that_can_not_select_tests_is_not_asked(bench: Bench) -> None:
    with pytest.raises(ApplicationError, match="does not say selects_tests") as refused:
        bench.execute("test_shop.py::test_red", selects_tests=False)
    assert refused.value.type == "BadConfiguration"


def _lines(*tests: str, run: str = "$LEVERFRAME_RUN") -> str:
    lines = (
        json.dumps(
            {"test": test, "run": run, "sha": SHA, "at": "2026-11-22T18:00:00Z", "outcome": "fail"}
        ).replace('"', '\\"')
        for test in tests
    )
    return "; ".join(f'echo "{line}" >> $0' for line in lines)


def test_a_time_limit_counts_nothing_of_the_execution_and_keeps_those_before(bench: Bench) -> None:
    once = "case $LEVERFRAME_RUN in */1) ;; *) sleep 60;; esac"
    done = bench.script(f"{_lines('t')}; {once}", executions=3, timeout_seconds=2)
    assert (done.passes, done.failures) == (0, 1)
    assert "its time limit" in done.why


def test_of_several_reports_of_one_execution_one_counts(bench: Bench) -> None:
    xml = '<testsuite name=\\"x\\"><testcase name=\\"t\\" classname=\\"\\"/></testsuite>'
    done = bench.script(f'{_lines("t")}; echo "{xml}" > a.xml; echo "{xml}" > b.xml')
    assert (done.passes, done.failures) == (0, 1)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("true", "left no results"),
        ("echo 'Error: no such option'; echo usage", "s: Error: no such option"),
        ("echo '{\"test\"' > $0", "no results can be used"),
        ("head -c 1000 /dev/zero > $0", "no results can be used"),
        (_lines("t", run="another"), "no results can be used"),
        ("kill -9 $PPID; sleep 5", "left no results"),
    ],
)
def test_what_is_broken_or_of_another_run_counts_nothing(bench: Bench, script: str, why: str) -> None:
    done = bench.script(script)
    assert (done.passes, done.failures) == (0, 0)
    assert why in done.why


def test_attempts_beyond_what_a_job_may_have_are_not_counted(bench: Bench) -> None:
    line = _lines("t").replace("outcome", 'attempt\\": $n, \\"outcome')
    done = bench.script(f"for n in $(seq 60); do {line}; done")
    assert (done.passes, done.failures, done.why) == (0, MOST_EXECUTIONS, "")


def test_what_came_out_of_the_jail_may_be_anything() -> None:
    order = ExecutionOrder(
        id="0" * 16, repository="shop", sha=SHA, check="tests", test=Untrusted("t"), executions=3
    )
    asked = []

    def run_once(place: ReportsPlace) -> CheckResult:
        asked.append(dict(place.environment))
        place.into.write_bytes(b"x" * 5_000)
        return CheckResult(check="tests", sha=SHA, outcome="passed", seconds=1, summary="passed")

    done = executed(order, "main", run_once)
    assert (done.passes, done.failures, done.why) == (
        0, 0, "what came out of the jail is no sound tar: ReadError",
    )  # fmt: skip
    assert len(asked) == 1, "what is broken is not asked again"
    assert asked[0]["LEVERFRAME_ONLY"] == '["t"]'
