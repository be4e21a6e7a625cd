"""Workers for tests: no deployment version, and our pure packages loaded once."""

import os

import temporalio.worker._worker
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.unversioned import UnversionedRunner

# Otherwise the first worker of each process reads all loaded modules again, to make a name of them. The SDK
# takes a name for each worker alone, so this place, and no other, reaches into it: if that variable goes,
# tests only take longer.
temporalio.worker._worker._default_build_id = "tests"

PURE = ("leverframe", "agents", "policies", "activities")

SANDBOXED = "LEVERFRAME_TEST_SANDBOXED" in os.environ


def unversioned() -> WorkflowRunner:
    """The `workflow_runner` of a worker that is no version of a deployment.

    Temporal's sandbox loads the workflows again for each run, a third of such a test's work. What it would
    stop is read from the code in `test_determinism`; the golden histories, the fleet and the demo run in it,
    and with LEVERFRAME_TEST_SANDBOXED=1 every test does.
    """
    if not SANDBOXED:
        return UnversionedRunner()
    return SandboxedWorkflowRunner(
        runner_class=UnversionedRunner,
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*PURE),
    )
