"""Hot reload: the policy files are read, and the ledger gets them, or is told why it does not.

Runs on the hands queue. What is in force changes only by a whole policy that parses: half a file, a missing
folder or a source that does not answer leaves the ledger with what it has.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from temporalio import activity

from activities.failures import as_application_error
from activities.ledger import LedgerDoor
from activities.policy_files import snapshot_of
from activities.ports import PolicySource
from leverframe.model.errors import BadConfiguration, LeverframeError
from leverframe.model.frozen import Frozen, Instant
from leverframe.model.ids import short_hash
from policies.overview import LedgerOverview
from policies.reservations import RefusedPolicy

UNREAD = "unread"
"""In the place of a revision when there was nothing to read."""

MOST_PROBLEMS = 20
MOST_WORDS = 500


class Reloaded(Frozen):
    """What became of a look at the policy files."""

    revision: str
    policy_digest: str
    """What is in force after it."""
    changed: bool = False
    refused: RefusedPolicy | None = None
    """Why what was read is not in force."""

    @property
    def alert(self) -> str:
        """Names the trouble, so that people are told once; a file that is wrong otherwise is told again."""
        if self.refused is None:
            return ""
        return f"policy-refused/{short_hash(self.refused.revision, *self.refused.problems)}"


class PolicyActivities:
    """The policies of one organisation, from their source to its ledger."""

    def __init__(
        self, source: PolicySource, ledger: LedgerDoor, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._clock = clock or (lambda: datetime.now(UTC))

    @activity.defn(name="reload_policy")
    async def reload(self) -> Reloaded:
        """Put the policy of the source in force, or say why not. Changes nothing when nothing has changed.

        Raises:
            ApplicationError: `Unavailable` (asked again) when the source or the ledger did not answer.
        """
        try:
            return await self._reload(await self._ledger.overview())
        except LeverframeError as error:
            raise as_application_error(error) from error

    async def _reload(self, standing: LedgerOverview) -> Reloaded:
        revision = UNREAD
        try:
            read = await asyncio.to_thread(self._source.read)
            revision = read.revision
            snapshot = snapshot_of(read)
        except BadConfiguration as error:
            return await self._refuse(standing, revision, error)
        if standing.refused_policy is not None:
            await self._ledger.refuse_policy(None)
        if standing.policy_digest == snapshot.digest:
            return Reloaded(revision=revision, policy_digest=snapshot.digest)
        installed = await self._ledger.install(snapshot)
        return Reloaded(revision=revision, policy_digest=installed.policy_digest, changed=installed.changed)

    async def _refuse(self, standing: LedgerOverview, revision: str, error: BadConfiguration) -> Reloaded:
        """The old policy stays, and the ledger knows since when and why."""
        refused = _refused(revision, error, self._clock())
        known = standing.refused_policy
        if known is not None and (known.revision, known.problems) == (refused.revision, refused.problems):
            refused = known
        else:
            await self._ledger.refuse_policy(refused)
        return Reloaded(revision=revision, policy_digest=standing.policy_digest, refused=refused)


def _refused(revision: str, error: BadConfiguration, now: Instant) -> RefusedPolicy:
    """The error's lines, bounded. A heading above several of them says nothing by itself."""
    lines = [line.strip()[:MOST_WORDS] for line in str(error).splitlines() if line.strip()]
    problems = lines[1:] or lines or ["no reason was given"]
    if len(problems) > MOST_PROBLEMS:
        problems = [*problems[: MOST_PROBLEMS - 1], f"and {len(problems) - MOST_PROBLEMS + 1} more"]
    return RefusedPolicy(revision=revision, problems=tuple(problems), since=now)
