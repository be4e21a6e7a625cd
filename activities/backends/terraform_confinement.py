"""Keeps Terraform from seeing any process but its own, where the machine allows that.

Terraform's language reads files, and `/proc/<pid>/environ` is one: without this a change could read the
variables of the worker, the forge's token among them. See pid_namespaces(7).
"""

import functools
import os
import subprocess

_SECONDS = 10


@functools.lru_cache(maxsize=1)
def own_processes() -> tuple[str, ...]:
    """What a command is prefixed with; empty when this machine allows no such thing. Tried out once.

    `unshare` ignores SIGINT and waits, so that the command can end in its own time.
    """
    user = () if os.geteuid() == 0 else ("--user", "--map-current-user")
    prefix = ("unshare", *user, "--pid", "--fork", "--mount-proc", "--")
    try:
        tried = subprocess.run([*prefix, "true"], capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return prefix if tried.returncode == 0 else ()
