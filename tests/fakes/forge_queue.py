"""A forge's own merge queue over real git: what a forge does to it is called by the tests."""

from dataclasses import dataclass, field
from typing import Literal

from activities.ports import Health
from leverframe.model.changes import Change
from leverframe.model.checks import Check
from leverframe.model.errors import Conflict, Refused
from leverframe.model.topology import Repository, TrainRules
from leverframe.model.trains import Capability, NativeEnding, NativeEntry, NativeLanded, NativeRemoved
from tests.fakes.git_world import GitWorld

Reason = Literal["conflict", "check_failed", "check_inconclusive", "withdrawn", "head_moved", "refused"]


def on_the_forge(repository: Repository, *, track: Literal["auto", "native"] = "auto") -> Repository:
    """The repository with its only check on the forge, and that one skipped: no check is ours."""
    ci = Check(name="ci", runs_on="forge", skip_when_only=("**",))
    return repository.model_copy(update={"checks": (ci,), "train": TrainRules(track=track)})


@dataclass
class ForgeQueue:
    """The port `NativeQueue`. Off until somebody switches it on."""

    world: GitWorld
    on: bool = False
    queue: list[Change] = field(default_factory=list)
    """First to land first."""
    taken: list[tuple[str, str]] = field(default_factory=list)
    """Every change that was ever handed over, with its head."""
    looks: int = 0
    endings: dict[tuple[str, str], NativeEnding] = field(default_factory=dict)

    def capability(self, repository: Repository) -> Capability:
        return Capability(native=self.on, why="There is a queue." if self.on else "There is no queue.")

    def enqueue(self, repository: Repository, change: Change, *, hotfix: bool) -> None:
        if not self.on:
            raise Refused("the branch has no merge queue")
        head = self.world.git("rev-parse", change.branch)
        if head != change.head:
            raise Conflict(f"{change.id} is at {head[:12]}, not at {change.head[:12]}")
        if change not in self.queue:
            self.queue.insert(0 if hotfix else len(self.queue), change)
            self.taken.append((change.id, change.head))
            self.endings.pop((change.id, change.head), None)

    def dequeue(self, repository: Repository, change: Change) -> None:
        self.queue = [entry for entry in self.queue if entry.id != change.id]

    def entries(self, repository: Repository) -> list[NativeEntry]:
        self.looks += 1
        return [
            NativeEntry(change=entry.id, head=entry.head, state="queued", position=place)
            for place, entry in enumerate(self.queue)
        ]

    def ending(self, repository: Repository, change: Change) -> NativeEnding | None:
        return self.endings.get((change.id, change.head))

    def health(self) -> Health:
        return Health(ok=True, detail="remembers")

    # What the forge does.

    def land(self, change: Change, *, stale: bool = False) -> str:
        """Merge it, and say so."""
        sha = self.merge(change, stale=stale)
        self.say_landed(change, sha)
        return sha

    def merge(self, change: Change, *, stale: bool = False) -> str:
        """`stale` takes the tree that it had without what has landed since it was begun."""
        head = change.head
        tree = f"{head}^{{tree}}" if stale else self.world.git("merge-tree", "--write-tree", "main", head)
        merged = self.world.git("commit-tree", tree, "-p", "main", "-p", head, "-m", f"Merge {change.id}")
        self.world.git("update-ref", "refs/heads/main", merged)
        return merged

    def say_landed(self, change: Change, sha: str) -> None:
        """It leaves the queue, since it has landed."""
        self.forget(change)
        self.endings[change.id, change.head] = NativeLanded(change=change.id, head=change.head, sha=sha)

    def remove(self, change: Change, reason: Reason, detail: str = "the forge says so") -> None:
        """Take it out, and say why."""
        self.forget(change)
        self.endings[change.id, change.head] = NativeRemoved(change=change.id, reason=reason, detail=detail)

    def forget(self, change: Change) -> None:
        """Take it out without a word."""
        self.queue = [entry for entry in self.queue if entry.id != change.id]

    def switch_off(self) -> None:
        """Somebody takes the rule away: what is in the queue is let go."""
        self.on = False
        for change in self.queue:
            self.remove(change, "refused")
