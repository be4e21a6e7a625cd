"""`leverframe tests run`: quarantine for test runners that have no plugin of ours."""

import glob
import signal
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leverframe.cli.output import complain, say
from leverframe.model.errors import BadInput

if TYPE_CHECKING:
    from leverframe.model.test_reports import Attempt
    from leverframe_pytest.quarantine import Entry

_MOST_REPORTS = 10_000


def run(
    command: Annotated[list[str], typer.Argument(help="The test command and its arguments, after `--`.")],
    *,
    results: Annotated[
        list[str], typer.Option("--results", help="JUnit files that the command writes; a pattern of paths.")
    ],
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
    """
    before = {path: path.stat().st_mtime_ns for path in _found(results)}
    code = _executed(command)
    new = [path for path in _found(results) if path.stat().st_mtime_ns != before.get(path)]
    new.sort(key=lambda path: path.stat().st_mtime_ns)
    attempts, troubles = _read(new, variant)
    from leverframe.reports.forgiving import judged  # noqa: PLC0415 - loads when the tests are over

    found = judged(attempts, _entries(), datetime.now(UTC).date())
    for failure in found.forgiven:
        say(f"FORGIVEN {_shown(failure.test)} [{failure.fingerprint}] {failure.said}")
    for failure in found.counted:
        complain(f"COUNTED {_shown(failure.test)} [{failure.fingerprint or '-'}]: {failure.said}")
    if code == 0 and not found.counted:
        return
    if code not in (0, *(failed_exit or [1])):
        troubles.append(f"the command ended with {code}, which says more than that tests failed")
    elif not (found.forgiven or found.counted):
        troubles.append("no test of the reports failed: what failed lies outside of tests")
    if found.counted or troubles:
        for trouble in troubles:
            complain(f"nothing is forgiven: {trouble}")
        raise typer.Exit(code or 1)


def _executed(command: list[str]) -> int:
    """The command's exit code. An interrupt goes to it, too, and it decides."""
    try:
        process = subprocess.Popen(command)
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


def _read(paths: list[Path], variant: str) -> tuple[list["Attempt"], list[str]]:
    """The attempts of all reports, and what of them can't be relied on."""
    from leverframe.reports.facts import Facts  # noqa: PLC0415
    from leverframe.reports.reading import MAX_BYTES, read  # noqa: PLC0415

    attempts: list[Attempt] = []
    troubles = [] if paths else ["the command wrote no report"]
    for path in paths:
        try:
            with path.open("rb") as opened:
                body = opened.read(MAX_BYTES + 1)
            facts = Facts(repository="here", source="upload", variant=variant, **_run_of(body))
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


def _entries() -> Mapping[str, "Entry"]:
    """The quarantined tests; none where there is no file, or one that can't be read."""
    from leverframe_pytest.quarantine import PLACE, Unreadable, read  # noqa: PLC0415

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
