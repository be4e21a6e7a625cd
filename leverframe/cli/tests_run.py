"""`leverframe tests run`: quarantine for test runners that have no plugin of ours."""

import glob
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leverframe.cli.output import complain, say
from leverframe.model.errors import BadInput
from leverframe_pytest.quarantine import LONGEST_SECONDS

if TYPE_CHECKING:
    from leverframe.model.test_reports import Attempt
    from leverframe.reports.forgiving import Judged
    from leverframe_pytest.quarantine import Entry

_MOST_REPORTS = 10_000
_ONLY = "LEVERFRAME_ONLY"
"""Names the tests that are executed, also where the environment asks for nothing else than them."""
_LONGEST_ONLY = 100_000
"""Characters; Linux takes 128 KiB. Without the names the whole command runs, which tells as much."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution of the command."""

    code: int
    attempts: list["Attempt"]
    troubles: list[str]
    """Why its reports don't tell all that failed."""


def run(
    command: Annotated[list[str], typer.Argument(help="The test command and its arguments, after `--`.")],
    *,
    results: Annotated[
        list[str], typer.Option("--results", help="JUnit files that the command writes; a pattern of paths.")
    ],
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Forgive a failure only once its test passes: execute the command again until it does.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where all attempts of all executions go, for `tests upload`."),
    ] = None,
    failed_exit: Annotated[
        list[int] | None,
        typer.Option("--failed-exit", help="Exit codes that only say that tests failed; 1 if none is given."),
    ] = None,
    variant: Annotated[str, typer.Option("--variant", help="As it is given to `tests upload`.")] = "",
) -> None:
    """Run a test command, and forgive it the failures that are quarantined.

    The exit code is the command's own, unless tests failed and each of their failures is quarantined in
    .leverframe/quarantine.yaml: then it is 0. It stays red when the command ended in any other way, when a
    report is missing, older than the command, broken or incomplete, or when the quarantine file is no good.

    With --again such a test must pass, too: while nothing else failed, the command is executed again, at most
    as often as the test's entry says, and none begins after ten minutes. LEVERFRAME_ONLY then names the tests
    that have not passed, a JSON list, for a command that can execute just these.
    """
    if again and out is None:
        raise BadInput(
            "--again needs --out FILE: the reports hold only the last execution, so send that file"
        )
    lines = _Lines(out, results) if out else None
    codes = frozenset({0, *(failed_exit or [1])})
    executions = [_execution(command, results, codes, lines)]
    entries, today = _entries(), datetime.now(UTC).date()
    found = _judged(executions, entries, today, variant, needs_pass=again)
    until = time.monotonic() + LONGEST_SECONDS
    while again and found.pending and not (found.counted or executions[-1].troubles):
        if time.monotonic() >= until:
            complain(f"no further execution begins after {LONGEST_SECONDS // 60} minutes")
            break
        wanted = [failure.test for failure in found.pending]
        say(f"AGAIN, execution {len(executions) + 1}: {', '.join(map(_shown, wanted))}")
        executions.append(_execution(command, results, codes, lines, _plain(wanted, variant)))
        found = _judged(executions, entries, today, variant, needs_pass=again)
    if code := _told(executions, found):
        raise typer.Exit(code)


def _judged(
    executions: list[Execution],
    entries: Mapping[str, "Entry"],
    today: date,
    variant: str,
    *,
    needs_pass: bool,
) -> "Judged":
    from leverframe.reports.forgiving import judged  # noqa: PLC0415 - loads when the tests are over
    from leverframe.reports.gathering import with_variant  # noqa: PLC0415

    attempts = [
        [attempt._replace(test=with_variant(attempt.test, variant)) for attempt in one.attempts]
        for one in executions
    ]
    return judged(attempts, entries, today, needs_pass=needs_pass)


def _plain(tests: list[str], variant: str) -> list[str]:
    """The tests as the command's own reports name them."""
    from leverframe.reports.gathering import with_variant  # noqa: PLC0415

    return [test.removesuffix(with_variant("", variant)) for test in tests]


def _told(executions: list[Execution], found: "Judged") -> int:
    """The exit code, after it was said why it is so."""
    for failure in found.forgiven:
        say(f"FORGIVEN {_shown(failure.test)} [{failure.fingerprint}] {failure.said}")
    counted = (*found.counted, *found.pending)
    for failure in counted:
        complain(f"COUNTED {_shown(failure.test)} [{failure.fingerprint or '-'}]: {failure.said}")
    code, troubles = executions[0].code, executions[-1].troubles
    if not counted and (not troubles or (code == 0 and len(executions) == 1)):
        return 0
    which = f"execution {len(executions)}: " if len(executions) > 1 else ""
    for trouble in troubles:
        complain(f"nothing is forgiven: {which}{trouble}")
    return code or 1


def _execution(
    command: list[str],
    results: list[str],
    codes: frozenset[int],
    lines: "_Lines | None",
    only: list[str] | None = None,
) -> Execution:
    """One execution, written down. `only`: the tests that a further one is wanted for."""
    before = {path: path.stat().st_mtime_ns for path in _found(results)}
    names = json.dumps(only or [])
    code = _executed(command, {_ONLY: names} if only and len(names) <= _LONGEST_ONLY else {})
    new = [path for path in _found(results) if path.stat().st_mtime_ns != before.get(path)]
    new.sort(key=lambda path: path.stat().st_mtime_ns)
    from leverframe.reports.forgiving import by_test  # noqa: PLC0415 - loads when the tests are over

    attempts, troubles = _read(new)
    if lines:
        lines.add(attempts)
    if code not in codes:
        troubles.append(f"the command ended with {code}, which says more than that tests failed")
    elif code and all(one[-1].outcome == "pass" for one in by_test(attempts).values()):
        troubles.append("no test of the reports failed: what failed lies outside of tests")
    return Execution(code=code, attempts=attempts, troubles=troubles)


def _executed(command: list[str], more: dict[str, str]) -> int:
    """The command's exit code. An interrupt goes to it, too, and it decides."""
    try:
        process = subprocess.Popen(command, env={**os.environ, **more})
    except OSError as error:
        raise BadInput(f"{command[0]} can't be run: {error.strerror or error}") from error
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def _found(patterns: list[str]) -> list[Path]:
    """Raises BadInput for a pattern of half a disk."""
    paths = {Path(path) for pattern in patterns for path in glob.iglob(pattern, recursive=True)}  # noqa: PTH207 - may be absolute
    if len(paths) > _MOST_REPORTS:
        raise BadInput(f"--results names more than {_MOST_REPORTS:,} files")
    return sorted(path for path in paths if path.is_file())


def _read(paths: list[Path]) -> tuple[list["Attempt"], list[str]]:
    """The attempts of all reports, and what of them can't be relied on."""
    from leverframe.reports.facts import Facts  # noqa: PLC0415
    from leverframe.reports.reading import MAX_BYTES, read  # noqa: PLC0415

    attempts: list[Attempt] = []
    troubles = [] if paths else ["the command wrote no report"]
    for path in paths:
        try:
            with path.open("rb") as opened:
                body = opened.read(MAX_BYTES + 1)
            facts = Facts(repository="here", source="upload", **_run_of(body))
            report = read(body, facts, now=datetime.now(UTC))
        except (BadInput, OSError) as error:
            troubles.append(f"{path}: {error}")
            continue
        attempts += report.attempts
        troubles += [f"{path}: {complaint}" for complaint in report.complaints]
    return list(_numbered(attempts)), troubles


def _run_of(body: bytes) -> dict[str, str]:
    """The run and commit that JSON lines say, since others' are left out; for all else it does not matter."""
    from leverframe.reports.lines import fields_of  # noqa: PLC0415

    try:
        said = fields_of(body[: body.find(b"\n")])
    except ValueError:
        said = {}
    return {name: str(said.get(name) or "this") for name in ("run", "sha")}


def _numbered(attempts: list["Attempt"]) -> Iterator["Attempt"]:
    """The attempts of all files, numbered through: a later file holds later attempts."""
    numbers: dict[str, int] = {}
    for attempt in attempts:
        numbers[attempt.test] = numbers.get(attempt.test, 0) + 1
        yield attempt._replace(attempt=numbers[attempt.test])


class _Lines:
    """All attempts of all executions, a test's numbered through, as lines that `tests upload` takes."""

    def __init__(self, path: Path, results: list[str]) -> None:
        """Begins the file anew. Raises BadInput when it can't be written, or would be read as a report."""
        from leverframe_pytest.results import NotKnown, this_run  # noqa: PLC0415

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise BadInput(f"--out {path} can't be written: {error.strerror or error}") from error
        if any(path.samefile(found) for found in _found(results)):
            raise BadInput(f"--out {path} is one of --results: name another file")
        path.write_bytes(b"")
        self._path = path
        self._all: list[Attempt] = []
        try:
            self._run = asdict(this_run(os.environ, Path.cwd()))
        except NotKnown:  # `tests upload` is told it then
            self._run = {}

    def add(self, attempts: list["Attempt"]) -> None:
        """What is there is not lost when a later execution is killed."""
        from leverframe.reports.lines import line_of  # noqa: PLC0415
        from leverframe_pytest.results import append  # noqa: PLC0415

        known = len(self._all)
        self._all = list(_numbered([*self._all, *attempts]))
        append(self._path, "".join(line_of(one, self._run) for one in self._all[known:]))


def _entries() -> Mapping[str, "Entry"]:
    """The quarantined tests; none where the file is missing or no good, or the run is one of single tests."""
    from leverframe_pytest.quarantine import PLACE, Unreadable, read  # noqa: PLC0415

    if _ONLY in os.environ:
        return {}
    try:
        return read(Path(PLACE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, Unreadable) as error:
        complain(f"{PLACE} can't be used, so every failure counts: {error}")
        return {}


def _shown(test: str) -> str:
    from leverframe.model.untrusted import Untrusted  # noqa: PLC0415

    return Untrusted(test).for_terminal()
