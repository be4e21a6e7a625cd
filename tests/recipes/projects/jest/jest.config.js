// In one process, so that what ends it ends the run.
module.exports = { maxWorkers: 1, setupFilesAfterEnv: process.env.RETRIES ? ["./retries.js"] : [] };
