"""Infrastructure by Terraform Cloud's runs: upload the tree, plan, confirm, follow to the end.

A run's message names its commit. A retry adopts the run that is still going; one that has ended is not asked
again, because a new one plans what is left to do, if anything. The tree runs there, not on our machines.
"""

import gzip
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import SecretStr

from activities.backends.terraform_cloud_api import CloudApi, Run, Step, Workspace
from activities.backends.terraform_plan import Counts, read_plan
from activities.backends.terraform_session import Ended
from activities.backends.terraform_tree import TreeRules, refusals
from activities.backends.terraform_words import LOG_CHARACTERS, failure, no_proof
from activities.ports import Backend, Health
from leverframe.model.changes import CheckResult
from leverframe.model.errors import (
    BadConfiguration,
    Conflict,
    LeverframeError,
    NotFound,
    Refused,
    Unavailable,
)
from leverframe.model.topology import Infrastructure
from leverframe.model.untrusted import Untrusted

CHECK = "dev"

_APPLIES = "Leverframe applies "
_LOOKS = "Leverframe compares dev with "

_DONE = frozenset({"applied", "planned_and_finished"})
_TAKEN_BACK = frozenset({"canceled", "discarded", "force_canceled"})
_POLICY = frozenset({"policy_override", "policy_soft_failed"})
_FINAL = _DONE | _TAKEN_BACK | {"errored", "policy_soft_failed", "planned_and_saved"}
_CHANGING = frozenset({"confirmed", "apply_queued", "queuing_apply", "applying", "pre_apply_running"})
"""From here on a run is not taken back: what it has begun is better finished."""
_NOT_SENT = frozenset({".git", ".terraform"})


class TerraformCloud:
    """The Terraform port on one organisation. Safe for threads."""

    def __init__(
        self,
        *,
        url: str,
        organisation: str,
        token: SecretStr | None,
        declared: Mapping[str, Infrastructure],
        providers: Sequence[str] = (),
        modules: Sequence[str] = (),
        poll_seconds: float = 3.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if not organisation or token is None:
            raise BadConfiguration("terraform.cloud: give organisation and token")
        self._organisation = organisation
        self._declared = dict(declared)
        self._poll_seconds = poll_seconds
        self._rules = TreeRules(providers=tuple(providers), modules=tuple(modules), needs_state_backend=False)
        self._api = CloudApi(url=url, token=token, transport=transport)

    def apply(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> CheckResult:
        """Raises BadConfiguration (the workspace, the token) or, before there is a run, Unavailable."""
        began = time.monotonic()
        try:
            summary, log = self._applied(infrastructure, tree, sha, heartbeat)
            outcome = "passed"
        except Ended as ended:
            outcome, summary, log = ended.outcome, ended.summary, ended.log
        seconds = round(time.monotonic() - began, 3)
        result: dict[str, Any] = {"outcome": outcome, "summary": summary, "log": log}
        return CheckResult(check=CHECK, sha=sha, seconds=seconds, **result)

    def drift(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> tuple[str, ...]:
        """By a speculative plan, which waits for nobody and can't be applied.

        Raises:
            BadConfiguration: the workspace or the token.
            Refused: the tree can't be planned; Unavailable: nobody can tell now.
        """
        try:
            self._check(tree, infrastructure)
            workspace = self._workspace(infrastructure)
            deadline = time.monotonic() + infrastructure.timeout_seconds
            configuration = self._uploaded(workspace, tree, deadline, heartbeat, speculative=True)
            run = self._api.new_run(workspace.id, configuration, message=f"{_LOOKS}{sha}", plan_only=True)
            run = self._follow(run, deadline, heartbeat)
        except Ended as ended:
            said = f"{ended.summary}: {ended.log[-600:]}" if ended.log else ended.summary
            raise (Refused if ended.outcome == "failed" else Unavailable)(said) from ended
        return self._differences(run)

    def health(self) -> Health:
        """Whether each declared workspace is there, and the token may apply runs in it."""
        try:
            seen = [self._workspace(each) for each in self._declared.values()]
        except LeverframeError as error:
            return Health(
                ok=False, detail=str(error), remedy="check [terraform.cloud] and the workspace's settings"
            )
        names = ", ".join(sorted({workspace.name for workspace in seen})) or "no workspace is declared"
        return Health(ok=True, detail=f"organisation {self._organisation}: {names}")

    def _applied(
        self, infrastructure: Infrastructure, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> tuple[str, str]:
        """The sentence about a finished apply, and its log. Raises Ended."""
        self._check(tree, infrastructure)
        workspace = self._workspace(infrastructure)
        deadline = time.monotonic() + infrastructure.timeout_seconds
        message = f"{_APPLIES}{sha}"
        run = self._going(workspace, message)
        if run is None:
            if workspace.locked and not workspace.locked_by_run:
                raise Ended("inconclusive", f"a person holds the lock of the workspace {workspace.name}")
            configuration = self._uploaded(workspace, tree, deadline, heartbeat, speculative=False)
            run = self._api.new_run(workspace.id, configuration, message=message, plan_only=False)
        run = self._follow(run, deadline, heartbeat)
        if run.status == "planned_and_finished":
            return "nothing to change: dev is as the commit says", ""
        with suppress(LeverframeError):
            done = self._api.step("applies", run.apply)
            return f"applied to dev: {_counts(done).in_words()}", self._log(done)
        return "applied to dev", ""

    def _check(self, tree: Path, infrastructure: Infrastructure) -> None:
        if found := refusals(tree, infrastructure.directory, self._rules):
            raise Ended("failed", f"the tree may not be applied: {found[0]}", "\n".join(found))

    def _workspace(self, infrastructure: Infrastructure) -> Workspace:
        """The workspace that dev is. Raises BadConfiguration when a run there would not be this one."""
        name = infrastructure.workspace
        try:
            found = self._api.workspace(self._organisation, name)
        except NotFound as error:
            raise BadConfiguration(
                f"{self._organisation} has no workspace {name!r}, or the token may not see it"
            ) from error
        directory = (found.working_directory or "").strip("/")
        if directory != infrastructure.directory.strip("/"):
            raise BadConfiguration(
                f"the workspace {name} works in {directory!r}: set its working directory to"
                f" {infrastructure.directory!r}"
            )
        if found.execution_mode == "local":
            raise BadConfiguration(f"the workspace {name} runs nothing: set its execution mode to remote")
        if not (found.permissions.can_queue_run and found.permissions.can_queue_apply):
            raise BadConfiguration(f"the token may not apply runs in the workspace {name}")
        return found

    def _going(self, workspace: Workspace, message: str) -> Run | None:
        """Our run of this commit that has not ended. Runs of ours for other commits make way."""
        ours = [
            run
            for run in self._api.runs(workspace.id)
            if run.status not in _FINAL and not run.plan_only and (run.message or "").startswith(_APPLIES)
        ]
        for other in ours:
            if other.message != message:
                self._take_back(other, "Its car is not on the train any more.")
        return next((run for run in ours if run.message == message), None)

    def _uploaded(
        self,
        workspace: Workspace,
        tree: Path,
        deadline: float,
        heartbeat: Callable[[], None],
        *,
        speculative: bool,
    ) -> str:
        """A configuration version with the tree in it, ready for a run."""
        configuration, address = self._api.new_configuration(workspace.id, speculative=speculative)
        with _slug(tree) as slug:
            self._api.upload(address, slug)
        while (status := self._api.configuration_status(configuration)) != "uploaded":
            if status == "errored":
                raise Ended("inconclusive", "Terraform Cloud could not take the uploaded tree")
            if time.monotonic() > deadline:
                raise Ended("inconclusive", "Terraform Cloud did not take the uploaded tree in time")
            self._pause(heartbeat)
        return configuration

    def _follow(self, run: Run, deadline: float, heartbeat: Callable[[], None]) -> Run:
        """See the run to its good end; confirm its plan on the way. Raises Ended for any other end."""
        while True:
            try:
                run = self._api.run(run.id)
                if run.status in _DONE:
                    return run
                self._stop_if_over(run)
                if run.actions.is_confirmable and not run.plan_only:
                    # Conflict: it has moved on. Unavailable: it may have been done. The next look tells.
                    with suppress(Conflict):
                        self._api.act(run.id, "apply", "Leverframe applies what was planned.")
            except NotFound as error:
                raise Ended("inconclusive", f"the run {run.id} is gone") from error
            except Unavailable as error:
                if time.monotonic() > deadline:
                    raise Ended("inconclusive", f"the run {run.id} was lost sight of: {error}") from error
                self._pause(heartbeat, error.wait.total_seconds() if error.wait else 0.0)
                continue
            if time.monotonic() > deadline:
                raise Ended("inconclusive", self._out_of_time(run))
            self._pause(heartbeat)

    def _stop_if_over(self, run: Run) -> None:
        """Raises Ended when the run can't come to a good end."""
        if run.status in _TAKEN_BACK:
            raise Ended("inconclusive", f"the run {run.id} was {run.status.replace('_', ' ')} by somebody")
        if run.status in _POLICY and not run.plan_only:
            self._take_back(run, "A policy failed.")
            raise Ended("failed", f"a policy of Terraform Cloud does not pass for the run {run.id}")
        if run.status == "errored":
            kind: Literal["plans", "applies"] = "plans"
            step = self._api.step("plans", run.plan)
            if step.status != "errored" and run.apply:
                kind, step = "applies", self._api.step("applies", run.apply)
            command, log = ("plan" if kind == "plans" else "apply"), self._log(step)
            if why := no_proof(command, log):
                raise Ended("inconclusive", why, log)
            raise Ended("failed", failure(command), log)

    def _out_of_time(self, run: Run) -> str:
        """Take the run back if it has not begun to change dev; the sentence about it."""
        if run.status in _CHANGING:
            return f"the run {run.id} is still {run.status.replace('_', ' ')} after its time limit"
        self._take_back(run, "Its time limit has passed.")
        return f"the run {run.id} was {run.status.replace('_', ' ')} at its time limit and is taken back"

    def _take_back(self, run: Run, why: str) -> None:
        """Discard or cancel, if that is possible at this point; the next look tells what it did."""
        action = "discard" if run.actions.is_discardable else "cancel" if run.actions.is_cancelable else ""
        if action and run.status not in _CHANGING:
            with suppress(Conflict, Unavailable):
                self._api.act(run.id, action, why)

    def _differences(self, run: Run) -> tuple[str, ...]:
        try:
            return read_plan(self._api.plan_json(run.plan)).addresses()
        except (Refused, NotFound):
            counts = _counts(self._api.step("plans", run.plan))
            if counts == Counts():
                return ()
            return (f"{counts.in_words()} (the token may not read which)",)

    def _log(self, step: Step) -> str:
        """The end of a log, scrubbed. A log that can't be had is no log."""
        if not step.log_read_url:
            return ""
        with suppress(LeverframeError):
            text = self._api.elsewhere(step.log_read_url).decode(errors="replace")
            return Untrusted(text[-LOG_CHARACTERS:]).for_model(LOG_CHARACTERS)
        return ""

    def _pause(self, heartbeat: Callable[[], None], wait: float = 0.0) -> None:
        until = time.monotonic() + max(wait, self._poll_seconds)
        heartbeat()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, self._poll_seconds))
            heartbeat()


def _counts(step: Step) -> Counts:
    return Counts(
        created=step.resource_additions or 0,
        updated=step.resource_changes or 0,
        destroyed=step.resource_destructions or 0,
    )


@contextmanager
def _slug(tree: Path) -> Iterator[Path]:
    """The tree as Terraform Cloud takes it: a tar.gz; the same tree gives the same bytes."""
    with tempfile.TemporaryDirectory(prefix="leverframe-slug-") as directory:
        path = Path(directory, "slug.tar.gz")
        with (
            path.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed,
            tarfile.open(fileobj=packed, mode="w") as tar,
        ):
            for each in sorted(tree.rglob("*")):
                name = each.relative_to(tree)
                if not _NOT_SENT.intersection(name.parts):
                    tar.add(each, str(name), recursive=False, filter=_plain)
        yield path


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


BACKEND = Backend(
    kind="terraform",
    name="cloud",
    scopes=("workspace: read, queue plans, apply runs; admin to see which resources drifted",),
    build=TerraformCloud,
)
