"""All that a release knows, in one value: with it, its history can begin anew between two looks. Pure."""

from leverframe.model.deployments import Moments
from leverframe.model.eyes import EyesReport
from leverframe.model.frozen import Frozen, Sha
from leverframe.model.releases import Artifact, GateVerdict, ReleaseRequest
from leverframe.model.topology import Repository
from workflows.release.canary import Ladder
from workflows.release.story import Progress


class ReleaseState(Frozen):
    """What goes along. JSON, and bounded however long the release takes."""

    progress: Progress
    repository: Repository | None = None
    """As it was declared when the release began."""
    artifact: Artifact | None = None
    """What was built."""
    tested: bool = False
    """Dev runs it and answers."""
    entered: bool = False
    """Whether production's overlay may name the commit."""
    last_good: Sha | None = None
    """What was stable when it entered production."""
    ladder: Ladder | None = None
    """Where it stands in production, with all the evidence; None before its first step."""
    reached: int = 0
    """The largest share of the requests that it had, in percent."""
    promoted: bool = False
    verdicts: tuple[GateVerdict, ...] = ()
    """The deciding verdict of each step."""
    eyes: EyesReport | None = None
    """What its pages looked like; None: nobody looked yet, or there are none to look at."""
    moments: Moments = Moments()
    """When it came how far."""
    paged: tuple[str, ...] = ()
    """What people were paged for, so that each cause is told once."""
    rides: int = 0
    """Overlay changes that were made; numbers their branches."""

    @classmethod
    def of(cls, request: ReleaseRequest) -> "ReleaseState":
        """Before anything is done."""
        receipt = request.receipt
        return cls(progress=Progress(service=receipt.repository, sha=receipt.sha))


class ReleaseStart(ReleaseRequest):
    """What a release begins with: the request, and what an earlier history of the same release has left."""

    known: ReleaseState | None = None
