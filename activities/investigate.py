"""Facts: of an error group, what the events say, checked against git and the flag backend.

Everything in an event can be forged, so nothing of it is a fact until a source of ours agrees: a path is
kept if the live commit has such a file, a flag if the backend knows it, a line if git can blame it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from temporalio import activity

from activities.failures import typed_failures
from activities.policy_files import snapshot_of
from activities.ports import Changes, ErrorGroup, Errors, Flags, PolicySource
from activities.pulse import with_pulse
from activities.track_port import Track
from leverframe.model.changes import Change
from leverframe.model.errors import BadConfiguration, NotFound
from leverframe.model.facts import (
    MAX_AUTHORS,
    ErrorFacts,
    ErrorFactsRequest,
    Facts,
    FactsRequest,
    FlagObservation,
    FlagState,
    FlakyFactsRequest,
    Frame,
    LandedCommit,
)
from leverframe.model.quarantine import FlakyFacts, QuarantineCaps
from leverframe.model.topology import Repository
from policies.quarantine import caps

MAX_FRAMES = 5
"""Frames that are kept and blamed: the crash frame and its callers."""
_MAX_CANDIDATES = 30
_MAX_PATH = 500
_MAX_PARTS = 24
_RECENT_CHANGES = 200


class TestFacts(Protocol):
    """Who knows a repository's tests: it folds the reports in that came, each once, and says what follows."""

    def gather(self, request: FlakyFactsRequest) -> FlakyFacts:
        """Without the caps of the policy, which are put in here. Raises NotFound, Unavailable."""
        ...


class InvestigateActivities:
    """Reads only. Runs on the hands queue."""

    def __init__(
        self,
        errors: Errors,
        track: Track,
        changes: Changes,
        flags: Flags,
        repositories: Mapping[str, Repository],
        *,
        tests: TestFacts | None = None,
        policies: PolicySource | None = None,
    ) -> None:
        """Without `tests` nothing is known of any repository's tests, and without `policies` none may be
        quarantined.
        """
        self._errors = errors
        self._track = track
        self._changes = changes
        self._flags = flags
        self._repositories = repositories
        self._tests = tests
        self._policies = policies

    @activity.defn(name="gather")
    @typed_failures
    @with_pulse
    def gather(self, request: FactsRequest) -> Facts:
        """What an agent has asked for.

        Raises:
            NotFound: no such group, no such repository, or production's overlay names no commit.
            BadConfiguration: nobody here knows anything of tests, or the policies are wrong.
        """
        match request:
            case ErrorFactsRequest():
                return self._of_errors(request)
            case FlakyFactsRequest():
                return self._of_tests(request)

    def _of_tests(self, request: FlakyFactsRequest) -> FlakyFacts:
        if self._tests is None:
            raise BadConfiguration("no store of test reports is set up, so nothing is known of tests")
        self._repository(request.repository)
        return self._tests.gather(request).model_copy(update={"caps": self._caps(request)})

    def _caps(self, request: FlakyFactsRequest) -> QuarantineCaps:
        """What policy lets the agent quarantine; the ledger asks again, when the change is reserved."""
        if self._policies is None:
            return QuarantineCaps()
        snapshot = snapshot_of(self._policies.read())
        return caps(snapshot, agent=request.agent, repository=request.repository)

    def _of_errors(self, request: ErrorFactsRequest) -> ErrorFacts:
        """What is known of an error group, the live release and what landed lately."""
        repository = self._repository(request.repository)
        group = self._errors.group(
            service=request.service,
            subject=request.subject,
            since=request.since,
            max_events=request.max_events,
        )
        live = self._track.overlay_sha(repository, "production")
        if live is None:
            raise NotFound(f"the production overlay of {repository.name} names no commit")
        states = self._flags.list()
        return ErrorFacts(
            title=group.title,
            exception=group.exception,
            trace=group.trace,
            route=group.route,
            sampled=group.sampled,
            total=group.total,
            first_at=group.first_at,
            frames=self._frames(repository, live, group),
            flags=_known_flags(group, states),
            flag_states=tuple(states),
            releases=group.releases,
            live=live,
            previous=self._track.live_before(repository, sha=live),
            commits=self._commits(repository, request.max_commits),
        )

    @activity.defn(name="count_since")
    @typed_failures
    def count_since(self, service: str, subject: str, since: datetime) -> int:
        """Events of the group accepted at or after `since`."""
        return self._errors.count(service=service, subject=subject, since=since)

    def _repository(self, name: str) -> Repository:
        if name not in self._repositories:
            raise NotFound(f"repository {name!r} is not declared")
        return self._repositories[name]

    def _frames(self, repository: Repository, live: str, group: ErrorGroup) -> tuple[Frame, ...]:
        """The first frames whose files the live commit has, each with its line's commit."""
        frames: list[Frame] = []
        prefix = ""
        for told, function, line in group.frames[:_MAX_CANDIDATES]:
            path = self._file(repository, live, told, prefix) if line >= 1 else None
            if path is None:
                continue
            prefix = told.removesuffix(path)
            blamed = self._track.blame(repository, sha=live, path=path, line=line)
            frames.append(Frame(path=path, function=function, line=line, blamed=blamed))
            if len(frames) == MAX_FRAMES:
                break
        return tuple(frames)

    def _file(self, repository: Repository, live: str, told: str, prefix: str) -> str | None:
        """The file of the live commit that an event's path means: the longest suffix that exists.

        `prefix` is the deployment directory that an earlier frame had: tried first, it saves look-ups.
        """
        candidates = suffixes(told)
        if prefix and told.startswith(prefix):
            guess = told[len(prefix) :]
            candidates = [guess, *candidates] if guess in candidates else candidates
        for candidate in candidates:
            if self._track.has_file(repository, sha=live, path=candidate):
                return candidate
        return None

    def _commits(self, repository: Repository, limit: int) -> tuple[LandedCommit, ...]:
        """What landed, newest first, with what the forge knows of who made it."""
        landed = {
            change.landed_as: change
            for change in self._changes.list_changes(repository.name, limit=_RECENT_CHANGES)
        }
        commits = []
        for commit in self._track.commits(repository, limit=limit):
            change = landed.get(commit.sha)
            if change is None:
                commits.append(commit)
                continue
            by_agent = commit.by_agent or change.author.kind == "agent"
            update = {"change": change.id, "by_agent": by_agent, "authors": _authors(commit, change)}
            commits.append(commit.model_copy(update=update))
        return tuple(commits)


def suffixes(told: str) -> list[str]:
    """The paths inside a repository that an event's path may mean, longest first.

    None for a path that climbs, is absurdly long, or has a character that no source file has.
    """
    if len(told) > _MAX_PATH or not told.isprintable():
        return []
    parts = [part for part in told.replace("\\", "/").split("/") if part and part != "."]
    if ".." in parts or not parts or len(parts) > _MAX_PARTS:
        return []
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _authors(commit: LandedCommit, change: Change) -> tuple[str, ...]:
    """Who wrote it, and the person who opened it: none of them approves its repair."""
    opened_by = [change.author.name] if change.author.kind == "person" else []
    return tuple(dict.fromkeys([*opened_by, *commit.authors]))[:MAX_AUTHORS]


def _known_flags(group: ErrorGroup, states: list[FlagState]) -> tuple[FlagObservation, ...]:
    names = {state.flag for state in states}
    return tuple(seen for seen in group.flags if seen.flag in names)
