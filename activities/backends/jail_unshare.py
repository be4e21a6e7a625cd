"""The jail where bubblewrap is missing: util-linux `unshare` for the namespaces, our script for the rest."""

import json
import os
import shutil

from activities.backends import jail_layout
from activities.backends.jail_layout import NOBODY, Limits

PROTECTS = "own network, processes, mounts and user; nested user namespaces refused"


def missing() -> str:
    """Why `unshare` can't be used on this machine, or an empty text."""
    absent = [name for name in ("unshare", "setpriv") if shutil.which(name) is None]
    return f"{' and '.join(absent)} not installed (util-linux)" if absent else ""


def jailed(command: list[str], limits: Limits, environment: jail_layout.Environment) -> list[str]:
    """The argument list that runs `command` in a fresh jail."""
    root = os.geteuid() == 0
    plan = {
        "binds": jail_layout.read_only(),
        "links": jail_layout.links(),
        "rooms": limits.rooms(),
        "environment": dict(environment),
        "user": NOBODY if root else None,
    }
    namespaces = ["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL"]
    if not root:
        namespaces = ["--user", "--map-root-user", *namespaces]
    # The jail dies with the worker: setpriv asks the kernel to kill unshare, which kills its child.
    start = ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "--"]
    return [*start, *jail_layout.script("build.py"), json.dumps(plan), *command]
