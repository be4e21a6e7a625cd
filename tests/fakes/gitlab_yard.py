"""A repository whose changes ride GitLab's merge trains."""

from pathlib import Path

from activities.backends.queue_gitlab import GitlabQueue
from leverframe.model.changes import Author, Change, Priority
from leverframe.model.topology import Repository
from leverframe.model.trains import NativeRemoved
from tests.fakes.git_world import AT, GitWorld
from tests.fakes.gitlab import FakeGitlab
from tests.fakes.gitlab_setup import declared, queue_on
from tests.fakes.gitlab_state import PipelineState


class Yard:
    """A repository, its GitLab, and the queue over it. Without a directory its commits are made up."""

    def __init__(self, root: Path | None = None, version: str = "17.11.2-ee") -> None:
        self.world = GitWorld(root) if root else None
        self.gitlab = FakeGitlab(version=version, remote=self.world.remote if self.world else None)
        self.shop: Repository = declared("shop")
        self.queue: GitlabQueue = queue_on(self.gitlab)
        if self.world is None:
            self.gitlab.push("main", self.gitlab.shop.make_up())

    def commit(self, branch: str, files: dict[str, str | None] | None = None) -> str:
        if self.world is not None:
            return self.world.commit(branch, files or {f"{branch}.py": "x\n"})
        head = self.gitlab.shop.make_up()
        self.gitlab.push(branch, head)
        return head

    def change(self, branch: str = "work", files: dict[str, str | None] | None = None) -> Change:
        """A person's merge request, made from where the target is now."""
        head = self.commit(branch, files)
        number = self.gitlab.person_opens(branch, head)
        return Change(
            id=f"shop/{number}", repository="shop", branch=branch, head=head, title="Do a thing", body="",
            author=Author(kind="person", name="ada"), priority=Priority.NORMAL, state="open", opened_at=AT,
        )  # fmt: skip

    def ride(self, change: Change) -> Change:
        self.queue.enqueue(self.shop, change, hotfix=False)
        return change

    def pipeline(self, change: Change) -> PipelineState:
        """The one of the change's place on the train."""
        car = self.gitlab.trains.car(int(change.id.rpartition("/")[2]))
        assert car is not None
        assert car.pipeline is not None
        return car.pipeline

    def git(self, *arguments: str) -> str:
        assert self.world is not None
        return self.world.git(*arguments)

    def removed(self, change: Change) -> NativeRemoved:
        ending = self.queue.ending(self.shop, change)
        assert isinstance(ending, NativeRemoved)
        return ending

    def boardings(self) -> int:
        return sum(each.endswith("merge_trains/merge_requests/1") for each in self.gitlab.writes())
