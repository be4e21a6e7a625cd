"""Workers for tests: no deployment version, and our pure packages loaded once."""

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows.unversioned import UnversionedRunner

PURE = ("leverframe", "agents", "policies", "activities")


def unversioned() -> SandboxedWorkflowRunner:
    """The `workflow_runner` of a worker that is no version of a deployment."""
    return SandboxedWorkflowRunner(
        runner_class=UnversionedRunner,
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*PURE),
    )
