"""A bare repository with a shop-like history, and people who push to it."""

import atexit
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from leverframe.model.changes import Author, Change, CheckResult, Priority
from leverframe.model.checks import Check
from leverframe.model.topology import CanaryPlan, CanaryStep, Repository, Service

OVERLAY = "deploy/production/kustomization.yaml"
DEV_OVERLAY = "deploy/dev/kustomization.yaml"
FIRST_SHA = "a" * 40
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

KUSTOMIZATION = f"""\
# What production runs. Leverframe edits newTag only.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization

images:
    # the shop itself
    -   name: other
        newTag: v1
    -   name: shop  # built once
        newTag: {FIRST_SHA}  # the live SHA
"""


class Link(str):
    """As the content of a file: a symbolic link to there."""


class Program(str):
    """As the content of a file: a text that may be run."""


Content = str | bytes | None
"""What a commit makes of a file; None removes it."""


class GitWorld:
    """One bare repository `shop.git`, declared as `name`."""

    def __init__(self, root: Path, *, name: str = "shop") -> None:
        self._name = name
        self.remote = root / "shop.git"
        shutil.copytree(_begun(), self.remote)

    def copied(self, root: Path) -> "GitWorld":
        """The same world in another place: quicker than making it anew."""
        made = object.__new__(GitWorld)
        made._name, made.remote = self._name, root / "shop.git"
        shutil.copytree(self.remote, made.remote)
        return made

    @property
    def repository(self) -> Repository:
        """The repository as a platform team would declare it."""
        return Repository(
            name=self._name,
            url=str(self.remote),
            checks=(Check(name="unit", command=("true",), skip_when_only=("deploy/**", "*.md")),),
            service=Service(
                name="shop",
                command=("true",),
                overlays={"production": OVERLAY, "dev": DEV_OVERLAY},
                image="shop",
                canary=CanaryPlan(
                    steps=(CanaryStep(percent=100, min_requests=0, min_seconds=0, max_seconds=600),)
                ),
            ),
        )

    def commit(
        self,
        branch: str,
        files: Mapping[str, Content],
        *,
        message: str = "work",
        start: str = "main",
        author: str = "Ada <ada@example.com>",
    ) -> str:
        """Commit files to a branch, new from `start` or not, and return its head.

        Made inside the bare repository, ten times as fast as a push, and meets no hook.
        """
        known = self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return _commit(self.remote, branch, files, message=message, parent=known or start, author=author)

    def git(self, *arguments: str) -> str:
        """Run git on the bare repository."""
        return _git(self.remote, *arguments)

    def plumb(self, *arguments: str, stdin: str) -> str:
        """Run git on the bare repository with something to read."""
        return _git(self.remote, *arguments, stdin=stdin)

    def hook(self, name: str, script: str) -> None:
        """Give the remote a server-side hook; an empty script takes it away."""
        path = self.remote / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if script:
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    def change(self, head: str, *, number: int = 1, branch: str = "work", kind: str = "person") -> Change:
        """A change as the forge's record has it."""
        return Change.model_validate(
            {
                "id": f"shop/{number}",
                "repository": "shop",
                "branch": branch,
                "head": head,
                "title": "Do a thing",
                "body": "",
                "author": Author(kind="agent" if kind == "agent" else "person", name="ada"),
                "priority": Priority.NORMAL,
                "state": "open",
                "opened_at": AT,
            }
        )


def _put(path: str, content: Content) -> str:
    quoted = path.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    if content is None:
        return f'D "{quoted}"'
    mode = "120000" if isinstance(content, Link) else "100755" if isinstance(content, Program) else "100644"
    text = content.decode(errors="surrogateescape") if isinstance(content, bytes) else content
    return f'M {mode} inline "{quoted}"\n{_data(text)}'


def _data(text: str) -> str:
    return f"data {len(text.encode(errors='surrogateescape'))}\n{text}"


def passed(sha: str, check: str = "unit") -> CheckResult:
    """A green result for exactly this commit."""
    return CheckResult(check=check, sha=sha, outcome="passed", seconds=1, summary="ok", log="lines")


@cache
def _begun() -> Path:
    """A repository with its first commit, for each world to copy."""
    home = tempfile.mkdtemp(prefix="leverframe-world-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    made = Path(home) / "shop.git"
    _git(made.parent, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(made))
    files = {"app.py": "one\ntwo\nthree\n", OVERLAY: KUSTOMIZATION, DEV_OVERLAY: KUSTOMIZATION}
    _commit(made, "main", files, message="begin", parent="", author="Ada <ada@example.com>")
    return made


def _commit(
    repository: Path,
    branch: str,
    files: Mapping[str, Content],
    *,
    message: str,
    parent: str,
    author: str,
) -> str:
    who = f"Ada <ada@example.com> {int(time.time())} +0000"
    lines = [
        f"commit refs/heads/{branch}",
        "mark :1",
        f"author {author}{who[who.index('>') + 1 :]}",
        f"committer {who}",
        _data(f"{message.strip()}\n"),
        *([f"from {parent}^0"] if parent else []),
    ]
    for path, content in files.items():
        lines.append(_put(path, content))
    return _git(repository, "fast-import", "--quiet", stdin="\n".join([*lines, "get-mark :1", ""]))


def _git(directory: Path, *arguments: str, stdin: str = "") -> str:
    people = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "core.autocrlf=false"]
    done = subprocess.run(
        ["git", *people, *arguments],
        cwd=directory,
        check=True,
        capture_output=True,
        input=stdin.encode(errors="surrogateescape"),
    )
    return done.stdout.decode().strip()
