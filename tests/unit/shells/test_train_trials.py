"""`train simulate` and `train replay`, as a team meets them that chooses its train's settings."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from leverframe.cli.exits import Exit
from leverframe.cli.main import app
from leverframe.model.errors import BadInput
from leverframe.simulation.history import directories
from leverframe.simulation.outcome import STRATEGIES
from leverframe.simulation.workload import MOST_CHANGES

KEYS = [
    "strategy",
    "landed",
    "p50_minutes",
    "p95_minutes",
    "p99_minutes",
    "builds_per_change",
    "aborted_share",
    "false_rejections",
    "max_wait_minutes",
]
GOOD = {
    "change": "shop/1",
    "enqueued_at": "2026-03-02T09:00:00Z",
    "build_minutes": 20,
    "paths": ["cart/total.py"],
    "passes": True,
}
DECLARED = """
[[repositories]]
name = "shop"
url = "/srv/shop.git"
checks = [{name = "unit", command = ["true"]}]
train = {runners = 3, lane_mode = "LANE_MODE", lanes = [
    {name = "front", paths = ["cart/**", "web/**"]}, {name = "back", paths = ["stock/**"]}]}
[repositories.service]
name = "shop"
command = ["true"]
overlays = {}
image = "shop"
canary = {steps = [{percent = 100, min_requests = 0, min_seconds = 0, max_seconds = 600}]}
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but a test's own."""
    monkeypatch.delenv("LEVERFRAME_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["train", *arguments])


def simulated(*arguments: str) -> dict[str, object]:
    done = run("simulate", "--json", "--hours", "1", *arguments)
    assert done.exit_code == Exit.OK, done.exception
    found: dict[str, object] = json.loads(done.stdout)
    return found


def written(*lines: object) -> str:
    """A history of these lines: values as JSON, texts and bytes as they are."""
    path = Path("history.jsonl")
    raw = [json.dumps(line) if isinstance(line, dict) else line for line in lines]
    path.write_bytes(b"".join((one if isinstance(one, bytes) else one.encode()) + b"\n" for one in raw))
    return str(path)


def line(number: int, at: str, *paths: str, passes: bool = True) -> dict[str, object]:
    return {
        **GOOD,
        "change": f"shop/{number}",
        "enqueued_at": f"2026-03-02T{at}:00+01:00",
        "paths": list(paths),
        "passes": passes,
    }


def replayed(*arguments: str) -> dict[str, list[dict[str, object]]]:
    done = run("replay", *arguments, "--json")
    assert done.exit_code == Exit.OK, done.exception
    found: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
    return found


class TestSimulate:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_every_strategy_answers_with_exactly_these_keys(self, strategy: str) -> None:
        found = simulated("--strategy", strategy)
        assert list(found) == KEYS
        assert found["strategy"] == strategy

    def test_the_same_seed_gives_the_same_figures_and_another_one_does_not(self) -> None:
        assert simulated("--seed", "7") == simulated("--seed", "7")
        assert simulated("--seed", "7") != simulated("--seed", "8")

    def test_a_person_reads_a_table(self) -> None:
        done = run("simulate", "--hours", "1")
        head, row = done.stdout.splitlines()
        assert head.split()[:3] == ["STRATEGY", "LANDED", "P50"]
        assert row.startswith("speculate")

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            (option, value)
            for option in ("arrivals-per-hour", "build-minutes", "failure", "conflict", "flake", "hours")
            for value in ("-0.1", "nan", "inf")
        ]
        + [(option, "1.01") for option in ("failure", "conflict", "flake")]
        + [(option, "0") for option in ("runners", "targets", "hours", "build-minutes", "arrivals-per-hour")]
        + [
            ("runners", "1001"),
            ("targets", "-1"),
            ("seed", "-1"),
            ("window", "0"),
            ("confirmations", "9"),
            ("neighbours", "-1"),
        ],
    )
    def test_a_number_that_makes_no_sense_is_named(self, option: str, value: str) -> None:
        done = run("simulate", f"--{option}", value)
        assert isinstance(done.exception, BadInput)
        assert str(done.exception).startswith(option.replace("-", "_") + ": ")

    def test_more_than_can_be_tried_is_refused(self) -> None:
        done = run("simulate", "--arrivals-per-hour", "1000", "--hours", "100")
        assert isinstance(done.exception, BadInput)
        assert str(MOST_CHANGES) in str(done.exception)

    def test_an_unknown_strategy_is_refused_with_those_there_are(self) -> None:
        done = run("simulate", "--strategy", "hope")
        assert done.exit_code == Exit.BAD_INPUT
        assert "speculate" in done.stderr


class TestReplay:
    MONTH = (
        line(1, "09:00", "cart/total.py"),
        line(2, "09:00", "stock/count.py", passes=False),
        line(3, "09:01", "web/page.py", "cart/total.py"),
        line(4, "09:02", "stock/list.py"),
    )

    def test_one_row_for_each_strategy_best_first_and_the_oracle_last(self) -> None:
        found = replayed(written(*self.MONTH))
        rows = found["rows"]
        assert found["changes"] == 4
        assert sorted(str(row["strategy"]) for row in rows) == sorted(STRATEGIES)
        assert list(rows[0]) == ["runners", "best", *KEYS]
        assert [row["best"] for row in rows] == [True, False, False, False, False, False]
        assert rows[-1]["strategy"] == "oracle"
        assert {row["landed"] for row in rows} == {3}
        least = min(float(str(row["p50_minutes"])) for row in rows[:-1])
        assert float(str(rows[0]["p50_minutes"])) <= 1.05 * least

    def test_several_numbers_of_runners_are_compared(self) -> None:
        rows = replayed(written(*self.MONTH), "--runners", "1", "--runners", "8")["rows"]
        assert [row["runners"] for row in rows].count(8) == len(STRATEGIES) == len(rows) / 2
        assert rows[0]["runners"] == 8

    def test_a_person_reads_which_is_best_and_which_is_the_bound(self) -> None:
        lines = run("replay", written(*self.MONTH)).stdout.splitlines()
        assert lines[3].startswith("best ")
        assert lines[-1].startswith("bound ")

    def test_directories_are_lanes_where_none_are_declared_and_the_root_is_in_all_of_them(self) -> None:
        """A bad change costs those behind it a second build, unless they share no lane with it."""
        others = (line(2, "09:00", "stock/count.py"), line(3, "09:00", "web/page.py"))

        def builds(*paths: str) -> object:
            found = replayed(written(line(1, "09:00", *paths, passes=False), *others), "--runners", "4")
            assert found["lanes"] == 3 if len(paths) == 1 else 2
            return next(row["builds_per_change"] for row in found["rows"] if row["strategy"] == "window")

        assert builds("cart/total.py") == 1.0
        assert builds("cart/total.py", "setup.cfg") == pytest.approx(5 / 3, abs=0.01)

    @pytest.mark.parametrize(("mode", "builds"), [("composed", 1.25), ("chain", 1.5)])
    def test_a_declared_repository_gives_its_lanes_and_its_rules(self, mode: str, builds: float) -> None:
        Path("leverframe.toml").write_text(DECLARED.replace("LANE_MODE", mode))
        found = replayed(written(*self.MONTH), "--repository", "shop")
        assert found["lanes"] == 2
        assert {row["runners"] for row in found["rows"]} == {3}
        window = next(row for row in found["rows"] if row["strategy"] == "window")
        assert window["builds_per_change"] == builds

    def test_an_undeclared_repository_is_refused(self) -> None:
        done = run("replay", written(GOOD), "--repository", "shop")
        assert isinstance(done.exception, BadInput)


class TestLines:
    @pytest.mark.parametrize(
        ("broken", "why"),
        [
            (b"{", "not valid JSON"),
            (b"", "not valid JSON"),
            (b"\xff{}", "not UTF-8"),
            (b"[1]", "not an object"),
            (b"[" * 100_000, "nested deeper"),
            (b'{"a":' * 100_000, "nested deeper"),
            (b'{"build_minutes": ' + b"9" * 5000 + b"}", "digits"),
            (b'{"build_minutes": NaN}', "NaN"),
            (b'{"passes": true, "passes": false}', "same key twice"),
            (b'"' + b"x" * 1_000_001 + b'"', "longer than"),
            ({**GOOD, "build_minutes": 10**400}, "build_minutes"),
            ({**GOOD, "build_minutes": 0}, "build_minutes"),
            ({**GOOD, "build_minutes": -3}, "build_minutes"),
            ({**GOOD, "build_minutes": 1e9}, "build_minutes"),
            ({**GOOD, "build_minutes": "20"}, "build_minutes"),
            ({**GOOD, "build_minutes": True}, "build_minutes"),
            ({**GOOD, "enqueued_at": "2026-03-02T09:00:00"}, "enqueued_at"),
            ({**GOOD, "enqueued_at": 1_772_442_000}, "enqueued_at"),
            ({**GOOD, "enqueued_at": "monday"}, "enqueued_at"),
            ({**GOOD, "paths": "cart/total.py"}, "paths"),
            ({**GOOD, "paths": [1]}, "paths"),
            ({**GOOD, "passes": "yes"}, "passes"),
            ({**GOOD, "change": ""}, "change"),
            ({**GOOD, "author": "ada"}, "author"),
            ({name: value for name, value in GOOD.items() if name != "passes"}, "passes"),
            (GOOD, "is in line 1, too"),
            ({**GOOD, "change": "shop/2", "enqueued_at": "2026-03-02T08:59:59Z"}, "sort the lines"),
            ({**GOOD, "change": "shop/2", "enqueued_at": "2026-03-02T09:00:00+14:00"}, "sort the lines"),
            ({**GOOD, "change": "shop/2", "enqueued_at": "9999-12-31T23:59:59-14:00"}, "days after"),
            ({**GOOD, "change": "shop/2", "enqueued_at": "0001-01-01T00:00:00+14:00"}, "sort the lines"),
        ],
    )
    def test_a_line_that_can_t_be_used_is_named_by_its_number(self, broken: object, why: str) -> None:
        done = run("replay", written(GOOD, broken))
        assert isinstance(done.exception, BadInput)
        assert str(done.exception).startswith("history.jsonl:2: ")
        assert why in str(done.exception)

    def test_one_line_too_many_is_named(self) -> None:
        many = ({**GOOD, "change": f"shop/{number}"} for number in range(MOST_CHANGES + 1))
        done = run("replay", written(*many))
        assert str(done.exception).startswith(f"history.jsonl:{MOST_CHANGES + 1}: more than")

    def test_an_empty_file_and_one_that_is_none_are_refused(self) -> None:
        assert "holds no change" in str(run("replay", written()).exception)
        assert "can't be read" in str(run("replay", "nowhere.jsonl").exception)
        assert "can't be read" in str(run("replay", ".").exception)


@pytest.mark.parametrize(
    ("paths", "lanes"),
    [
        (("cart/a.py", "./cart/b.py"), ("cart",)),
        (("stock/a.py", "cart/deep/b.py"), ("cart", "stock")),
        (("cart/a.py", "pyproject.toml"), ()),
        ((".github/workflows/ci.yml",), ()),
        (("/etc/passwd",), ()),
        (("../other/a.py",), ()),
        ((), ()),
    ],
)
def test_the_root_and_hidden_directories_belong_to_every_lane(
    paths: tuple[str, ...], lanes: tuple[str, ...]
) -> None:
    assert directories(paths) == lanes
