"""Marking a release that is at 100 %: its tag, its notes, its page on the forge, and a word to its changes.

Nothing here decides what runs: a marker that is moved or deleted changes nothing.
"""

from collections.abc import Mapping
from contextlib import suppress

from temporalio import activity

from activities.build_ports import Builds
from activities.failures import typed_failures
from activities.notes_port import Notes, ReleasePages
from activities.ports import Changes
from activities.pulse import with_pulse
from activities.track_port import Track
from leverframe.model.deployments import Moments
from leverframe.model.errors import BadInput, NotFound
from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.release_notes import MOST_CHANGES, LandedChange, Marked, ReleaseNotes
from leverframe.model.releases import Artifact, GateVerdict
from leverframe.model.topology import Repository

COMMENT = "live"
"""The key of the comment that tells a change that it is live: a second one replaces the first."""


class MarkRequest(Frozen):
    """What only the release itself knows of its way."""

    repository: Slug
    sha: Sha
    previous: Sha | None
    artifact: Artifact | None
    verdicts: tuple[GateVerdict, ...]
    moments: Moments


class MarkActivities:
    """Markers and notes of the declared repositories."""

    def __init__(
        self,
        track: Track,
        changes: Changes,
        notes: Notes,
        repositories: Mapping[str, Repository],
        pages: ReleasePages | None = None,
    ) -> None:
        """`pages`: where the forge shows releases; None: they get no page there."""
        self._track = track
        self._changes = changes
        self._notes = notes
        self._repositories = repositories
        self._pages = pages

    @activity.defn(name="mark_release")
    @typed_failures
    @with_pulse
    def mark(self, request: MarkRequest) -> Marked:
        """Write the notes into the marker's message, push the marker, and keep both. Idempotent.

        Raises:
            Conflict: a tag of that name marks another commit.
            Unavailable: it can't be pushed, signed or kept now.
        """
        repository = _declared(self._repositories, request.repository)
        landed, left_out = landed_since(self._track, repository, request.previous, request.sha)
        notes = ReleaseNotes(
            service=repository.service.name,
            landed=landed,
            left_out=left_out,
            **{name: getattr(request, name) for name in MarkRequest.model_fields},
        )
        if notes.marker is None:
            raise BadInput(f"{request.sha[:12]} is marked once it is stable, and it has not been")
        signed = self._track.tag(repository, name=notes.marker, sha=notes.sha, message=notes.markdown())
        marked = Marked(name=notes.marker, signed=signed, notes=notes)
        self._notes.keep(marked)
        return marked

    @activity.defn(name="tell_live")
    @typed_failures
    @with_pulse
    def tell(self, marked: Marked) -> None:
        """One comment on each change that the release brought, and its page on the forge. Idempotent."""
        service, live = marked.notes.service, marked.notes.moments.live_at
        body = (
            f"Live: at 100 % of {service} in production since {live:%Y-%m-%d %H:%M:%S} UTC, with"
            f" {marked.notes.sha[:12]} ({marked.words})."
        )
        for change in marked.notes.landed:
            with suppress(NotFound):  # the record of changes was moved, or is another one by now
                self._changes.comment(change.change, key=COMMENT, body=body)
        if self._pages is not None:
            self._pages.publish(_declared(self._repositories, marked.notes.repository), marked)


def landed_since(
    track: Track, repository: Repository, previous: str | None, sha: str
) -> tuple[tuple[LandedChange, ...], int]:
    """What landed after the release before, by git and its receipts; and how many are left out."""
    pairs, left_out = track.landed_between(repository, after=previous, upto=sha, limit=MOST_CHANGES)
    return tuple(LandedChange.of(receipt, subject) for receipt, subject in pairs), left_out


def made_again(track: Track, builds: Builds, repository: Repository, sha: str) -> ReleaseNotes:
    """The notes of a commit from git, its receipts and the recorded build: all but times and verdicts."""
    previous = track.live_before(repository, sha=sha)
    landed, left_out = landed_since(track, repository, previous, sha)
    return ReleaseNotes(
        service=repository.service.name,
        repository=repository.name,
        sha=sha,
        previous=previous,
        artifact=builds.find(repository.name, sha),
        landed=landed,
        left_out=left_out,
    )


def _declared(repositories: Mapping[str, Repository], name: str) -> Repository:
    if name not in repositories:
        raise NotFound(f"repository {name!r} is not declared")
    return repositories[name]
