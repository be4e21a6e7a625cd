"""`leverframe tests upload` sends reports to the gateway, and its exit code says what became of them."""

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from typer.testing import CliRunner

from leverframe.cli import tests as command
from leverframe.cli.main import app
from leverframe.model.errors import LeverframeError

JUNIT = '<testsuite name="s"><testcase name="a"/></testsuite>'
LINES = '{"run": "77", "sha": "abc", "test": "a", "at": "2026-11-29T17:00:00Z", "outcome": "pass"}\n'


@dataclass
class Intake:
    """A gateway that answers what it is told, and notes what came."""

    answers: list[tuple[int, object]] = field(default_factory=list)
    came: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    token: str = ""
    url: str = ""


@pytest.fixture
def intake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Intake]:
    made = Intake()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            packed = self.headers.get("content-encoding") == "gzip"
            asked = urlsplit(self.path)
            made.token = self.headers.get("authorization", "")
            made.came.append(
                (asked.path, dict(parse_qsl(asked.query)), gzip.decompress(body) if packed else body)
            )
            kept = {"report": "r" * 64, "attempts": 1, "new": True, "complaints": ["line 2: it is not JSON"]}
            status, answer = made.answers.pop(0) if made.answers else (202, kept)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "LONGEST_PAUSE", 0.0)
    for name in (
        "GITHUB_RUN_ID",
        "GITHUB_RUN_ATTEMPT",
        "GITHUB_SHA",
        "GITHUB_JOB",
        "GITHUB_REF_NAME",
        "CI_JOB_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LEVERFRAME_TESTS_TOKEN", "secret")
    monkeypatch.setenv("LEVERFRAME_REPOSITORY", "shop")
    monkeypatch.setenv("LEVERFRAME_URL", made.url)
    (tmp_path / "junit.xml").write_text(JUNIT)
    (tmp_path / "lines.jsonl").write_text(LINES)
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress(LINES.encode()))
    yield made
    server.shutdown()
    server.server_close()


def upload(*words: str) -> tuple[int, str]:
    """Exit code and stdout. Errors of ours come out of the command as what they are."""
    done = CliRunner().invoke(app, ["tests", "upload", *words])
    if isinstance(done.exception, LeverframeError):
        raise done.exception
    return done.exit_code, done.stdout


def test_the_run_is_what_github_actions_says_unless_it_is_given(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_RUN_ID", "9")
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "2")
    monkeypatch.setenv("GITHUB_SHA", "a" * 40)
    monkeypatch.setenv("GITHUB_REF_NAME", "main")
    monkeypatch.setenv("GITHUB_JOB", "unit")
    code, told = upload("junit.xml", "--job", "slow", "--variant", "windows", "--json")
    assert code == 0
    assert json.loads(told) == [
        {
            "file": "junit.xml",
            "report": "r" * 64,
            "attempts": 1,
            "new": True,
            "complaints": ["line 2: it is not JSON"],
            "error": "",
        }
    ]
    expected = {"run": "9.2", "sha": "a" * 40, "branch": "main", "job": "slow", "variant": "windows"}
    assert intake.came == [("/tests/shop", expected, JUNIT.encode())]
    assert intake.token == "Bearer secret"


def test_the_run_is_what_gitlab_ci_says(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PIPELINE_ID": "5",
        "COMMIT_SHA": "b",
        "COMMIT_REF_NAME": "x",
        "JOB_NAME": "rspec",
    }.items():
        monkeypatch.setenv(f"CI_{name}", value)
    assert upload("junit.xml")[0] == 0
    assert intake.came[0][1] == {"run": "5", "sha": "b", "branch": "x", "job": "rspec"}


def test_lines_that_say_their_run_need_no_word_of_it(intake: Intake) -> None:
    assert upload("lines.jsonl", "lines.jsonl.gz")[0] == 0
    assert [facts for _, facts, _ in intake.came] == [{}, {}]
    assert gzip.decompress(intake.came[1][2]) == LINES.encode()


def test_a_gateway_that_is_away_for_a_while_is_asked_again(intake: Intake) -> None:
    intake.answers = [(503, {"detail": "the store does not answer"}), (502, "proxy"), (429, {})]
    assert upload("lines.jsonl")[0] == 0
    assert len(intake.came) == 4


@pytest.mark.parametrize(
    ("status", "code"), [(400, 2), (413, 2), (401, 5), (403, 5), (404, 3), (503, 4), (301, 2)]
)
def test_the_exit_code_says_why_a_file_was_not_taken(intake: Intake, status: int, code: int) -> None:
    intake.answers = [(status, {"detail": "no"})] * command.TRIES
    assert upload("lines.jsonl")[0] == code


def test_all_files_are_tried_and_the_first_failure_is_the_exit_code(intake: Intake) -> None:
    code, told = upload("missing.xml", "lines.jsonl", "--json")
    assert code == 2
    assert [bool(one["error"]) for one in json.loads(told)] == [True, False]
    assert len(intake.came) == 1


def test_nobody_at_the_address_is_told_after_all_tries(intake: Intake) -> None:
    assert upload("lines.jsonl", "--url", "http://127.0.0.1:1")[0] == 4


def test_without_a_token_nothing_is_sent(intake: Intake) -> None:
    with pytest.raises(LeverframeError, match="OTHER is not set"):
        upload("lines.jsonl", "--token-env", "OTHER")
    assert intake.came == []


def test_a_run_that_nobody_names_is_asked_for(intake: Intake) -> None:
    code, told = upload("junit.xml", "--sha", "abc", "--json")
    assert code == 2
    assert "--run" in json.loads(told)[0]["error"]
    assert intake.came == []
