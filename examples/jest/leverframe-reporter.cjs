// Writes every attempt of every test down, one JSON line each, for `leverframe tests run` and `tests upload`.
// jest-junit leaves out the attempts of jest.retryTimes, and by default the files that could not be run at all.
//
//   reporters: ["default", "./leverframe-reporter.cjs"]     // LEVERFRAME_RESULTS names the file: results.jsonl

const fs = require("node:fs");
const path = require("node:path");

const FIRST_SET = (...names) => names.map((name) => process.env[name]).find(Boolean) || "";

function thisRun() {
  const rerun = process.env.GITHUB_RUN_ATTEMPT;
  const github = process.env.GITHUB_RUN_ID && process.env.GITHUB_RUN_ID + (rerun ? `.${rerun}` : "");
  return {
    run: FIRST_SET("LEVERFRAME_RUN") || github || FIRST_SET("CI_PIPELINE_ID"),
    sha: FIRST_SET("LEVERFRAME_SHA", "GITHUB_SHA", "CI_COMMIT_SHA"),
    branch: FIRST_SET("LEVERFRAME_BRANCH", "GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME"),
    job: FIRST_SET("LEVERFRAME_JOB", "GITHUB_JOB", "CI_JOB_NAME"),
  };
}

class LeverframeReporter {
  constructor(globalConfig) {
    this.root = globalConfig.rootDir;
    this.file = path.resolve(this.root, process.env.LEVERFRAME_RESULTS || "results.jsonl");
    this.run = thisRun();
    fs.rmSync(this.file, { force: true });
  }

  // A file that is written as it goes: a run that is killed loses no earlier line.
  onTestResult(test, result) {
    const file = path.relative(this.root, result.testFilePath).split(path.sep).join("/");
    const at = new Date(result.perfStats.start || Date.now()).toISOString();
    const rows = [];
    const add = (name, attempt, outcome, signature, duration) =>
      rows.push({ ...this.run, test: name, attempt, at, outcome, signature, duration_ms: Math.round(duration || 0) });

    for (const one of result.testResults) {
      const name = `${file}::${one.fullName}`;
      // What failed in an attempt is only known with jest.retryTimes(2, { logErrorsBeforeRetry: true }).
      const earlier = (one.invocations || 1) - 1;
      for (let number = 0; number < earlier; number += 1) {
        add(name, number + 1, "fail", (one.retryReasons || [])[number] || null, 0);
      }
      const failed = one.status === "failed";
      const outcome = failed ? "fail" : one.status === "passed" ? "pass" : "skip";
      add(name, earlier + 1, outcome, failed ? one.failureMessages.join("\n") : null, one.duration);
    }
    // A file that can't be loaded, or dies: no test of it failed, and still it is red.
    if (result.testExecError || (result.failureMessage && !rows.some((row) => row.outcome === "fail"))) {
      const said = result.failureMessage || String(result.testExecError.message);
      add(`${file}::(the file itself)`, 1, "error", said, 0);
    }
    fs.appendFileSync(this.file, rows.map((row) => JSON.stringify(row) + "\n").join(""));
  }
}

module.exports = LeverframeReporter;
