"""GitHub over a real bare repository: pull requests, CI, refs by API, and a merge queue that merges."""

from tests.fakes.git_world import GitWorld
from tests.fakes.github import FakeGithub
from tests.fakes.github_git import GitDesk, git_repo
from tests.fakes.github_graphql import GraphqlDesk
from tests.fakes.github_queue import MergeQueue
from tests.fakes.github_shapes import MORE_PERMISSIONS


class GithubWorld(FakeGithub):
    """`acme/shop` is the bare repository of a `GitWorld`; `acme/till` is an empty one without a queue."""

    def __init__(self, world: GitWorld, *, public_key: str = "") -> None:
        super().__init__(public_key=public_key)
        self.git = world
        self.repos["shop"] = git_repo(world, 1)
        self.permissions |= MORE_PERMISSIONS
        self.queue = MergeQueue(self, world)
        self.refs = GitDesk(self, world)
        self.graphql = GraphqlDesk(self, self.queue, self.refs)
        self.desks += [self.queue, self.refs, self.graphql]

    def opened(self, branch: str, files: dict[str, str | None]) -> tuple[int, str]:
        """A person pushes a branch and opens a pull request of it: its number and head."""
        head = self.git.commit(branch, files)
        return self.person_opens(branch, head), head
