"""What policy lets be executed again in each repository, and by which checks."""

from collections.abc import Mapping

import structlog

from activities.executions_port import NOTHING, Asking
from activities.policy_files import snapshot_of
from activities.ports import PolicySource
from leverframe.model.errors import LeverframeError
from leverframe.model.topology import Repository
from policies.quarantine import caps

AGENT = "flaky_tests"
"""Whose rule it is."""

_log = structlog.get_logger(__name__)


class Allowances:
    """What policy lets be executed in each repository."""

    def __init__(self, policies: PolicySource, repositories: Mapping[str, Repository]) -> None:
        self._policies = policies
        self._repositories = repositories

    def of(self, repository: str) -> Asking:
        """Nothing, where no check selects tests, or the policy can't be read."""
        checks = tuple(check.name for check in self._repositories[repository].checks if check.selects_tests)
        if not checks:
            return NOTHING
        try:
            snapshot = snapshot_of(self._policies.read())
        except LeverframeError as error:
            _log.warning("executions.policy", repository=repository, why=str(error))
            return NOTHING
        a_day = caps(snapshot, agent=AGENT, repository=repository).executions_a_day
        return Asking(a_day=a_day, checks=checks)
