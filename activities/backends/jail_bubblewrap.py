"""The jail as bubblewrap builds it (https://github.com/containers/bubblewrap)."""

import os
import shutil
import subprocess

from activities.backends import jail_layout
from activities.backends.jail_layout import NOBODY, Limits

PROTECTS = "own network, processes, mounts and user; nested user namespaces refused"

# Root outside is never let inside: the kernel treats uid 0 as the owner of /proc/sys even without
# capabilities. The sources are bound where the user nobody can reach them (an interpreter may lie under
# /root), on a /run that only this command sees, and bubblewrap is started as nobody.
_AS_NOBODY = """
mount -t tmpfs -o size=1m,mode=755 tmpfs /run
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir "/run/$2"; else : > "/run/$2"; fi
    mount --bind "$1" "/run/$2"
    shift 2
done
shift
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
"""


def missing() -> str:
    """Why bubblewrap can't be used on this machine, or an empty text."""
    if shutil.which("bwrap") is None:
        return "bwrap is not installed"
    if "--size" not in _options():
        return "bwrap is older than 0.7"
    return ""


def jailed(command: list[str], limits: Limits, environment: jail_layout.Environment) -> list[str]:
    """The argument list that runs `command` in a fresh jail."""
    sources = jail_layout.read_only()
    if os.geteuid() == 0:
        return _through_stage(sources, command, limits, environment)
    return _bwrap(sources, command, limits, environment)


def _through_stage(
    sources: list[tuple[str, str]], command: list[str], limits: Limits, environment: jail_layout.Environment
) -> list[str]:
    staged = [(f"/run/{number}", inside) for number, (_, inside) in enumerate(sources)]
    pairs = [part for number, (source, _) in enumerate(sources) for part in (source, str(number))]
    script = ["sh", "-ec", _AS_NOBODY, "stage", *pairs, "--"]
    return ["unshare", "--mount", "--", *script, *_bwrap(staged, command, limits, environment)]


def _bwrap(
    sources: list[tuple[str, str]], command: list[str], limits: Limits, environment: jail_layout.Environment
) -> list[str]:
    arguments = ["bwrap", "--unshare-all", "--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    arguments += ["--hostname", "jail", "--cap-drop", "ALL", "--die-with-parent", "--new-session"]
    if "--disable-userns" in _options():
        arguments.append("--disable-userns")
    arguments.append("--clearenv")
    for name, value in environment.items():
        arguments += ["--setenv", name, value]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    # The rooms come before the sources: an interpreter may lie below one of them, as in /tmp.
    for path, size in limits.rooms().items():
        arguments += ["--size", str(size), "--tmpfs", path]
    for source, inside in sources:
        arguments += ["--ro-bind", source, inside]
    for target, path in jail_layout.links():
        arguments += ["--symlink", target, path]
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--", *command]


def _options() -> str:
    return subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False).stdout
