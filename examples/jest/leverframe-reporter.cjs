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
    this.part = `${this.file}.part`;
    this.files = 0;
    this.run = thisRun();
    for (const old of [this.file, this.part]) fs.rmSync(old, { force: true });
  }

  // Frames of jest and node differ between a first attempt and a retry, and checkouts lie in different places.
  said(text) {
    const own = String(text)
      .split("\n")
      .filter((line) => !/^\s+at .*(node_modules[\\/]|\(<anonymous>\)|\(node:)/.test(line));
    return own.join("\n").replaceAll(this.root + path.sep, "");
  }

  // Written as it goes, so that a run that is killed loses no line; but a part is no report: what did not run
  // would look as if it had not failed.
  onRunComplete(_contexts, results) {
    if (this.files > 0 && this.files === results.numTotalTestSuites) fs.renameSync(this.part, this.file);
  }

  onTestResult(test, result) {
    const file = path.relative(this.root, result.testFilePath).split(path.sep).join("/");
    this.files += 1;
    const at = new Date(result.perfStats.start || Date.now()).toISOString();
    const rows = [];
    const add = (name, attempt, outcome, signature, duration) =>
      rows.push({ ...this.run, test: name, attempt, at, outcome, signature, duration_ms: Math.round(duration || 0) });

    for (const one of result.testResults) {
      const name = `${file}::${one.fullName}`;
      // What failed in an attempt is only known with jest.retryTimes(2, { logErrorsBeforeRetry: true }).
      const earlier = (one.invocations || 1) - 1;
      for (let number = 0; number < earlier; number += 1) {
        const reason = (one.retryReasons || [])[number];
        add(name, number + 1, "fail", reason ? this.said(reason) : null, 0);
      }
      const failed = one.status === "failed";
      const outcome = failed ? "fail" : one.status === "passed" ? "pass" : "skip";
      add(name, earlier + 1, outcome, failed ? this.said(one.failureMessages.join("\n")) : null, one.duration);
    }
    // A file that can't be loaded, or dies: no test of it failed, and still it is red.
    if (result.testExecError || (result.failureMessage && !rows.some((row) => row.outcome === "fail"))) {
      const said = result.failureMessage || result.testExecError.message;
      add(`${file}::(the file itself)`, 1, "error", this.said(said), 0);
    }
    fs.appendFileSync(this.part, rows.map((row) => JSON.stringify(row) + "\n").join(""));
  }
}

module.exports = LeverframeReporter;
