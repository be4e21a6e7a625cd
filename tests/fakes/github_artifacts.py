"""Attempts of workflow runs, and their artifacts, in the model of GitHub."""

import io
import zipfile
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from githubkit_schemas.latest import models

from tests.fakes.github_shapes import AT, NUMBER, Json, Route, problem, sample

if TYPE_CHECKING:
    from tests.fakes.github import FakeGithub, Repo

BLOBS = "blobs.example"
"""Where GitHub sends whoever downloads; the credential must not go there."""


class ArtifactDesk:
    """Answers for the artifacts of `acme/shop`. CI acts through the methods with its names."""

    def __init__(self, github: "FakeGithub") -> None:
        self._github = github
        self.attempts: list[Json] = []
        self.artifacts: list[tuple[int, Json]] = []
        """Run → artifact."""

    def routes(self) -> list[Route]:
        runs = f"{AT}/actions/runs/(?P<run>[0-9]+)"
        return [
            ("GET", f"{AT}/actions/runs/(?P<which>[0-9]+/attempts/[0-9]+)", self._attempt),
            ("GET", f"{runs}/artifacts", self._list),
            ("GET", f"{AT}/actions/artifacts/{NUMBER}/zip", self._download),
        ]

    def before(self) -> None:
        """Nothing happens by itself."""

    def attempt(
        self,
        run: int,
        number: int,
        sha: str,
        *,
        began: datetime,
        fork: bool = False,
        status: str = "completed",
        branch: str = "work",
    ) -> None:
        """A run is executed for the `number`th time."""
        home = "mallory/shop" if fork else "acme/shop"
        known = {
            "id": run, "run_attempt": number, "head_sha": sha, "head_branch": branch, "status": status,
            "head_repository": sample(models.MinimalRepository, {"full_name": home, "name": "shop"}),
            "run_started_at": began.isoformat(), "created_at": self._created(run, began),
            "updated_at": (began + timedelta(minutes=10)).isoformat(),
        }  # fmt: skip
        self.attempts.append(sample(models.WorkflowRun, known))

    def _created(self, run: int, began: datetime) -> str:
        """A run was created when its first attempt was."""
        first = next((each["created_at"] for each in self.attempts if each["id"] == run), began.isoformat())
        return str(first)

    def upload(
        self, run: int, name: str, content: bytes, *, at: datetime, size: int = 0, expired: bool = False
    ) -> None:
        """A job uploads an artifact; what it is made of stays as it is."""
        number = self._github.new_id()
        known = {
            "id": number, "name": name, "size_in_bytes": size or len(content), "expired": expired,
            "created_at": at.isoformat(),
        }  # fmt: skip
        self.artifacts.append((run, sample(models.Artifact, known)))
        self._github.blobs[f"/{number}"] = content

    def _attempt(self, repo: "Repo", actor: Json, query: Any, body: Json, which: str) -> httpx.Response:
        for each in self.attempts:
            if which == f"{each['id']}/attempts/{each['run_attempt']}":
                return httpx.Response(200, json=each)
        return problem(404, "Not Found")

    def _list(self, repo: "Repo", actor: Json, query: Any, body: Json, run: str) -> httpx.Response:
        found = [artifact for of, artifact in self.artifacts if of == int(run)]
        here = f"https://api.github.com/repos/acme/{repo.name}/actions/runs/{run}/artifacts"
        answer = self._github.page(found, query, here)
        document = {"total_count": len(found), "artifacts": answer.json()}
        links = {"link": answer.headers["link"]} if "link" in answer.headers else {}
        model = models.ReposOwnerRepoActionsRunsRunIdArtifactsGetResponse200
        return httpx.Response(200, json=sample(model, document), headers=links)

    def _download(self, repo: "Repo", actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        return httpx.Response(302, headers={"location": f"https://{BLOBS}/{number}"})


def zipped(files: dict[str, bytes | str]) -> bytes:
    """An archive, as `upload-artifact` makes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()
