"""Workers for tests: no deployment version, and our pure packages loaded once."""

import os

from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkerConfig, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.unversioned import UnversionedRunner

PURE = ("leverframe", "agents", "policies", "activities")


class NamedWorkers(SimplePlugin):
    """Names the workers of a client that are no version of a deployment.

    Otherwise the first of each process reads all loaded modules again, to make a name of them.
    """

    def __init__(self) -> None:
        super().__init__("named workers")

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """With a build id; one that has a version by its deployment can't have it."""
        if not config.get("deployment_config"):
            config["build_id"] = "tests"
        return super().configure_worker(config)


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
