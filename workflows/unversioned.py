"""A worker that is no version of a deployment, as on a laptop and in tests.

Each workflow declares whether a new version takes it over. The server refuses that declaration from a
worker without deployment versioning, so such a worker leaves it out.
"""

from dataclasses import replace

from temporalio.common import VersioningBehavior
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance, WorkflowInstanceDetails


class UnversionedRunner(UnsandboxedWorkflowRunner):
    """Use as `SandboxedWorkflowRunner(runner_class=UnversionedRunner)`."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """The workflow without its declared versioning behaviour."""
        plain = replace(det.defn, versioning_behavior=VersioningBehavior.UNSPECIFIED)
        return super().create_instance(replace(det, defn=plain))
