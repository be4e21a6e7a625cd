"""Repository code in a jail: bubblewrap where present, else `unshare`, else refuse.

Every command gets a fresh root that is made of memory and dies with it; the tar of the commit comes in
through standard input and is unpacked inside. What is visible is listed in `jail_layout`.
"""

import io
import json
import tarfile
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Literal, Protocol

from activities.backends import jail_bubblewrap, jail_layout, jail_unshare
from activities.backends.jail_answers import read_answers
from activities.backends.jail_layout import TREE, Limits
from activities.backends.jail_process import Ended, run
from activities.backends.jail_reports import Taken
from activities.ports import Backend, Health, ProbeResult, ReportsPlace
from leverframe.model.changes import CheckResult
from leverframe.model.checks import RESULTS, Check
from leverframe.model.errors import NotFound, Refused
from leverframe.model.topology import Probe, Repository
from leverframe.model.untrusted import Untrusted

JailKind = Literal["bubblewrap", "unshare"]


class _Builder(Protocol):
    """What one tool that builds jails offers; the modules `jail_*` are these."""

    PROTECTS: str

    def missing(self) -> str: ...

    def jailed(
        self, command: list[str], limits: Limits, environment: jail_layout.Environment
    ) -> list[str]: ...


_KINDS: dict[JailKind, _Builder] = {"bubblewrap": jail_bubblewrap, "unshare": jail_unshare}
_MEGABYTE = 1024 * 1024
_LOG_CHARACTERS = 8000
_HEALTHY_SECONDS = 30
_PROBE_SECONDS = 10
_STOPPED = {
    "time": "stopped after {seconds:.0f} s, its time limit",
    "memory": "stopped: used more than {memory} MB of memory",
    "processes": "stopped: started more than {processes} processes",
    "output": "stopped: printed more than {output} bytes",
}
_NO_PROOF = ("time", "memory")
"""Limits whose breach says nothing about the change: a busy machine reaches them too."""


class JailSandbox:
    """The Sandbox port. One instance may be used by many threads."""

    def __init__(
        self,
        kind: Literal["auto", "bubblewrap", "unshare"] = "auto",
        *,
        memory_mb: int = 1024,
        processes: int = 256,
        output_bytes: int = 1_000_000,
        disk_mb: int = 256,
    ) -> None:
        self._wanted: tuple[JailKind, ...] = ("bubblewrap", "unshare") if kind == "auto" else (kind,)
        self._memory_mb = memory_mb
        self._processes = processes
        self._output_bytes = output_bytes
        self._disk_mb = disk_mb
        self._lock = threading.Lock()
        self._kind: JailKind | None = None
        self._why_not: list[str] = []

    def run_check(
        self,
        check: Check,
        *,
        artifact: Path,
        sha: str,
        heartbeat: Callable[[], None],
        reports: ReportsPlace | None = None,
    ) -> CheckResult:
        """Run the check's command at the root of the tree.

        `failed` needs a proof: the command ended by itself with a status other than 0, flooded its output
        or its processes, or the tar is unacceptable. Everything else that goes wrong is `inconclusive`.

        Raises:
            Refused: no jail works on this machine.
            NotFound: the artifact is not there.
        """
        words = jail_layout.with_interpreter(check.command)
        command = [word.replace(RESULTS, jail_layout.REPORT_FILE) for word in words]
        with ExitStack() as open_files:
            taken = None
            if reports is not None:
                taken = Taken(check, reports, open_files.enter_context(tempfile.TemporaryFile()))
            ended = self._in_jail(command, artifact, check.timeout_seconds, heartbeat, taken)
            if taken is not None:
                taken.keep()
        outcome, summary = self._judged(ended)
        return CheckResult(
            check=check.name,
            sha=sha,
            outcome=outcome,
            seconds=round(ended.seconds, 3),
            summary=summary,
            log=_scrubbed_tail(ended.output),
        )

    def run_probes(
        self,
        repository: Repository,
        probes: Sequence[Probe],
        *,
        artifact: Path,
        sha: str,
        flags: dict[str, bool],
        heartbeat: Callable[[], None],
    ) -> list[ProbeResult]:
        """Start the service with these flag values and send the probes, in order. Raises as `run_check`."""
        order = {
            "command": jail_layout.with_interpreter(repository.service.command),
            "health_path": repository.service.health_path,
            "flags": flags,
            "probes": [probe.model_dump() for probe in probes],
            "seconds": _HEALTHY_SECONDS,
        }
        command = [*jail_layout.script("probe.py"), json.dumps(order)]
        seconds = _HEALTHY_SECONDS + _PROBE_SECONDS * (len(probes) + 1)
        ended = self._in_jail(command, artifact, seconds, heartbeat)
        _, summary = self._judged(ended)
        return read_answers(probes, ended.output, summary)

    def health(self) -> Health:
        """Which jail is in use, what it protects, and what it does not."""
        try:
            kind = self._chosen()
        except Refused as error:
            return Health(ok=False, detail=str(error), remedy="install bubblewrap, or allow user namespaces")
        before = f" ({'; '.join(self._why_not)})" if self._why_not else ""
        return Health(
            ok=True,
            detail=(
                f"{kind}{before}: {_KINDS[kind].PROTECTS}; no system call filter, so a kernel bug is not "
                "contained; memory and processes are watched every 0.1 s, not by a control group"
            ),
        )

    def _chosen(self) -> JailKind:
        """The first wanted kind that works here, found once by trying it. Raises Refused."""
        with self._lock:
            if self._kind is None:
                self._why_not = []
                for kind in self._wanted:
                    if why := _KINDS[kind].missing() or self._try_out(kind):
                        self._why_not.append(f"{kind}: {why}")
                    else:
                        self._kind = kind
                        break
                else:
                    raise Refused(f"repository code is not run without a jail; {'; '.join(self._why_not)}")
            return self._kind

    def _try_out(self, kind: JailKind) -> str:
        """Run a command that does nothing; why it failed, or an empty text."""
        empty = io.BytesIO()
        tarfile.open(fileobj=empty, mode="w").close()
        with tempfile.TemporaryFile() as tar:
            tar.write(empty.getvalue())
            tar.seek(0)
            ended = self._run(kind, ["true"], tar, 30, lambda: None)
        if ended.report == "ready" and ended.code == 0 and ended.stopped is None:
            return ""
        return _scrubbed_tail(ended.output).strip().rpartition("\n")[2] or "its jail can't be entered"

    def _in_jail(
        self,
        command: list[str],
        artifact: Path,
        seconds: float,
        heartbeat: Callable[[], None],
        taken: Taken | None = None,
    ) -> Ended:
        kind = self._chosen()
        try:
            with artifact.open("rb") as tar:
                return self._run(kind, command, tar, seconds, heartbeat, taken=taken)
        except FileNotFoundError:
            raise NotFound(f"no artifact at {artifact}") from None

    def _run(
        self,
        kind: JailKind,
        command: list[str],
        tar: IO[bytes],
        seconds: float,
        beat: Callable[[], None],
        *,
        taken: Taken | None = None,
    ) -> Ended:
        limits = Limits(
            seconds=seconds,
            memory_bytes=self._memory_mb * _MEGABYTE,
            processes=self._processes,
            output_bytes=self._output_bytes,
            disk_bytes=self._disk_mb * _MEGABYTE,
        )

        def command_for(report: int) -> list[str]:
            order = {"tree": TREE, "report": report, "limits": limits.of_process()}
            environment = jail_layout.environment()
            if taken is not None:
                order["bring_out"] = taken.order
                environment |= taken.environment
            entered = [*jail_layout.script("enter.py"), json.dumps(order), *command]
            return _KINDS[kind].jailed(entered, limits, environment)

        passed = () if taken is None else (taken.descriptor,)
        return run(command_for, tar=tar, limits=limits, heartbeat=beat, passed=passed)

    def _judged(self, ended: Ended) -> tuple[Literal["passed", "failed", "inconclusive"], str]:
        """The outcome, and one sentence of ours."""
        if ended.stopped is not None:
            summary = _STOPPED[ended.stopped].format(
                seconds=ended.seconds,
                memory=self._memory_mb,
                processes=self._processes,
                output=self._output_bytes,
            )
            return ("inconclusive" if ended.stopped in _NO_PROOF else "failed"), summary
        if ended.report.startswith("refused: "):
            why = Untrusted(ended.report.removeprefix("refused: ")).for_terminal()
            return "failed", f"the tree can't be unpacked: {why}"
        if ended.report != "ready" or ended.code < 0:
            return "inconclusive", f"the jail was lost (status {ended.code})"
        if ended.code == 0:
            return "passed", f"passed in {ended.seconds:.1f} s"
        return "failed", f"ended with status {ended.code} after {ended.seconds:.1f} s"


def _scrubbed_tail(output: bytes) -> str:
    """The end of the output without escape sequences and control characters."""
    return Untrusted(output.decode(errors="replace")[-_LOG_CHARACTERS:]).for_model(_LOG_CHARACTERS)


BACKEND = Backend(kind="sandbox", name="jail", scopes=(), build=JailSandbox)
