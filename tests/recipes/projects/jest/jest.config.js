// In one process, so that what ends it ends the run.
module.exports = {
  bail: process.env.BAIL ? 1 : 0,
  maxWorkers: 1,
  setupFilesAfterEnv: process.env.RETRIES ? ["./retries.js"] : [],
};
