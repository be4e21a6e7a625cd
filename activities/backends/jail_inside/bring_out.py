"""Inside the jail: run the command as a child, then write the test reports that it left to a descriptor.

What is written is a tar of regular files with numbers for names. Whoever reads it can rely on nothing: the
command runs as the same user and may do to this process and its descriptor what it likes.
"""

import os
import signal
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

MOST_FILES = 200
SECONDS = 5


def run(command: list[str], order: dict[str, object]) -> int:
    """The command's status, as a shell says it; its reports are in the descriptor of the order.

    The order has `descriptor`, `globs` (within the present directory), `file` (a path beside it) and `most`
    (bytes of all of them).
    """
    try:
        code = subprocess.run(command, check=False).returncode
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        code = 127
    try:
        # The check has ended: however many files there are, it is not kept waiting for them.
        signal.signal(signal.SIGALRM, _late)
        signal.alarm(SECONDS)
        with os.fdopen(int(str(order["descriptor"])), "wb") as out:
            bring_out(out, order)
    except (OSError, ValueError, TypeError, tarfile.TarError, RecursionError):
        sys.stderr.write("the test reports could not be taken\n")
    finally:
        signal.alarm(0)
    return code if code >= 0 else 128 - code


def bring_out(out: IO[bytes], order: dict[str, object]) -> None:
    left = int(str(order["most"]))
    with ExitStack() as stack:
        tar = None
        for number, path in enumerate(_found(order)):
            if number >= MOST_FILES:
                sys.stderr.write(f"test reports after the first {MOST_FILES} were left behind\n")
                return
            try:
                opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                continue
            with os.fdopen(opened, "rb") as file:
                told = os.fstat(opened)
                if not stat.S_ISREG(told.st_mode) or told.st_size == 0:
                    continue
                if told.st_size > left:
                    sys.stderr.write(f"the test report {path.name!r} is too large and was left behind\n")
                    continue
                left -= told.st_size
                # Not before: nothing is written when there is nothing.
                tar = tar or stack.enter_context(tarfile.open(fileobj=out, mode="w|"))
                member = tarfile.TarInfo(str(number))
                member.size = told.st_size
                member.mtime = int(told.st_mtime)
                tar.addfile(member, file)


def _found(order: dict[str, object]) -> Iterator[Path]:
    yield Path(str(order["file"]))
    globs = order["globs"]
    if isinstance(globs, list):
        for glob in globs:
            yield from Path().glob(str(glob))


def _late(number: int, frame: object) -> None:
    raise TimeoutError("the reports take too long")
