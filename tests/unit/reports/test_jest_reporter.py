"""The reporter for jest writes lines that the reader of reports takes, attempt by attempt."""

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leverframe.reports.facts import Facts
from leverframe.reports.reading import read

REPORTER = Path(__file__).parents[3] / "examples/jest/leverframe-reporter.cjs"
NODE = shutil.which("node")
RUN = """
const Reporter = require(process.argv[1]);
const reporter = new Reporter({rootDir: process.cwd()});
const at = (name) => process.cwd() + "/src/" + name;
reporter.onTestResult(null, {
  testFilePath: at("a.test.js"), perfStats: {start: 0}, testExecError: undefined, failureMessage: "x",
  testResults: [
    {fullName: "cart adds", status: "passed", duration: 3, invocations: 1, failureMessages: []},
    {fullName: "cart pays", status: "passed", duration: 4, invocations: 3, retryReasons: ["boom", "boom"],
     failureMessages: []},
    {fullName: "cart fails", status: "failed", duration: 5, invocations: 1, retryReasons: [],
     failureMessages: [["one", at("a.js") + ":3:1", `f (${at("../node_modules/x.js")}:1:1)`,
       "new Promise (<anonymous>)"].join("\\n    at "), "two"]},
    {fullName: "later", status: "pending", duration: null, invocations: 1, failureMessages: []},
  ],
});
reporter.onTestResult(null, {
  testFilePath: at("broken.test.js"), perfStats: {}, testExecError: {message: "no"},
  failureMessage: "no syntax", testResults: [],
});
reporter.onRunComplete(null, {numTotalTestSuites: Number(process.argv[2])});
"""
ENVIRONMENT = {"PATH": "", "GITHUB_RUN_ID": "88", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_SHA": "abc"}


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_attempts_failures_and_files_that_do_not_load_are_all_told(tmp_path: Path) -> None:
    assert NODE is not None
    subprocess.run([NODE, "-e", RUN, str(REPORTER), "2"], cwd=tmp_path, env=ENVIRONMENT, check=True)
    body = (tmp_path / "results.jsonl").read_bytes()
    report = read(body, Facts(repository="shop", source="upload"), now=datetime.now(UTC))
    assert (report.run, report.sha, report.complaints) == ("88.2", "abc", ())
    assert [(one.test, one.attempt, one.outcome, one.path) for one in report.attempts] == [
        ("src/a.test.js::cart adds", 1, "pass", "src/a.test.js"),
        ("src/a.test.js::cart pays", 1, "fail", "src/a.test.js"),
        ("src/a.test.js::cart pays", 2, "fail", "src/a.test.js"),
        ("src/a.test.js::cart pays", 3, "pass", "src/a.test.js"),
        ("src/a.test.js::cart fails", 1, "fail", "src/a.test.js"),
        ("src/a.test.js::later", 1, "skip", "src/a.test.js"),
        ("src/broken.test.js::(the file itself)", 1, "error", "src/broken.test.js"),
    ]
    assert json.loads(body.splitlines()[4])["signature"] == "one\n    at src/a.js:3:1\ntwo"


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_a_run_that_did_not_come_to_all_files_leaves_no_report(tmp_path: Path) -> None:
    assert NODE is not None
    (tmp_path / "results.jsonl").write_text("of an earlier run")
    subprocess.run([NODE, "-e", RUN, str(REPORTER), "3"], cwd=tmp_path, env=ENVIRONMENT, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl.part"]
