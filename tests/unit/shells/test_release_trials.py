"""`release plan` and `release replay`, as a team meets them before it trusts the gate."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from leverframe.cli.exits import Exit
from leverframe.cli.main import app
from leverframe.model.errors import BadInput

T0 = datetime(2026, 3, 2, 9, tzinfo=UTC)
KEYS = ["verdict", "decided_at", "decided_line", "weight", "evidence", "explanation"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["release", *arguments])


def poll(number: int, weight: float, canary: tuple[int, int], stable: tuple[int, int]) -> dict[str, object]:
    return {
        "at": (T0 + timedelta(seconds=15 * number)).isoformat(),
        "weight": weight,
        "signals": {
            "errors": {
                "canary": {"bad": canary[0], "total": canary[1]},
                "stable": {"bad": stable[0], "total": stable[1]},
            }
        },
    }


def written(*lines: object) -> str:
    """A trace of these lines: values as JSON, bytes as they are."""
    raw = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
    Path("trace.jsonl").write_bytes(b"".join(one + b"\n" for one in raw))
    return "trace.jsonl"


def replayed(trace: str, *options: str) -> dict[str, object]:
    done = run("replay", trace, "--json", *options)
    assert done.exit_code == Exit.OK, done.exception
    found: dict[str, object] = json.loads(done.stdout)
    assert list(found) == KEYS
    return found


def counted(bad: int, total: bytes) -> bytes:
    """A line with these counts, as they are."""
    canary = b'{"bad": %d, "total": %s}' % (bad, total)
    return b'{"at": "2026-03-02T09:00:00Z", "weight": 5, "signals": {"errors": {"canary": %s}}}' % canary


def refused(*lines: object) -> str:
    done = run("replay", written(*lines), "--json")
    assert isinstance(done.exception, BadInput), done.output
    return str(done.exception)


GOOD = [poll(number, 5, (5, 1000), (95, 19_000)) for number in range(20)]
HARMFUL = [poll(number, 5, (25, 1000), (95, 19_000)) for number in range(20)]


def test_a_good_rollout_is_green_where_the_last_step_was_cleared() -> None:
    found = replayed(written(*GOOD))
    assert found["verdict"] == "green"
    line = found["decided_line"]
    assert isinstance(line, int)
    assert found["decided_at"] == GOOD[line - 1]["at"].replace("+00:00", "Z")  # type: ignore[attr-defined]


def test_a_harmful_rollout_is_red_with_the_reason_in_words() -> None:
    found = replayed(written(*HARMFUL))
    assert (found["verdict"], found["weight"]) == ("red", 5)
    assert float(str(found["evidence"])) >= 20
    assert str(found["explanation"]).startswith("errors: canary ")
    assert ", 5 times stable's rate; " in str(found["explanation"])


def test_a_stricter_alpha_decides_later_and_a_higher_tolerance_never() -> None:
    trace = written(*[poll(number, 5, (2, 80), (8, 1520)) for number in range(60)])
    lines = [replayed(trace, "--alpha", alpha)["decided_line"] for alpha in ("0.1", "0.001")]
    assert isinstance(lines[0], int)
    assert isinstance(lines[1], int)
    assert lines[0] < lines[1]
    assert replayed(trace, "--r0", "6")["verdict"] != "red"


def test_harm_in_a_signal_of_little_weight_is_red_later() -> None:
    quiet = {"canary": {"bad": 0, "total": 80}, "stable": {"bad": 0, "total": 1520}}
    lines = [poll(number, 5, (2, 80), (8, 1520)) for number in range(60)]
    for line in lines:
        line["signals"] = {**line["signals"], "abandoned checkout": quiet}  # type: ignore[dict-item]
    trace = written(*lines)
    heavy, light = (
        replayed(trace, "--weight", f"errors={weight}", "--weight", "abandoned checkout=1")
        for weight in ("9", "0.01")
    )
    assert (heavy["verdict"], light["verdict"]) == ("red", "red")
    assert heavy["decided_line"] < light["decided_line"]  # type: ignore[operator]
    assert replayed(trace) == replayed(trace, "--weight", "errors=1")


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (("errors",), "is not NAME=N"),
        (("=2",), "is not NAME=N"),
        (("errors=0",), "weight"),
        (("errors=nan",), "weight"),
        (("errors=much",), "weight"),
        (("errors=1", "errors=2"), "has two"),
        (("restarts=1",), "names no signal 'restarts'; there are: errors"),
    ],
)
def test_a_weight_that_says_nothing_is_refused(weights: tuple[str, ...], said: str) -> None:
    options = [word for weight in weights for word in ("--weight", weight)]
    done = run("replay", written(*GOOD), *options)
    assert isinstance(done.exception, BadInput)
    assert said in str(done.exception)


def test_a_rollout_without_traffic_is_inconclusive() -> None:
    found = replayed(written(*[poll(number, 1, (0, 0), (0, 0)) for number in range(50)]))
    assert (found["verdict"], found["decided_at"], found["decided_line"]) == ("inconclusive", None, None)


def test_a_person_reads_the_verdict_as_fields() -> None:
    done = run("replay", written(*HARMFUL))
    assert "verdict" in done.stdout
    assert "red" in done.stdout
    assert "5 times stable's rate" in done.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "nested"),
        (b"\xff", "not UTF-8"),
        (b'{"at": "2026-03-02T09:00:00", "weight": 5, "signals": {}}', "timezone"),
        (b'{"at": "2026-03-02T09:00:00Z", "weight": 101, "signals": {}}', "weight"),
        (b'{"at": "2026-03-02T09:00:00Z", "weight": "5", "signals": {}}', "weight"),
        (b'{"at": "2026-03-02T09:00:00Z", "weight": NaN, "signals": {}}', "NaN"),
        (b'{"at": "2026-03-02T09:00:00Z", "weight": 5, "signals": {}, "more": 1}', "more"),
        (counted(2, b"1"), "2 bad events can't be among 1"),
        (counted(-1, b"1"), "signals.errors.canary.bad"),
        (counted(0, b"1e400"), "signals.errors.canary.total"),
        (counted(0, b"9" * 5000), "not valid JSON"),
        (b"x" * 1_000_001, "longer than"),
    ],
)
def test_a_line_that_is_no_poll_is_named(line: bytes, said: str) -> None:
    found = refused(GOOD[0], line)
    assert "trace.jsonl:2: " in found
    assert said in found


def test_polls_out_of_order_are_refused() -> None:
    assert "trace.jsonl:2: at is before" in refused(GOOD[1], GOOD[0])


def test_a_trace_without_a_signal_and_a_file_that_is_not_there_are_refused() -> None:
    assert "names no signal" in refused()
    assert "names no signal" in refused({"at": T0.isoformat(), "weight": 5, "signals": {}})
    assert isinstance(run("replay", "nowhere.jsonl").exception, BadInput)


def test_a_plan_tells_each_step_and_what_is_out_of_reach() -> None:
    done = run("plan", "--rps", "10", "--base-error", "0.001", "--json")
    found = json.loads(done.stdout)
    assert [step["weight"] for step in found["steps"]] == [1, 5, 25, 50]
    assert found["traffic"]["rps"] == 10
    assert any("can't exclude 2 times" in line for line in found["advice"])
    told = run("plan", "--rps", "10", "--base-error", "0.001").stdout
    assert "2x EXCLUDED IN" in told
    assert "never surely" not in told


def test_a_plan_with_other_signals_needs_more_to_see_harm_in_errors() -> None:
    options = ("plan", "--rps", "100", "--base-error", "0.005", "--json")
    alone, beside = (
        json.loads(run(*options, *more).stdout)
        for more in ((), ("--weight", "restarts=1", "--weight", "errors=3"))
    )
    assert (alone["share"], beside["share"]) == (1.0, 0.75)
    for before, after in zip(alone["steps"], beside["steps"], strict=True):
        needed = [[sight["canary_requests"] for sight in step["red"]] for step in (before, after)]
        assert all(one < other for one, other in zip(*needed, strict=True))
        assert before["green"] == after["green"]


@pytest.mark.parametrize(
    "options",
    [
        ("--rps", "0", "--base-error", "0.01"),
        ("--rps", "nan", "--base-error", "0.01"),
        ("--rps", "10", "--base-error", "1"),
        ("--rps", "10", "--base-error", "0.01", "--step", "100"),
        ("--rps", "10", "--base-error", "0.01", "--alpha", "0"),
        ("--rps", "10", "--base-error", "0.01", "--r0", "0.5"),
    ],
)
def test_a_plan_of_impossible_numbers_is_refused(options: tuple[str, ...]) -> None:
    assert isinstance(run("plan", *options).exception, BadInput)
