"""GitLab's merge trains: each car is a commit on the one before, made by git where there is a repository.

Written from https://docs.gitlab.com/ci/pipelines/merge_trains/. Nothing moves by itself: tests end pipelines,
and `refresh` is what GitLab's background work does then.
"""

from tests.fakes.gitlab_state import ME, CarState, MergeRequestState, PipelineState, ProjectState

LEARN_MORE = ". [Learn more](https://gitlab.example/help/ci/pipelines/merge_trains)"


class Conflicts(Exception):
    """The change does not apply to what rides before it."""


class Trains:
    """The trains of one project."""

    def __init__(self, project: ProjectState, version: tuple[int, int]) -> None:
        self._project = project
        self._version = version

    def add(self, iid: int) -> CarState:
        """A place at the end, which gets its pipeline at once."""
        car = CarState(next(self._project.ids), iid)
        riding = len(self.riding(self._project.merge_request(iid).target))
        self._project.cars.append(car)
        said = (
            f"added this merge request to the merge train at position {riding + 1}"
            if riding
            else "started a merge train"
        )
        self._project.note(iid, said, ME, system=True)
        self._project.merge_request(iid).waits = True
        self.refresh(self._project.merge_request(iid).target)
        return car

    def riding(self, target: str) -> list[CarState]:
        return [
            car
            for car in self._project.cars
            if car.status not in ("merged", "skip_merged")
            and self._project.merge_request(car.iid).target == target
        ]

    def car(self, iid: int) -> CarState | None:
        return next((car for car in reversed(self._project.cars) if car.iid == iid), None)

    def drop(self, iid: int, why: str | None) -> None:
        """Take it off; `why` None is somebody's wish. Those behind are tested anew."""
        car = self.car(iid)
        self._project.merge_request(iid).waits = False
        said = "removed this merge request from the merge train"
        if why:
            said += f" because {why}" + (LEARN_MORE if self._version >= (19, 1) else "")
        self._project.note(iid, said, ME, system=True)
        if car is not None:
            self._project.cars.remove(car)
            _cancel(car.pipeline)
            self.refresh(self._project.merge_request(iid).target)

    def refresh(self, target: str) -> None:
        """Build what has no commit on the right base, drop what failed, merge what is first and green."""
        tip = self._project.head(target)
        for place, car in enumerate(self.riding(target)):
            ended = car.pipeline.status if car.pipeline and car.base == tip else ""
            if ended in ("failed", "canceled", "skipped"):
                return self.drop(car.iid, "pipeline did not succeed")
            if ended == "success" and place == 0:
                self._merge(car, target)
                return self.refresh(target)
            if car.base != tip:
                try:
                    self._build(car, tip)
                except Conflicts as conflict:
                    return self.drop(car.iid, self._told(conflict))
            tip = car.sha
        return None

    def _build(self, car: CarState, base: str | None) -> None:
        assert base is not None
        _cancel(car.pipeline)
        seen = self._project.merge_request(car.iid)
        car.base, car.sha, car.status = base, self._compose(seen, base), "fresh"
        ref = f"refs/merge-requests/{car.iid}/train"
        if self._project.remote is not None:
            self._project.git("update-ref", ref, car.sha)
        car.pipeline = self._project.pipeline(car.sha, ref, "merge_request_event")

    def _compose(self, seen: MergeRequestState, base: str) -> str:
        assert seen.sha is not None
        if self._project.remote is None:
            return self._project.make_up(base, seen.sha)
        tree = self._tree(base, seen.sha)
        if self._project.settings["merge_method"] == "merge":
            return self._commit(tree, f"Merge branch '{seen.branch}' into '{seen.target}'", base, seen.sha)
        tip = self._rebased(seen, base, tree)
        if self._project.settings["merge_method"] == "rebase_merge":
            return self._commit(tree, f"Merge branch '{seen.branch}' into '{seen.target}'", base, tip)
        return tip

    def _rebased(self, seen: MergeRequestState, base: str, tree: str) -> str:
        assert seen.sha is not None
        if seen.squash:
            return self._commit(tree, seen.title, base)
        tip = base
        for commit in self._project.git("rev-list", "--reverse", f"{base}..{seen.sha}").split():
            message = self._project.git("log", "-1", "--format=%B", commit)
            tip = self._commit(self._tree(base, commit), message, tip)
        return tip

    def _tree(self, base: str, head: str) -> str:
        told = self._project.git("merge-tree", "--write-tree", "--name-only", base, head, ok=(0, 1))
        tree, *conflicts = told.splitlines()
        if conflicts:
            raise Conflicts(conflicts[0])
        return tree

    def _commit(self, tree: str, message: str, *parents: str) -> str:
        after = [word for parent in parents for word in ("-p", parent)]
        return self._project.git("commit-tree", tree, *after, "-m", message, at=next(self._project.ids))

    def _merge(self, car: CarState, target: str) -> None:
        seen, method = self._project.merge_request(car.iid), self._project.settings["merge_method"]
        assert car.sha is not None
        landed = self._anew(seen, car.sha) if method == "merge" else car.sha
        self._project.move(target, landed, car.base or "")
        seen.state, seen.waits, car.status = "merged", False, "merged"
        seen.status = "not_open"
        seen.merge_commit = landed if method != "ff" else None
        seen.squash_commit = landed if method == "ff" and seen.squash else None
        following = self.riding(target)
        if following and following[0].base == car.sha:
            following[0].base = landed

    def _anew(self, seen: MergeRequestState, tested: str) -> str:
        """The merge is made once more: the same tree, in another commit than the one that was tested."""
        if self._project.remote is None:
            return self._project.make_up(tested)
        tree = self._project.git("rev-parse", f"{tested}^{{tree}}")
        parents = self._project.git("log", "-1", "--format=%P", tested).split()
        return self._commit(tree, f"Merge branch '{seen.branch}' into '{seen.target}'", *parents)

    def _told(self, conflict: Conflicts) -> str:
        if self._version >= (19, 1):
            return (
                "the merge train pipeline could not be prepared: merging commits: merge: there are"
                f" conflicting files. Conflicts in: {conflict}"
            )
        return f"Failed to create merge commit for source_sha {'a' * 40} and target_sha {'b' * 40}"


def _cancel(pipeline: PipelineState | None) -> None:
    if pipeline is not None and pipeline.status == "running":
        pipeline.status = "canceled"
        for job in pipeline.jobs:
            job.status = "canceled"
