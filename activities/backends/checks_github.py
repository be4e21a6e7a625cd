"""What GitHub's CI says of a commit, as the port `ForgeChecks`: check runs and commit statuses.

A check run and a status may have the same name, and several Apps may: as on GitHub, each must be green. Our
own App's check runs are passed over, since they only show what we were told here.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from githubkit import Response

from activities.backends.github_account import NEEDED_BY_CHECKS, GithubAccount
from activities.backends.github_check_answers import Run, RunPage, Status, WorkflowRuns, verdict
from activities.backends.github_errors import answering
from activities.backends.github_places import Place, Places
from activities.ports import Backend, Health
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from leverframe.model.errors import Conflict, LeverframeError, NotFound, Refused
from leverframe.model.topology import Repository

_PAGE = 100
_MAX_RUNS = 1000
_MAX_STATUS_PAGES = 10
"""GitHub keeps at most a thousand statuses of a commit and name."""

_RUNS_ALREADY = re.compile(
    r"already (?:running|queued|in progress)|is (?:not|still) (?:completed|running)", re.I
)


class GithubChecks:
    """The `ForgeChecks` port over GitHub's REST API."""

    def __init__(
        self,
        account: GithubAccount,
        *,
        repositories: Sequence[Repository],
        owner_repo: Mapping[str, str],
    ) -> None:
        """Raises BadConfiguration: a declared repository has no `owner/name` on GitHub."""
        self._account = account
        self._rest = account.client.rest
        self._places = Places(repositories, owner_repo, host=account.host)
        self._relied_on = any(check.runs_on == "forge" for each in repositories for check in each.checks)

    def result(self, repository: Repository, *, sha: str, check: Check) -> CheckResult | None:
        """What the newest run and the newest status of the check's name say of exactly this commit.

        None while there is none, and while a newer one than the last finished one still runs: what was asked
        to run again has no result yet. Red is told at once, whatever else of the name still runs.
        """
        at = self._places.of(repository.name)
        name = _name_of(check)
        newest: list[Run | Status] = [
            *self._newest_runs(at, sha, name),
            *self._newest_statuses(at, sha, name),
        ]
        return verdict(check.name, sha, newest)

    def run_again(self, repository: Repository, *, sha: str, check: Check) -> None:
        """Ask for the failed jobs of a workflow, or for the whole check suite of another App, once more.

        Raises:
            NotFound: no check run has the name. A commit status can't be asked for again: whoever sent it
                has to send another one.
            Refused: GitHub or the check's App does not let us.
        """
        at, name = self._places.of(repository.name), _name_of(check)
        runs = self._newest_runs(at, sha, name)
        if not runs:
            raise NotFound(f"GitHub knows no check run {name!r} of {sha[:12]} that could run again")
        for run in runs:
            if run.finished and run.outcome != "passed":
                self._run_again(at, run)

    def cancel(self, repository: Repository, *, sha: str) -> None:
        """Stop the workflow runs of the commit that have not ended. Check suites of other Apps can't be
        stopped; their results are of no use to anybody and do no harm."""
        at = self._places.of(repository.name)
        with answering(f"look what runs on {sha[:12]}"):
            answer = self._rest.actions.list_workflow_runs_for_repo(
                at.owner, at.repo, head_sha=sha, per_page=_PAGE
            )
            running = [run for run in WorkflowRuns.model_validate(answer.json()).runs if not run.ended]
        for run in running:
            stop = partial(self._rest.actions.cancel_workflow_run, at.owner, at.repo, run.id)
            _unless_too_late(f"cancel the workflow run {run.id} of {sha[:12]}", stop)

    def health(self) -> Health:
        """Red only where a declared check relies on the forge and we may not read what it says."""
        try:
            grants = self._account.grants(NEEDED_BY_CHECKS)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check changes.github")
        if not grants.missing:
            return Health(ok=True, detail=f"{grants.told}; checks can be read, repeated and stopped")
        detail = f"{grants.told}; not granted: {', '.join(grants.missing)}"
        if self._relied_on:
            return Health(ok=False, detail=detail, remedy='grant it: a check has runs_on = "forge"')
        return Health(ok=True, detail=f"{detail}; no declared check needs it")

    def _newest_runs(self, at: Place, sha: str, name: str) -> list[Run]:
        """The newest check run of each App, but for our own."""
        with answering(f"read the check runs {name} of {sha[:12]}"):
            pages = self._rest.paginate(
                self._rest.checks.list_for_ref, map_func=_runs, owner=at.owner, repo=at.repo, ref=sha,
                check_name=name, filter_="all", per_page=_PAGE,
            )  # fmt: skip
            runs = list(islice(pages, _MAX_RUNS))
        newest: dict[int, Run] = {}
        ours = self._account.app.app_id if self._account.app else None
        for run in sorted((run for run in runs if run.name == name), key=lambda run: run.id):
            if ours is None or run.app_id != ours:
                newest[run.app_id] = run
        return list(newest.values())

    def _newest_statuses(self, at: Place, sha: str, name: str) -> list[Status]:
        """The newest status of the name, if there is one."""
        found = (status for status in self._statuses(at, sha) if status.context == name)
        return [status for status in [next(found, None)] if status]

    def _statuses(self, at: Place, sha: str) -> Iterator[Status]:
        """Newest first."""
        for page in range(1, _MAX_STATUS_PAGES + 1):
            with answering(f"read the statuses of {sha[:12]}"):
                answer = self._rest.repos.list_commit_statuses_for_ref(
                    at.owner, at.repo, sha, per_page=_PAGE, page=page
                )
                found = [Status.model_validate(each) for each in answer.json()]
            yield from found
            if len(found) < _PAGE:
                return

    def _run_again(self, at: Place, run: Run) -> None:
        suite = run.suite_id
        if suite is None:
            raise NotFound(f"the check run {run.id} belongs to no check suite")
        with answering(f"look which workflow ran {run.id}"):
            answer = self._rest.actions.list_workflow_runs_for_repo(
                at.owner, at.repo, check_suite_id=suite, per_page=1
            )
            workflows = WorkflowRuns.model_validate(answer.json()).runs
        if not workflows:
            again = partial(self._rest.checks.rerequest_suite, at.owner, at.repo, suite)
            _unless_too_late(f"ask for the check suite {suite} again", again)
        elif workflows[0].ended:
            number = workflows[0].id
            again = partial(self._rest.actions.re_run_workflow_failed_jobs, at.owner, at.repo, number)
            _unless_too_late(f"run the failed jobs of the workflow run {number} again", again)


def _unless_too_late(doing: str, write: Callable[[], Any]) -> None:
    """A run that has ended, or runs again already, needs nothing more."""
    try:
        with answering(doing):
            write()
    except Conflict:
        return
    except Refused as error:
        if not _RUNS_ALREADY.search(str(error)):
            raise


def _runs(response: "Response[Any, Any]") -> list[Run]:
    return RunPage.model_validate(response.json()).runs


def _name_of(check: Check) -> str:
    return check.context or check.name


BACKEND = Backend(
    kind="checks",
    name="github",
    scopes=tuple(f"{name}: {level}" for name, level in NEEDED_BY_CHECKS.items()),
    build=GithubChecks,
)
