"""The command line as a script and as a person meet it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from leverframe.cli.exits import Exit, exit_code
from leverframe.cli.output import inert, print_json, print_long_json
from leverframe.cli.session import given
from leverframe.model import errors
from leverframe.model.changes import Author
from leverframe.model.untrusted import Untrusted

ROOT = Path(__file__).resolve().parents[3]

FLAGS = {"new-pricing": {"state": "ENABLED", "defaultVariant": "on", "variants": {"on": True, "off": False}}}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "leverframe.toml").write_text('home = "home"\n[temporal]\naddress = "127.0.0.1:1"\n')
    (tmp_path / "home").mkdir()
    (tmp_path / "home/flags.json").write_text(json.dumps({"flags": FLAGS}))
    return tmp_path


def leverframe(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEVERFRAME_")}
    return subprocess.run(
        [sys.executable, "-m", "leverframe", *arguments],
        cwd=home,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_every_error_of_ours_has_an_exit_code_of_its_own_kind() -> None:
    codes = {
        errors.BadInput: Exit.BAD_INPUT,
        errors.BadConfiguration: Exit.BAD_INPUT,
        errors.NotFound: Exit.NOT_FOUND,
        errors.Unavailable: Exit.UNAVAILABLE,
        errors.Refused: Exit.REFUSED,
        errors.Conflict: Exit.REFUSED,
        errors.TargetMoved: Exit.REFUSED,
        errors.LeverframeError: Exit.FAILED,
    }
    assert {kind: exit_code(kind("why")) for kind in codes} == codes


def test_a_read_with_json_prints_json_and_nothing_else_on_stdout(home: Path) -> None:
    done = leverframe(home, "flags", "list", "--json")
    [flag] = json.loads(done.stdout)
    assert (flag["flag"], flag["on"], flag["kill"]) == ("new-pricing", True, True)
    assert done.returncode == Exit.OK


def test_a_person_switches_a_flag_and_doing_it_again_changes_nothing(home: Path) -> None:
    switch = ("flags", "set", "new-pricing", "off", "--reason", "errors", "--json")
    first, second = leverframe(home, *switch), leverframe(home, *switch)
    assert json.loads(first.stdout) == {
        "flag": "new-pricing",
        "on": False,
        "changed": True,
        "restore_at": None,
    }
    assert json.loads(second.stdout)["changed"] is False


def test_an_unknown_flag_is_not_found_in_one_sentence(home: Path) -> None:
    done = leverframe(home, "flags", "set", "nosuch", "off", "--reason", "x")
    assert done.returncode == Exit.NOT_FOUND
    assert done.stderr.startswith("leverframe: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_engine_that_does_not_answer_is_one_sentence_and_a_code(home: Path) -> None:
    done = leverframe(home, "runs", "list", "--json")
    assert done.returncode == Exit.UNAVAILABLE
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_wrong_settings_name_each_wrong_value(home: Path) -> None:
    (home / "leverframe.toml").write_text('nosuch = 1\n[gateway]\nport = "many"\n')
    done = leverframe(home, "flags", "list")
    assert done.returncode == Exit.BAD_INPUT
    assert "nosuch: " in done.stderr
    assert "gateway.port: " in done.stderr


def test_a_settings_file_that_is_not_toml_is_bad_input_without_a_traceback(home: Path) -> None:
    (home / "leverframe.toml").write_text("this is [not TOML")
    done = leverframe(home, "flags", "list")
    assert done.returncode == Exit.BAD_INPUT
    assert "Traceback" not in done.stderr


def test_an_unknown_command_is_a_usage_error(home: Path) -> None:
    assert leverframe(home, "nosuch").returncode == Exit.BAD_INPUT


def test_the_doctor_is_red_without_an_engine_and_still_looks_at_the_rest(home: Path) -> None:
    done = leverframe(home, "doctor", "--json")
    found = {finding["part"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == Exit.FAILED
    assert found["engine"]["colour"] == "red"
    assert found["policy"]["colour"] == found["flags"]["colour"] == found["errors"]["colour"] == "green"
    assert "sandbox" in found


def test_the_fleet_refuses_to_start_without_a_repository(home: Path) -> None:
    done = leverframe(home, "up")
    assert done.returncode == Exit.BAD_INPUT
    assert "leverframe.example.toml" in done.stderr


def test_a_policy_with_an_error_fails_the_check_and_names_file_and_line(home: Path) -> None:
    (home / "policies").mkdir()
    (home / "policies/org.yaml").write_text("version: 1\nnosuch: 2\n")
    done = leverframe(home, "policy", "check", "policies")
    assert done.returncode == Exit.BAD_INPUT
    assert "org.yaml:2: " in done.stdout


@pytest.mark.parametrize(
    "hostile", ["\x1b]0;owned\x07title", "a\x1b[2Jb", "\x9b31mred", "[bold]x[/bold]", "a\rb"]
)
def test_outside_text_is_inert_when_printed(hostile: str) -> None:
    for value in (hostile, Untrusted(hostile)):
        text = inert(value)
        assert not set(text.plain) & {"\x1b", "\x9b", "\x07", "\r"}
        assert text.spans == []


def test_what_a_person_typed_wrong_is_named_by_field() -> None:
    with pytest.raises(errors.BadInput, match="name: String should have at least 1 character"):
        given(Author, kind="person", name="")


@pytest.mark.parametrize(
    "entries", [{}, {"a": 1}, {"naïve\n": {"x": ["y\n", None]}, "b": [], "c": {"d": (1, 2)}}]
)
def test_a_long_answer_is_the_same_document_whether_or_not_it_is_printed_piece_by_piece(
    capsys: pytest.CaptureFixture[str], entries: dict[str, object]
) -> None:
    print_json({"many": entries, "count": len(entries), "took": 0.5})
    whole = capsys.readouterr().out
    print_long_json("many", iter(entries.items()), count=len(entries), took=0.5)
    assert capsys.readouterr().out == whole
