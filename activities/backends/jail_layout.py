"""What a jailed command can see and use, whichever tool builds the jail."""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent / "jail_inside"
TREE = "/tree"
SCRATCH = "/tmp"  # noqa: S108 - a private tmpfs inside the jail
REPORT_FILE = f"{SCRATCH}/leverframe-results"
"""What `{results}` is in a command."""
NOBODY = 65534

Environment = Mapping[str, str]

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one command, everything it starts included."""

    seconds: float
    memory_bytes: int
    processes: int
    output_bytes: int
    disk_bytes: int

    def of_process(self) -> dict[str, int]:
        """Resource limits (getrlimit(2)) of each single process, the second fence behind the watch.

        Memory is twice the watched sum, so that growing code is stopped by the watch, which can name the
        reason; address space is wider still, because threads reserve far more than they touch.
        """
        limits = {
            # Of all threads together, so that only a process beyond every core for all its time is hit.
            "RLIMIT_CPU": int(self.seconds * (os.cpu_count() or 1)) + 5,
            "RLIMIT_DATA": 2 * self.memory_bytes,
            "RLIMIT_AS": 8 * self.memory_bytes,
            "RLIMIT_FSIZE": self.disk_bytes,
            "RLIMIT_NOFILE": 1024,
            "RLIMIT_CORE": 0,
        }
        if counts_processes_per_namespace():
            limits["RLIMIT_NPROC"] = self.processes
        return limits

    def rooms(self) -> dict[str, int]:
        """The writable places inside, each a tmpfs, with its size in bytes."""
        return {TREE: self.disk_bytes, SCRATCH: self.disk_bytes, "/dev/shm": 64 * _MEGABYTE}  # noqa: S108


def counts_processes_per_namespace() -> bool:
    """Since Linux 5.14 RLIMIT_NPROC counts within the jail; before, every process of the same user."""
    major, minor = platform.release().split(".")[:2]
    return (int(major), int("".join(filter(str.isdigit, minor)) or 0)) >= (5, 14)


def environment() -> dict[str, str]:
    """The whole environment of a jailed command: nothing of the caller's."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": SCRATCH,
        "TMPDIR": SCRATCH,
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def read_only() -> list[tuple[str, str]]:
    """`(source outside, path inside)`: the system, our interpreter with its packages, and our scripts."""
    binds = [("/usr", "/usr")]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if Path(name).is_dir() and not Path(name).is_symlink():
            binds.append((name, name))
    real = Path(sys.executable).resolve().parent.parent
    for prefix in dict.fromkeys((str(real), sys.base_prefix, sys.prefix)):
        if not prefix.startswith("/usr/") and prefix != "/usr":
            binds.append((os.path.realpath(prefix), prefix))
    binds.append((str(SCRIPTS), str(SCRIPTS)))
    for name in ("passwd", "group", "hosts"):
        binds.append((str(SCRIPTS / "etc" / name), f"/etc/{name}"))
    for optional in ("/etc/ld.so.cache", "/etc/alternatives"):
        if Path(optional).exists():
            binds.append((optional, optional))
    return binds


def links() -> list[tuple[str, str]]:
    """`(target, path)`: the symlinks of a merged /usr."""
    names = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
    return [(str(Path(name).readlink()), name) for name in names if Path(name).is_symlink()]


def with_interpreter(command: tuple[str, ...]) -> list[str]:
    """The argument list with `{python}` replaced by the interpreter that runs us."""
    return [part.replace("{python}", sys.executable) for part in command]


def script(name: str) -> list[str]:
    """How one of our scripts is run inside: isolated from the tree and from site-packages."""
    return [sys.executable, "-I", "-S", str(SCRIPTS / name)]
