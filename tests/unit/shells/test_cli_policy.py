"""The policy's and the audit log's commands, as scripts and reviewers of a policy use them."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from leverframe.bootstrap import build_audit
from leverframe.cli.exits import Exit
from leverframe.cli.main import app
from leverframe.model.errors import BadInput
from leverframe.settings import load
from policies.audit import Head
from policies.ledger import Ledger
from policies.overview import overview
from policies.reservations import LedgerState, PauseRequest
from tests.fakes.asks import OFF, ON, ask, policy

ROOT = Path(__file__).resolve().parents[3]
DEFAULTS = ROOT / "policies/defaults"
EXAMPLES = ROOT / "examples/policy"

FINDING = {"rule", "verdict", "observed", "limit", "retry_at", "remedy", "source"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The default policy, to be changed."""
    return Path(shutil.copytree(DEFAULTS, tmp_path / "policies"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def explained(policy: Path, proposal: Path, *more: str) -> dict[str, object]:
    done = run("policy", "explain", "--policy", str(policy), "--proposal", str(proposal), "--json", *more)
    assert done.exit_code == Exit.OK, done.exception
    found: dict[str, object] = json.loads(done.stdout)
    return found


def edit(file: Path, old: str, new: str) -> int:
    """Replace one text; returns its line."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


class TestCheck:
    def test_the_default_policy_can_be_installed(self) -> None:
        assert run("policy", "check", str(DEFAULTS)).exit_code == Exit.OK

    def test_a_broken_rule_exits_2_with_its_file_and_line(self, copy: Path) -> None:
        line = edit(copy / "org.yaml", "max: 6", "max: -1")
        done = run("policy", "check", str(copy))
        assert done.exit_code == Exit.BAD_INPUT
        assert f"{copy}/org.yaml:{line}: error: " in done.stdout

    def test_a_single_file_is_checked_in_its_directory_and_only_its_problems_count(self, copy: Path) -> None:
        edit(copy / "org.yaml", "max: 6", "max: -1")
        assert run("policy", "check", str(copy / "agents/sentry_spike.yaml")).exit_code == Exit.OK
        assert run("policy", "check", str(copy / "org.yaml")).exit_code == Exit.BAD_INPUT

    def test_several_directories_are_checked_at_once(self, copy: Path) -> None:
        edit(copy / "org.yaml", "version: 1", "version: 2")
        assert run("policy", "check", str(DEFAULTS), str(copy)).exit_code == Exit.BAD_INPUT

    def test_a_directory_that_is_not_there_is_bad_input(self, tmp_path: Path) -> None:
        assert isinstance(run("policy", "check", str(tmp_path / "nowhere")).exception, BadInput)


class TestExplain:
    def test_what_passes_is_allowed_without_findings(self) -> None:
        found = explained(DEFAULTS, EXAMPLES / "flip-off.json")
        assert (found["verdict"], found["findings"]) == ("allow", [])
        assert len(str(found["policy_digest"])) == 64

    def test_what_people_may_lift_escalates(self) -> None:
        assert explained(DEFAULTS, EXAMPLES / "flip-on.json")["verdict"] == "escalate"

    def test_a_path_that_no_policy_can_open_is_denied_with_every_field_of_the_finding(self) -> None:
        found = explained(DEFAULTS, EXAMPLES / "edits-ci.json")
        assert found["verdict"] == "deny"
        findings = found["findings"]
        assert isinstance(findings, list)
        assert all(set(finding) == FINDING for finding in findings)
        assert any(".github/workflows/ci.yml" in finding["observed"] for finding in findings)

    def test_a_used_up_limit_names_the_line_the_numbers_and_the_instant(self) -> None:
        usage = ("--usage", str(EXAMPLES / "usage.json"))
        found = explained(DEFAULTS, EXAMPLES / "flip-off.json", *usage, "--at", "2026-11-20T12:00:00Z")
        assert found["verdict"] == "deny"
        [finding] = found["findings"]  # type: ignore[misc]
        assert finding["rule"] == "agents.sentry_spike.limits.flips-per-hour"
        assert finding["retry_at"] == "2026-11-20T12:10:00Z"
        file, line = finding["source"].split(":")
        assert "id: flips-per-hour" in (DEFAULTS / file).read_text().splitlines()[int(line) - 1]
        later = explained(DEFAULTS, EXAMPLES / "flip-off.json", *usage, "--at", finding["retry_at"])
        assert later["verdict"] == "allow"

    def test_a_repository_file_can_tighten_and_never_loosen(self, copy: Path) -> None:
        (copy / "repos").mkdir()
        repo = (
            "version: 1\nlayer: repo\nautonomy: act\nkill_switch: {stop}\nlevers: {{flip_flag: {{{flip}}}}}\n"
        )
        flip = "direction: {to_off: act, to_on: act}, flags: {allow: ['*']}"
        (copy / "repos/shop.yaml").write_text(repo.format(stop="false", flip=flip))
        assert explained(copy, EXAMPLES / "flip-on.json")["verdict"] == "escalate"
        (copy / "repos/shop.yaml").write_text(repo.format(stop="true", flip=flip))
        assert explained(copy, EXAMPLES / "flip-off.json")["verdict"] == "deny"

    @pytest.mark.parametrize(
        ("content", "named"), [('{"agent": "x"}', "effect"), ("nonsense", "file"), ('{"agent": 3}', "agent")]
    )
    def test_a_proposal_that_can_not_be_read_is_named_field_by_field(
        self, tmp_path: Path, content: str, named: str
    ) -> None:
        (tmp_path / "p.json").write_text(content)
        done = run("policy", "explain", "--policy", str(DEFAULTS), "--proposal", str(tmp_path / "p.json"))
        assert isinstance(done.exception, BadInput)
        assert named in str(done.exception)

    @pytest.mark.parametrize("at", ["yesterday", "2026-11-20T12:00:00"])
    def test_a_time_without_a_zone_is_refused(self, at: str) -> None:
        proposal = str(EXAMPLES / "flip-off.json")
        done = run("policy", "explain", "--policy", str(DEFAULTS), "--proposal", proposal, "--at", at)
        assert isinstance(done.exception, BadInput)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A store with the log of a ledger: one allowed flip, one escalated, one pause."""
    (tmp_path / "leverframe.toml").write_text(f'home = "{tmp_path}/home"\n')
    monkeypatch.setenv("LEVERFRAME_CONFIG", str(tmp_path / "leverframe.toml"))
    ledger = Ledger(LedgerState())
    now = datetime.now(UTC)
    ledger.install(policy(), now)
    ledger.reserve(ask("run/1/0", OFF), now)
    ledger.reserve(ask("run/2/0", ON), now)
    ledger.pause(PauseRequest(by="ada", reason="lunch"), now)
    settings = load()
    audit = build_audit(settings)
    audit.keep_snapshot(settings.organisation, ledger.state.snapshot)
    audit.append(settings.organisation, ledger.state.unwritten)
    return ledger


@pytest.fixture
def exported(recorded: Ledger, tmp_path: Path) -> Path:
    file = tmp_path / "audit.jsonl"
    file.write_text(run("audit", "export").stdout)
    return file


class TestAudit:
    def test_the_export_is_the_log_line_by_line_and_holds(self, recorded: Ledger, exported: Path) -> None:
        lines = exported.read_text().splitlines()
        assert [json.loads(line)["kind"] for line in lines] == ["installed", "granted", "escalated", "paused"]
        done = run("audit", "verify", "--file", str(exported), "--json")
        assert json.loads(done.stdout) == {
            "ok": True,
            "records": 4,
            "hash": recorded.state.audit_head.hash,
            "problem": "",
        }

    @pytest.mark.parametrize(
        "damage",
        [
            lambda lines: [*lines[:1], *lines[2:]],
            lambda lines: [lines[0], lines[2], lines[1], lines[3]],
            lambda lines: [*lines[:3], lines[3].replace("lunch", "tea")],
            lambda lines: [*lines, lines[-1]],
        ],
        ids=["left out", "swapped", "changed", "repeated"],
    )
    def test_a_log_that_was_touched_does_not_hold(self, exported: Path, damage: object) -> None:
        lines = exported.read_text().splitlines()
        exported.write_text("\n".join(damage(lines)) + "\n")  # type: ignore[operator]
        assert run("audit", "verify", "--file", str(exported)).exit_code == Exit.FAILED

    @pytest.mark.parametrize("line", ["nonsense", "{}", "[" * 50_000, '{"sequence": 1e999}', "\x00", "?"])
    def test_a_line_that_is_no_record_is_named_by_its_number(self, exported: Path, line: str) -> None:
        exported.write_text(f"{exported.read_text().splitlines()[0]}\n{line}\n")
        done = run("audit", "verify", "--file", str(exported))
        assert isinstance(done.exception, BadInput)
        assert f"{exported}:2: " in str(done.exception)

    def test_a_log_written_anew_does_not_have_the_hash_that_was_kept(
        self, recorded: Ledger, exported: Path
    ) -> None:
        kept = recorded.state.unwritten[1].hash
        assert run("audit", "verify", "--file", str(exported), "--known", kept).exit_code == Exit.OK
        lost = run("audit", "verify", "--file", str(exported), "--known", "0" * 63 + "1")
        assert lost.exit_code == Exit.FAILED

    def test_the_store_has_the_records_that_the_ledger_wrote_and_no_others(
        self, recorded: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = overview("acme", recorded.state, datetime.now(UTC)).model_copy(update={"unwritten": 0})

        def verified(**more: object) -> tuple[int, str]:
            monkeypatch.setattr("leverframe.cli.ledger.standing", lambda: known.model_copy(update=more))
            done = run("audit", "verify", "--json")
            return done.exit_code, json.loads(done.stdout)["problem"]

        assert verified() == (Exit.OK, "")
        assert "another record" in verified(audit_head=Head(sequence=4, hash="f" * 64))[1]
        assert "wrote 5 records" in verified(audit_head=Head(sequence=5, hash="f" * 64))[1]
        assert verified(audit_head=Head(sequence=5, hash="f" * 64), unwritten=1) == (Exit.OK, "")
        monkeypatch.setattr("leverframe.cli.audit.from_store", lambda _: iter(recorded.state.unwritten[1:]))
        assert "record 1 is missing" in verified(unwritten=1)[1]


class TestThePast:
    def test_a_candidate_policy_shows_the_verdicts_that_change(self, copy: Path, exported: Path) -> None:
        edit(copy / "org.yaml", "kill_switch: false", "kill_switch: true")
        done = run("policy", "simulate", "--policy", str(copy), "--audit", str(exported), "--json")
        found = json.loads(done.stdout)
        assert found["requests"] == 2
        assert [(row["was"], row["now"]) for row in found["changed"]] == [
            ("allow", "deny"),
            ("escalate", "deny"),
        ]

    def test_a_past_decision_is_decided_again_exactly(self, recorded: Ledger) -> None:
        done = run("policy", "replay", "3", "--json")
        assert done.exit_code == Exit.OK, done.exception
        found = json.loads(done.stdout)
        assert (found["was"], found["now"], found["same"]) == ("escalate", "escalate", True)

    def test_the_report_counts_what_each_agent_asked_for(self, exported: Path) -> None:
        done = run("policy", "report", "--audit", str(exported), "--json")
        assert [agent["agent"] for agent in json.loads(done.stdout)["agents"]] == ["sentry_spike"]
