"""`leverframe flaky replay`: a team's own history, judged before the agent may act."""

import gzip
import json
import os
import random
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leverframe.cli.main import app
from leverframe.model.errors import BadInput

AT = datetime(2026, 3, 2, tzinfo=UTC)
GOOD = {
    "test": "t",
    "run": "1",
    "sha": "a" * 40,
    "branch": "main",
    "attempt": 1,
    "at": "2026-03-02T00:00:00Z",
    "outcome": "pass",
    "signature": None,
}


def history(runs: int = 60) -> list[dict[str, Any]]:
    """A flaky, a broken and healthy tests, hit once by the infrastructure, and one that a change broke."""
    rows = []
    for number in range(runs):
        outcomes = {
            "flaky": ["fail", "pass"] if number % 4 == 1 else ["pass"],
            "broken": ["fail"] * 3 if number >= 40 else ["pass"],
            "changed": ["fail"] * 3 if number in (11, 13) else ["pass"],
            **{f"healthy {name}": ["fail", "pass"] if number == 20 else ["pass"] for name in range(20)},
        }
        for test, attempts in outcomes.items():
            for attempt, outcome in enumerate(attempts, start=1):
                rows.append(
                    {
                        **GOOD,
                        "test": test,
                        "run": str(number),
                        "sha": f"{number:040x}",
                        "branch": "change" if number in (11, 13) else "main",
                        "attempt": attempt,
                        "at": (AT + timedelta(hours=number)).isoformat(),
                        "outcome": outcome,
                        "signature": "boom" if outcome == "fail" else None,
                    }
                )
    return rows


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def replay(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["flaky", "replay", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result


def test_the_document_has_a_verdict_for_each_test(tmp_path: Path) -> None:
    found = json.loads(replay(str(written(tmp_path / "h.jsonl", history())), "--json").stdout)
    assert set(found) == {"tests", "runs", "quarantines", "seconds"}
    assert (found["runs"], found["quarantines"]) == (60, 1)
    verdicts = {test: one["verdict"] for test, one in found["tests"].items()}
    assert {test: verdicts[test] for test in ("flaky", "broken", "changed")} == {
        "flaky": "flaky",
        "broken": "broken",
        "changed": "healthy",
    }
    assert {verdicts[f"healthy {name}"] for name in range(20)} == {"healthy"}
    flaky = found["tests"]["flaky"]
    assert set(flaky) == {"verdict", "quarantined_at", "released_at", "evidence"}
    assert datetime.fromisoformat(flaky["quarantined_at"]) > AT
    assert flaky["released_at"] is None
    assert "failed and passed on the same commit in 15 of 59 runs" in flaky["evidence"]
    assert found["tests"]["broken"]["quarantined_at"] is None


def test_a_gzipped_history_says_the_same_and_people_get_a_table(tmp_path: Path) -> None:
    plain = written(tmp_path / "h.jsonl", history())
    zipped = tmp_path / "h.jsonl.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    one, other = (json.loads(replay(str(path), "--json").stdout) for path in (plain, zipped))
    assert one["tests"] == other["tests"]
    shown = replay(str(zipped)).stdout
    assert "1 broken, 1 flaky, 0 unknown, 21 healthy" in shown
    assert "healthy 3" not in shown


def test_the_order_of_the_lines_and_how_they_are_written_make_no_difference(tmp_path: Path) -> None:
    rows = history()
    plain = [json.dumps(row) for row in rows]
    mixed = random.Random(1).sample(plain, len(plain))  # noqa: S311  reproducible, not secret
    by_test = [json.dumps(row) for row in sorted(rows, key=lambda row: str(row["test"]))]
    in_india = [{**row, "at": _elsewhere(row["at"]), "more": {"than": "needed"}} for row in rows]
    from_zero = [{**row, "attempt": row["attempt"] - 1} for row in rows]
    of_one_name = [{**row, "run": "nightly"} for row in rows]
    of_numbers = [{**row, "run": int(row["run"])} for row in rows]
    forms = {
        "in order": "\n".join(plain),
        "mixed": "\n".join(mixed),
        "by test": "\n".join(by_test),
        "backwards": "\n".join(reversed(plain)),
        "with a mark of the byte order and line ends of Windows": "\ufeff" + "\r\n".join(plain) + "\r\n",
        "twice": "\n".join(line for line in plain for _ in range(2)),
        "of another zone, with fields that nobody knows": "\n".join(map(json.dumps, in_india)),
        "numbered from zero": "\n".join(map(json.dumps, from_zero)),
        "of runs with numbers": "\n".join(map(json.dumps, of_numbers)),
        "of runs that only their commits tell apart": "\n".join(map(json.dumps, of_one_name)),
    }
    said = {}
    for form, text in forms.items():
        path = tmp_path / "h.jsonl"
        path.write_text(text, newline="")
        result = replay(str(path), "--json")
        assert ("sorted first" in result.stderr) == (form in ("mixed", "by test", "backwards")), form
        said[form] = json.loads(result.stdout)["tests"]
    for form in forms:
        assert said[form] == said["in order"], form


def _elsewhere(at: str) -> str:
    return datetime.fromisoformat(at).astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()


def test_a_pipe_streams_and_says_that_it_can_not_be_sorted(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Less than a pipe holds: who is refused may still have it open.
    lines = [json.dumps(row) + "\n" for row in history(8)]
    for text in (lines, lines[::-1]):
        writing = threading.Thread(target=pipe.write_text, args=("".join(text),))
        writing.start()
        if text is lines:
            assert json.loads(replay(str(pipe), "--json").stdout)["runs"] == 8
        else:
            with pytest.raises(BadInput, match="can't be read twice: give a file"):
                replay(str(pipe))
        writing.join()


def test_a_lower_ceiling_quarantines_sooner(tmp_path: Path) -> None:
    path = str(written(tmp_path / "h.jsonl", history()))
    strict, lax = (
        json.loads(replay(path, option, value, "--json").stdout)["tests"]["flaky"]["quarantined_at"]
        for option, value in (("--ceiling", "1e9"), ("--arl", "1000"))
    )
    assert lax < strict


BAD = [
    (b"\xff\xfe{}", "2: it is not UTF-8: byte 1"),
    (b"{", "2: it is not JSON"),
    (b"[]", "2: it is not a JSON object"),
    (b"[" * 200_000, "2: it is nested too deeply"),
    (b'{"test": "' + b"x" * 1_000_001, "2: the line is longer than 1000000 bytes"),
    (json.dumps({**GOOD, "test": ""}).encode(), "2: test, run, sha and branch must be texts"),
    (json.dumps({**GOOD, "test": "x" * 2_001}).encode(), "2: test, run, sha or branch is longer than"),
    (json.dumps({**GOOD, "test": "half \ud800"}).encode(), "2: test has characters that can't be stored"),
    (json.dumps({**GOOD, "run": True}).encode(), "2: test, run, sha and branch must be texts"),
    (json.dumps({**GOOD, "attempt": True}).encode(), "2: attempt must be a whole number"),
    (json.dumps({**GOOD, "attempt": -1}).encode(), "2: attempt must be a whole number"),
    (json.dumps({**GOOD, "outcome": "passed"}).encode(), "2: outcome must be pass, fail, error or skip"),
    (json.dumps({**GOOD, "outcome": []}).encode(), "2: outcome must be pass, fail, error or skip"),
    (json.dumps({**GOOD, "signature": 1}).encode(), "2: signature must be a text or null"),
    (json.dumps({**GOOD, "at": "yesterday"}).encode(), "2: at is not an ISO 8601 time"),
    (json.dumps({**GOOD, "at": 5}).encode(), "2: at must be an ISO 8601 time"),
    (json.dumps({key: value for key, value in GOOD.items() if key != "sha"}).encode(), "2: it has no sha"),
]


@pytest.mark.parametrize(("line", "words"), BAD, ids=[words[:40] for _, words in BAD])
def test_a_line_that_can_not_be_used_is_refused_in_words(tmp_path: Path, line: bytes, words: str) -> None:
    path = tmp_path / "h.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + line + b"\n")
    with pytest.raises(BadInput, match=words):
        replay(str(path))


def test_bad_lines_can_be_left_out_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    later = json.dumps({**GOOD, "run": "2", "at": "2026-03-03T00:00:00Z"}).encode()
    good = json.dumps(GOOD).encode()
    for first, last in ((good, later), (later, good)):
        path.write_bytes(b"\n".join((first, b"{", b"", b"x" * 3_000_000, b"nonsense", last, b"")))
        result = replay(str(path), "--skip-bad", "--json")
        assert json.loads(result.stdout)["runs"] == 2
        assert "3 lines could not be used and were left out, the first of them" in result.stderr
        assert f"{path}:4: the line is longer than 1000000 bytes" in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no usable row"),
        (b"\x1f\x8b\x08broken", "can't be read"),
        (gzip.compress(b"x" * 99, mtime=0)[:-9], "can't be"),
    ],
)
def test_a_file_that_says_nothing_or_is_cut_off_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "h.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words):
        replay(str(path))


def test_an_impossible_ceiling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--ceiling 1: give a number of runs from 100 to 1e12"):
        replay(str(written(tmp_path / "h.jsonl", [GOOD])), "--ceiling", "1")
