"""Where a change comes from: when its first line was committed, and what it undoes."""

import re
from datetime import UTC, datetime

from activities.backends.git_process import Git
from leverframe.model.deployments import ChangeOrigin

_MOST_COMMITS = 1000
"""Commits of one change that are read; the newest ones of a longer one."""

_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{40})\b", re.MULTILINE)


def origin(git: Git, base: str, head: str) -> ChangeOrigin:
    """What the commits of `head` that `base` lacks say. An author's clock may be wrong, and stays so."""
    fields = git.run(
        "log", "-z", f"--max-count={_MOST_COMMITS}", "--format=%at%x00%B", head, f"^{base}", "--"
    ).fields
    written = [int(each) for each in fields[0::2] if each.lstrip("-").isdigit()]
    undone = [found[1] for body in fields[1::2] if (found := _REVERTS.search(body))]
    return ChangeOrigin(
        committed_at=datetime.fromtimestamp(min(written), UTC) if written else None,
        reverts=undone[0] if undone else None,
    )
