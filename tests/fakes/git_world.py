"""A bare repository with a shop-like history, and people who push to it."""

import shutil
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from leverframe.model.changes import Author, Change, CheckResult, Priority
from leverframe.model.topology import CanaryPlan, CanaryStep, Check, Repository, Service

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


class GitWorld:
    """One bare repository `shop.git`, declared as `name`, and a person's clone of it."""

    def __init__(self, root: Path, *, name: str = "shop") -> None:
        self._name = name
        self.remote = root / "shop.git"
        self._clone = root / "person"
        _git(root, "init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
        _git(root, "clone", "--quiet", str(self.remote), str(self._clone))
        self.commit(
            "main",
            {"app.py": "one\ntwo\nthree\n", OVERLAY: KUSTOMIZATION, DEV_OVERLAY: KUSTOMIZATION},
            message="begin",
        )

    def copied(self, root: Path) -> "GitWorld":
        """The same world in another place: quicker than making it anew."""
        shutil.copytree(self.remote.parent, root, dirs_exist_ok=True)
        made = object.__new__(GitWorld)
        made._name, made.remote, made._clone = self._name, root / "shop.git", root / "person"
        config = made._clone / ".git" / "config"
        config.write_text(config.read_text().replace(str(self.remote), str(made.remote)))
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
                    steps=(CanaryStep(percent=100, min_requests=0, min_seconds=0, max_seconds=1),)
                ),
            ),
        )

    def commit(
        self,
        branch: str,
        files: Mapping[str, str | None],
        *,
        message: str = "work",
        start: str = "origin/main",
        author: str = "Ada <ada@example.com>",
    ) -> str:
        """Commit files (None removes one) to a branch, new or not, push it, and return the head."""
        _git(self._clone, "fetch", "--quiet", "--prune", "origin")
        known = _git(self._clone, "branch", "--remotes", "--list", f"origin/{branch}")
        if known:
            start = f"origin/{branch}"
        born = _git(self._clone, "branch", "--remotes")
        _git(self._clone, "checkout", "--quiet", *(["-B", branch, start] if born else ["-B", branch]))
        for name, content in files.items():
            path = self._clone / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        _git(self._clone, "add", "--all")
        _git(self._clone, "commit", "--quiet", "--allow-empty", "--author", author, "--message", message)
        _git(self._clone, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", f"refs/heads/{branch}")

    def write(
        self,
        branch: str,
        files: Mapping[str, str | None],
        *,
        message: str = "work",
        start: str = "main",
        author: str = "Ada <ada@example.com>",
    ) -> str:
        """As `commit`, but made inside the bare repository: ten times as fast, no push and no hooks."""
        known = self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        who = f"Ada <ada@example.com> {int(time.time())} +0000"
        lines = [
            f"commit refs/heads/{branch}",
            "mark :1",
            f"author {author}{who[who.index('>') + 1 :]}",
            f"committer {who}",
            _data(f"{message.strip()}\n"),
            f"from {known or start}^0",
        ]
        for path, content in files.items():
            lines.append(f"D {path}" if content is None else f"M 100644 inline {path}\n{_data(content)}")
        return self.plumb("fast-import", "--quiet", stdin="\n".join([*lines, "get-mark :1", ""]))

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


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}"


def passed(sha: str, check: str = "unit") -> CheckResult:
    """A green result for exactly this commit."""
    return CheckResult(check=check, sha=sha, outcome="passed", seconds=1, summary="ok", log="lines")


def _git(directory: Path, *arguments: str, stdin: str = "") -> str:
    people = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "core.autocrlf=false"]
    done = subprocess.run(
        ["git", *people, *arguments],
        cwd=directory,
        check=True,
        capture_output=True,
        input=stdin.encode(),
    )
    return done.stdout.decode().strip()
