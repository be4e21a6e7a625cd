"""`leverframe flaky list`, `show` and `stats`, as a script and as a person meet them."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from activities.backends.results_store import ResultsStore
from activities.executions_port import Asking
from activities.records_port import QuarantineSeen
from agents.flaky_tests.quarantine_file import rendered
from leverframe.cli.main import app
from leverframe.model.errors import BadConfiguration, BadInput, NotFound
from leverframe.model.executions import Executed, Kind
from leverframe.model.jobs import JobConclusion
from leverframe.model.quarantine import Quarantined, QuarantineFile
from leverframe.model.untrusted import Untrusted
from tests.fakes.gateway import REPOSITORY, SERVICE
from tests.fakes.job_attempts import HOSTILE as HOSTILE_JOB
from tests.fakes.job_attempts import UNIT, executed
from tests.fakes.result_reports import SENSITIVE, SIGNATURE, fold_all, report
from tests.fakes.stores import store_at

FLAKY = "tests/test_cart.py::test_total[usd]"
BROKEN = "tests/test_cart.py::test_empty"
CALM = "tests/test_pay.py::test_refund"
HOSTILE = "tests/test_x.py::test_\x1b[31m[bold]\u202e<b>"
RUNS = 14


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings with one repository, and a store that nobody has sent anything."""
    declared = json.dumps([REPOSITORY | {"service": SERVICE | {"name": "shop"}}])
    (tmp_path / "leverframe.toml").write_text('home = "home"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEVERFRAME_CONFIG", raising=False)
    monkeypatch.setenv("LEVERFRAME_REPOSITORIES", declared)
    return tmp_path


def store_of(home: Path) -> ResultsStore:
    return ResultsStore(store_at(home / "home" / "store.db"))


@pytest.fixture
def kept(home: Path) -> datetime:
    """A flaky and a broken test, one that only passes, and one with a name to fear; returns when it began."""
    store, began = store_of(home), datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    for number in range(RUNS):
        at = began + timedelta(hours=number)
        signs = {
            FLAKY: "F." if number % 2 else ".",
            BROKEN: "FFF" if number >= RUNS - 3 else ".",
            CALM: ".",
            HOSTILE: "F." if number == 0 else ".",
        }
        store.keep(report(signs, run=str(number), sha=f"{number:040x}", at=at), at=at)
        fold_all(store, now=at + timedelta(minutes=30), bounds=SENSITIVE)
    return began


def flaky(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["flaky", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("command", ["list", "stats"])
def test_before_the_first_report_a_person_reads_how_one_is_sent(home: Path, command: str) -> None:
    store_of(home)
    assert "No report of shop has come yet: see docs/how-to/send-test-results.md" in flaky(command)
    assert isinstance(json.loads(flaky(command, "--json")), dict)
    with pytest.raises(NotFound, match="No report of shop has come yet"):
        flaky("show", "anything")


def test_reports_that_wait_and_suites_that_never_failed_are_told_apart(home: Path) -> None:
    store, now = store_of(home), datetime.now(UTC)
    store.keep(report({CALM: "."}, at=now), at=now)
    assert "1 reports of shop wait to be folded" in flaky("list")
    fold_all(store, now=now + timedelta(hours=1))
    assert "No test of shop has failed in its 1 runs so far" in flaky("list")


def test_tests_are_listed_for_a_script_and_for_a_person(kept: datetime) -> None:
    found = json.loads(flaky("list", "--json", "--order", "test"))
    assert (found["repository"], found["count"]) == ("shop", 3)
    assert [(one["test"], one["verdict"]) for one in found["tests"]] == [
        (BROKEN, "broken"),
        (FLAKY, "flaky"),
        (HOSTILE, "unknown"),
    ]
    assert datetime.fromisoformat(found["tests"][1]["quarantined_at"]) > kept
    told = flaky("list", "--quarantined")
    assert FLAKY in told
    assert f"{RUNS // 2} of {RUNS} runs" in told
    assert BROKEN not in told
    assert [one["test"] for one in json.loads(flaky("list", "--verdict", "broken", "--json"))["tests"]] == [
        BROKEN
    ]
    assert "No test of shop is like that" in flaky("list", "--verdict", "healthy")
    assert "2 more: give --limit" in flaky("list", "--limit", "1")


@pytest.mark.usefixtures("kept")
def test_a_hostile_name_steers_no_terminal(home: Path) -> None:
    for told in (flaky("list"), flaky("show", "test_x.py"), flaky("stats"), flaky("list", "--json")):
        assert not {"\x1b", "\u202e"} & set(told)
    assert "[bold]" in flaky("list")


def test_one_test_is_shown_by_its_name_or_by_a_part_that_no_other_has(kept: datetime) -> None:
    found = json.loads(flaky("show", FLAKY, "--json"))
    assert found["line"]["test"] == FLAKY
    assert found["signatures"][0]["fingerprint"] == SIGNATURE
    assert found["signatures"][0]["failures"] == RUNS // 2
    assert [what for what, _ in found["events"]] == ["quarantined"]
    told = flaky("show", "total[usd]")
    for part in (FLAKY, "failed and passed on the same commit", SIGNATURE, "By the week", "quarantined"):
        assert part in told, part
    assert found == json.loads(flaky("show", "total[usd]", "--json"))


@pytest.fixture
def probed(home: Path, kept: datetime) -> str:
    """A test that fails in another order, and nowhere else."""
    store, now, sha = store_of(home), datetime.now(UTC), "d" * 40
    asking, probed = Asking(a_day=999, checks=("unit",)), "tests/test_cart.py::test_pays"
    store.keep(report({probed: "F.", CALM: "."}, run="probed", sha=sha, at=now), at=now)
    folding: dict[str, Any] = {
        "target": "main",
        "settled_before": now,
        "at": now,
        "bounds": SENSITIVE,
        "contains": lambda fix, sha: True,
    }
    assert store.fold_next("shop", asking=asking, **folding)
    while orders := store.open_orders("shop", limit=99):
        done = [
            Executed(
                order=order.id,
                passes=order.executions - (order.kind is Kind.SHUFFLED),
                failures=int(order.kind is Kind.SHUFFLED),
                milliseconds=2_000,
                why="\x1b[31mhalf\0way" if order.kind is Kind.ALONE else "",
            )
            for order in orders
        ]
        store.take_in("shop", done, at=now, bounds=SENSITIVE, asking=asking)
    return probed


def test_fresh_executions_and_the_likely_cause_are_shown(probed: str) -> None:
    found = json.loads(flaky("show", probed, "--json"))
    assert found["cause"][0] == "order"
    assert "its likely cause is the order of tests, or what others leave behind" in found["line"]["evidence"]
    asked = found["executions"]
    assert {one["outcome"] for one in asked} == {"done"}
    assert {one["purpose"] for one in asked} == {"probe"}
    told = flaky("show", probed)
    for part in ("likely cause", "Fresh executions", "in another order", "2 of 3", "it failed in"):
        assert part in told, part
    assert not {"\x1b", "\0"} & set(told)
    stats = json.loads(flaky("stats", "--json"))
    assert stats["causes"] == [{"cause": "order", "tests": 1}]
    (fresh,) = stats["fresh"]
    assert (fresh["purpose"], fresh["jobs"], fresh["silent"]) == ("probe", len(asked), 0)
    assert fresh["milliseconds"] == 2_000 * len(asked)
    assert "Likely causes" in flaky("stats")


def test_a_person_says_which_commit_fixes_a_quarantined_test(home: Path, probed: str) -> None:
    assert "is executed at the target's tip once that has eeeeeeeeeeee" in flaky(
        "fixed", probed, "--sha", "e" * 40
    )
    (known,) = [one for one in store_of(home).known("shop", [probed]) if one.test == probed]
    assert known.history is not None
    assert known.history.quarantine is not None
    assert known.history.quarantine.fix_claimed
    with pytest.raises(BadInput, match="is not quarantined by the evidence"):
        flaky("fixed", BROKEN, "--sha", "e" * 40)
    with pytest.raises(BadInput, match="give all 40 digits"):
        flaky("fixed", probed, "--sha", "HEAD")


@pytest.mark.usefixtures("kept")
def test_a_name_that_fits_several_or_none_is_answered_with_what_there_is(home: Path) -> None:
    with pytest.raises(BadInput, match="2 tests have 'test_cart' in their names") as several:
        flaky("show", "test_cart")
    assert BROKEN in str(several.value)
    assert FLAKY in str(several.value)
    with pytest.raises(NotFound, match="only ever passed has no story; shop has 4 tests"):
        flaky("show", CALM)


@pytest.mark.usefixtures("kept")
def test_figures_say_what_flakiness_costs(home: Path) -> None:
    found = json.loads(flaky("stats", "--json"))
    assert (found["runs"], found["tests"], found["flaky_runs"]) == (RUNS, 4, RUNS // 2 + 1)
    assert found["rerun_milliseconds"] == RUNS // 2 * 200 + 200 + 3 * 500
    assert found["minutes_lost"] == 0
    assert found["verdicts"] == {"healthy": 1, "flaky": 1, "broken": 1, "unknown": 1}
    assert found["quarantine_days"] == [2]
    told = flaky("stats", "--days", "7")
    for part in (
        f"{RUNS} in 7 days",
        f"{RUNS // 2 + 1} of {RUNS}",
        "the oldest for 2 days",
        SIGNATURE,
        FLAKY,
    ):
        assert part in told, part


def test_a_repository_that_is_not_declared_is_refused(home: Path) -> None:
    with pytest.raises(BadConfiguration, match="till"):
        flaky("list", "--repository", "till")


@pytest.mark.usefixtures("kept")
def test_a_test_in_the_quarantine_file_is_shown_with_its_owner_and_its_last_day(home: Path) -> None:
    now = datetime.now(UTC)
    entry = Quarantined(
        test=Untrusted(FLAKY),
        masks=(SIGNATURE,),
        since=date(2026, 3, 2),
        expires=date(2026, 4, 1),
        evidence="seen",
        owner="@acme/payments",
        link="https://git.example/acme/shop/issues/7",
    )
    content = rendered(QuarantineFile(entries=(entry,)))
    store_of(home).see_quarantine("shop", QuarantineSeen(sha="a" * 40, content=content, read_at=now))
    assert json.loads(flaky("show", FLAKY, "--json"))["in_file"]["owner"] == "@acme/payments"
    told = flaky("show", FLAKY)
    assert "since 2026-03-02, until 2026-04-01, @acme/payments" in told
    assert entry.link in told
    assert json.loads(flaky("show", BROKEN, "--json"))["in_file"] is None


@pytest.fixture
def retried(home: Path) -> datetime:
    """Twenty runs of a job, two of which failed first; of one of these test reports came."""
    store, began = store_of(home), datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
    for run in range(1, 21):
        conclusions: tuple[JobConclusion, ...] = ("fail", "pass") if run in (7, 9) else ("pass",)
        store.keep_jobs(executed(run, *conclusions, began=began + timedelta(minutes=run)))
    store.keep_jobs(executed(1, "fail", "pass", "fail", job=HOSTILE_JOB, began=began))
    store.keep(report({CALM: "F"}, run="9.1", at=began), at=began)
    return began


def test_jobs_that_failed_and_passed_are_listed_with_how_often_at_least(retried: datetime) -> None:
    found = json.loads(flaky("jobs", "--json"))
    assert (found["repository"], found["count"], found["minutes_lost"]) == ("shop", 2, 6)
    unit, hostile = found["jobs"]
    assert (unit["job"], unit["runs"], unit["failed_runs"], unit["flaky_runs"]) == (UNIT, 20, 2, 2)
    assert (unit["lost_ms"], unit["waited_ms"], unit["reported_runs"]) == (240_000, 1_200_000, 1)
    assert 0 < unit["at_least_ppm"] < 100_000
    assert unit["last"]["run"] == "9"
    assert datetime.fromisoformat(unit["last"]["at"]) == retried + timedelta(minutes=21)
    assert hostile["job"] == HOSTILE_JOB
    told = flaky("jobs")
    for part in (UNIT, "2 of 20 runs", "2.7 %", "4 min", "20 min", "[bold]"):
        assert part in told, part
    assert not {"\x1b", "\u202e"} & set(told)
    assert "names no test, and quarantines none" in told
    assert "Of 2 of these 3 runs none has come: see docs/how-to/send-test-results.md" in told


@pytest.mark.usefixtures("retried")
def test_what_jobs_cost_is_a_part_of_the_figures_and_no_test_is_known_by_it(home: Path) -> None:
    found = json.loads(flaky("stats", "--json"))
    assert found["jobs"] == {
        "jobs": 2,
        "flaky_runs": 3,
        "reported_runs": 1,
        "lost_ms": 360_000,
        "waited_ms": 1_800_000,
        "minutes_lost": 6,
    }
    assert "2 failed and passed at one commit, in 3 runs; 6 min lost, 30 min until they" in flaky("stats")
    assert (found["runs"], found["flaky_runs"], found["quarantine_days"]) == (0, 0, [])
    assert json.loads(flaky("list", "--json"))["count"] == 0
    assert store_of(home).known("shop", [UNIT]) == []


def test_without_a_flaky_job_a_person_reads_which_jobs_are_looked_at(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_of(home)
    assert "only the train's own checks are looked at" in flaky("jobs")
    assert json.loads(flaky("jobs", "--json"))["jobs"] == []
    monkeypatch.setenv("LEVERFRAME_GATEWAY__TESTS__JOBS", '{"shop": ["*"]}')
    assert "No job of shop failed and passed at one commit in 7 days" in flaky("jobs", "--days", "7")
