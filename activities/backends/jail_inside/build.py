"""Builds the jail where bubblewrap is missing: runs as the first process of fresh namespaces.

Usage: `build.py PLAN COMMAND...`; PLAN is a JSON object with `binds` ([source, destination] pairs, bound
read-only), `links` ([target, path] pairs), `rooms` (path → size in bytes of a writable tmpfs), `environment`
and `user` (the uid and gid to become outside, or null when the process is not root outside).

Order matters: a new /proc may only be mounted while the old one is still visible, and the uid changes
only after the last mount. See mount_namespaces(7), user_namespaces(7) and pivot_root(2).
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
from pathlib import Path

NOBODY = 65534
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWUSER = 0x10000000
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 24, 38
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
DEVICES = ("null", "zero", "full", "random", "urandom")

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    result = libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode() or None
    )
    checked(result, f"mount {target}")


def bind_read_only(source: str, target: str) -> None:
    """Bind a file or a directory with everything mounted below it, then make each of those read-only."""
    place = Path(target)
    if Path(source).is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    mount(source, target, flags=MS_BIND | MS_REC)
    below = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for path in [target, *(path for path in below if path.startswith(target + "/"))]:
        # A user namespace may not clear the flags that a mount came with, so they are set again.
        kept = os.statvfs(path).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount("none", path, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def build_root(plan: dict) -> None:  # type: ignore[type-arg]
    """Replace the root by a tmpfs that holds only what the plan names."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")  # noqa: S108 - a mount point
    Path("/tmp/old").mkdir()  # noqa: S108 - on the tmpfs of the line above
    checked(libc.syscall(SYS_PIVOT_ROOT[os.uname().machine], b"/tmp", b"/tmp/old"), "pivot_root")
    os.chdir("/")
    Path("/proc").mkdir()
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    Path("/dev").mkdir()
    for name in DEVICES:
        Path("/dev", name).touch()
        mount(f"/old/dev/{name}", f"/dev/{name}", flags=MS_BIND)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        Path("/dev", name).symlink_to(f"/proc/self/fd/{number}")
    Path("/dev/fd").symlink_to("/proc/self/fd")
    for path, size in plan["rooms"].items():
        Path(path).mkdir(parents=True)
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size},mode=1777")
    # The rooms come before the sources: an interpreter may lie below one of them, as in /tmp.
    for source, target in plan["binds"]:
        bind_read_only("/old" + source, target)
    for target, path in plan["links"]:
        Path(path).symlink_to(target)
    checked(libc.umount2(b"/old", MNT_DETACH), "umount /old")
    Path("/old").rmdir()
    mount("none", "/", flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def raise_loopback() -> None:
    """The network namespace has only `lo`, and it starts down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def become_nobody(user: int | None) -> None:
    """An unprivileged uid outside, nobody inside, no capability, and no further user namespace."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        # A process that changed its uid may not write its own maps until it is dumpable again.
        checked(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable")
    uid, gid = os.getuid(), os.getgid()
    checked(libc.unshare(CLONE_NEWUSER), "unshare user")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        checked(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "drop a capability")
    header, nothing = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0] * 6)
    checked(libc.syscall(SYS_CAPSET[os.uname().machine], header, nothing), "capset")
    checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def main() -> int:
    plan = json.loads(sys.argv[1])
    build_root(plan)
    raise_loopback()
    socket.sethostname("jail")
    child = os.fork()
    if child == 0:
        os.setsid()
        become_nobody(plan["user"])
        os.execvpe(sys.argv[2], sys.argv[2:], plan["environment"])  # noqa: S606 - no shell
    while True:  # as the first process of the namespace: reap whatever the command leaves behind
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    raise SystemExit(main())
