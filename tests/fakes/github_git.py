"""A repository of the model of GitHub that is a real bare repository, and the API's doors to its refs."""

import base64
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
from githubkit_schemas.latest import models

from tests.fakes.git_world import GitWorld
from tests.fakes.github import Repo
from tests.fakes.github_shapes import AT, Json, Route, problem, sample

if TYPE_CHECKING:
    from tests.fakes.github import FakeGithub

NOWHERE = "0" * 40


class GitRepo(Repo):
    """Branches and commits are those of the bare repository."""

    world: GitWorld

    def tip(self, branch: str) -> str | None:
        # Nothing packs its refs, and a file is read sooner than git is started.
        ref = self.world.remote / "refs" / "heads" / branch
        return ref.read_text().strip() if ref.is_file() else None

    def has(self, sha: str) -> bool:
        return self._succeeds("cat-file", "-e", f"{sha}^{{commit}}")

    def contains(self, older: str, newer: str) -> bool:
        return self._succeeds("merge-base", "--is-ancestor", older, newer)

    def _succeeds(self, *arguments: str) -> bool:
        done = subprocess.run(["git", *arguments], cwd=self.world.remote, check=False, capture_output=True)
        return done.returncode == 0


def git_repo(world: GitWorld, number: int) -> GitRepo:
    made = GitRepo(name="shop", id=number)
    made.world = world
    return made


class GitDesk:
    """Refs and blobs by REST, and `updateRefs` as git's own transaction of refs."""

    def __init__(self, github: "FakeGithub", world: GitWorld) -> None:
        self._github = github
        self._world = world
        self.protected = ""
        """Why the target can't be moved, when it can't."""

    def routes(self) -> list[Route]:
        return [
            ("GET", f"{AT}/git/matching-refs/(?P<prefix>.+)", self._matching),
            ("POST", f"{AT}/git/blobs", self._add_blob),
            ("GET", f"{AT}/git/blobs/(?P<sha>[0-9a-f]+)", self._get_blob),
        ]

    def before(self) -> None:
        """Git is where it was pushed to already."""

    def move(self, moves: list[Json]) -> str | None:
        """All or none. What GitHub says when it moves none."""
        lines = ["start"]
        for each in moves:
            before, after, name = each.get("beforeOid"), each["afterOid"], each["name"]
            if name == "refs/heads/main" and self.protected:
                return self.protected
            old = self._world.git("for-each-ref", "--format=%(objectname)", name)
            if old and name.startswith("refs/heads/") and not each["force"] and not self._forward(old, after):
                return f"Reference update failed: {name} is not a fast-forward"
            lines.append(f"update {name} {after}" + (f" {before}" if before else ""))
        script = "\n".join([*lines, "prepare", "commit", ""])
        done = subprocess.run(
            ["git", "update-ref", "--stdin"], cwd=self._world.remote, input=script, text=True, check=False,
            capture_output=True,
        )  # fmt: skip
        return None if done.returncode == 0 else "Reference update failed: expected another value"

    def _forward(self, old: str, new: str) -> bool:
        return self._github.repos["shop"].contains(old, new)

    def _matching(self, repo: Repo, actor: Json, query: Any, body: Json, prefix: str) -> httpx.Response:
        listed = self._world.git("for-each-ref", "--format=%(refname) %(objectname) %(objecttype)")
        parts = [line.split() for line in listed.splitlines() if line.startswith(f"refs/{prefix}")]
        found = [
            sample(models.GitRef, {"ref": name, "object": {"type": kind, "sha": sha, "url": ""}})
            for name, sha, kind in parts
        ]
        return httpx.Response(200, json=found)

    def _add_blob(self, repo: Repo, actor: Json, query: Any, body: Json) -> httpx.Response:
        assert body["encoding"] == "base64"
        stored = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"], cwd=self._world.remote, check=True, capture_output=True,
            input=base64.b64decode(body["content"]),
        )  # fmt: skip
        sha = stored.stdout.decode().strip()
        return httpx.Response(201, json=sample(models.ShortBlob, {"sha": sha, "url": ""}))

    def _get_blob(self, repo: Repo, actor: Json, query: Any, body: Json, sha: str) -> httpx.Response:
        read = subprocess.run(
            ["git", "cat-file", "blob", sha], cwd=self._world.remote, check=False, capture_output=True
        )
        if read.returncode:
            return problem(404, "Not Found")
        # GitHub breaks its base64 into lines.
        known = {"sha": sha, "content": base64.encodebytes(read.stdout).decode(), "encoding": "base64"}
        return httpx.Response(200, json=sample(models.Blob, {**known, "size": len(read.stdout)}))
