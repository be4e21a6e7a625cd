"""What a train needs of the `Track` port, on a repository in memory. Held to the real one by its contract."""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from leverframe.model.changes import Author, Car, Change, CheckResult, Conflicted, Receipt
from leverframe.model.errors import Conflict, NotFound, Refused, TargetMoved, Unavailable
from leverframe.model.ids import short_hash
from leverframe.model.topology import Repository
from leverframe.model.trains import AuditFinding, AuditReport, Evidence, Method, Override
from tests.fakes.memory_git import MemoryGit, tree_id


class MemoryTrack:
    """Composes, lands, audits and tidies up. `push` puts the refs there: all of them or none."""

    def __init__(self, git: MemoryGit, push: Callable[[dict[str, str], dict[str, str]], bool]) -> None:
        self._git = git
        self._push = push

    def tip(self, repository: Repository, branch: str | None = None) -> str:
        ref = f"refs/heads/{branch or repository.target}"
        if ref not in self._git.refs:
            raise NotFound(f"there is no branch {branch or repository.target}")
        return self._git.refs[ref]

    def tips(self, repository: Repository, branches: Collection[str]) -> dict[str, str]:
        refs = {branch: f"refs/heads/{branch}" for branch in branches}
        return {branch: self._git.refs[ref] for branch, ref in refs.items() if ref in self._git.refs}

    def compose(
        self, repository: Repository, *, change: Change, base: str, at: datetime, method: Method = "merge"
    ) -> Car | Conflicted:
        [made] = self.compose_stack(repository, changes=[(change, at)], base=base, method=method)
        return made

    def compose_stack(
        self,
        repository: Repository,
        *,
        changes: Sequence[tuple[Change, datetime]],
        base: str,
        method: Method = "merge",
    ) -> list[Car | Conflicted]:
        made = list[Car | Conflicted]()
        there = self._git.commits
        if missing := [sha for sha in (base, *(one.head for one, _ in changes)) if sha not in there]:
            raise NotFound(f"{repository.name} has no commit {missing[0]}")
        for change, at in changes:
            try:
                one = self._composed(change, base, at, method)
            except Refused:
                if not made:
                    raise
                break
            made.append(one)
            if isinstance(one, Conflicted):
                break
            if one.paths:
                base = one.sha
                ref = f"refs/train/{repository.target}/cars/{short_hash(change.id)}/{one.sha}"
                self._git.refs.setdefault(ref, one.sha)
        return made

    def _composed(self, change: Change, base: str, at: datetime, method: Method) -> Car | Conflicted:
        merged = self._git.merge(base, change.head)
        if isinstance(merged, tuple):
            return Conflicted(change=change.id, base=base, paths=merged)
        parents = (base, change.head) if method == "merge" else (base,)
        sha = self._git.commit(merged, *parents, message=f"{change.id} {at.timestamp()}")
        return Car(
            change=change.id,
            sha=sha,
            base=base,
            tree=tree_id(merged),
            head=change.head,
            paths=self._git.changed(base, sha),
            method=method,
        )

    def drop_cars(self, repository: Repository, *, keep: Sequence[str], before: datetime) -> list[str]:
        folder = f"refs/train/{repository.target}/cars/"
        over = {
            ref: sha
            for ref, sha in self._git.refs.items()
            if ref.startswith(folder) and sha not in keep and self._dated(sha) < before.timestamp()
        }
        for ref in over:
            del self._git.refs[ref]
        return sorted(over.values())

    def _dated(self, sha: str) -> float:
        return float(self._git.commits[sha].message.split()[-1])

    def land(
        self,
        repository: Repository,
        *,
        car: Car,
        checks: Sequence[CheckResult],
        author: Author,
        at: datetime,
        override: Override | None = None,
        tested: Car | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> Receipt:
        evidence = self._proven(repository, [car], checks, override, tested)
        on = (tested or car).sha
        wanted = self._receipt(repository, car, author, at, evidence=evidence, checks=_of(checks, on))
        by = on if evidence == "composed" else None
        wanted = wanted.model_copy(update={"override": override, "covered_by": by})
        return self._settle(repository, [wanted], sources or {})[0]

    def land_batch(
        self,
        repository: Repository,
        *,
        cars: Sequence[tuple[Car, Author]],
        checks: Sequence[CheckResult],
        at: datetime,
        sources: Mapping[str, str] | None = None,
    ) -> list[Receipt]:
        self._proven(repository, [car for car, _ in cars], checks, None, None)
        top = cars[-1][0].sha
        shown = _of(checks, top)
        wanted = [
            self._receipt(
                repository, car, author, at, evidence="covered", checks=_of(checks, top)
            ).model_copy(update={"covered_by": top})
            for car, author in cars[:-1]
        ]
        last, author = cars[-1]
        wanted.append(self._receipt(repository, last, author, at, evidence="exact", checks=shown))
        return self._settle(repository, wanted, sources or {})

    def _proven(
        self,
        repository: Repository,
        cars: Sequence[Car],
        checks: Sequence[CheckResult],
        override: Override | None,
        tested: Car | None,
    ) -> Evidence:
        for below, car in itertools.pairwise(cars):
            if car.base != below.sha:
                raise Refused(f"{car.sha[:12]} is not built on {below.sha[:12]}")
        if any(not car.paths for car in cars):
            raise Refused("a car changes nothing on its base: there is nothing to land")
        paths = tuple(dict.fromkeys(path for car in cars for path in car.paths))
        required = tuple(check.name for check in repository.required_checks(paths))
        on, evidence = cars[-1].sha, "exact"
        if override is not None:
            required, evidence = override.checks, "override"
        if tested is not None and tested.sha != on:
            lanes = repository.lanes_of(cars[0].paths)
            if repository.train.lane_mode != "composed" or tested.paths != cars[0].paths:
                raise Refused(f"{on[:12]} was not tested itself")
            if not self.same_closure(repository, tested=tested.sha, landed=on, lanes=lanes):
                raise Refused(f"{on[:12]} builds from something else than {tested.sha[:12]}")
            on, evidence = tested.sha, "composed"
        green = {one.check for one in checks if one.sha == on and one.outcome == "passed"}
        if missing := [name for name in required if name not in green]:
            raise Refused(f"not proven on {on[:12]}: {', '.join(missing)}")
        return evidence  # type: ignore[return-value]  # one of the words above

    def same_closure(
        self, repository: Repository, *, tested: str, landed: str, lanes: Collection[str]
    ) -> bool:
        for path in self._git.changed(tested, landed):
            named = set(repository.lanes_of((path,)))
            if not lanes or not named or named & set(lanes):
                return False
        return True

    def is_ancestor(self, repository: Repository, *, ancestor: str, descendant: str) -> bool:
        return ancestor in self._git.ancestors(descendant)

    def _settle(
        self, repository: Repository, wanted: list[Receipt], sources: Mapping[str, str]
    ) -> list[Receipt]:
        for _ in range(3):
            if found := self._landed(repository, wanted):
                return found
            base, top, target = wanted[0].base, wanted[-1].sha, f"refs/heads/{repository.target}"
            tip, taken = self.tip(repository), self._numbers(repository)
            contained = top in self._git.ancestors(tip)
            if not contained and tip != base:
                raise TargetMoved(f"{repository.target} is at {tip[:12]}, not at {base[:12]}")
            held = {} if contained else {f"refs/heads/{branch}": head for branch, head in sources.items()}
            if moved := [ref for ref, head in held.items() if self._git.refs.get(ref) != head]:
                raise Conflict(f"{moved[0]} is somewhere else")
            number = max(taken, default=0)
            refs, expected = {} if contained else {target: top}, held if contained else {target: base} | held
            for receipt in wanted:
                number += 1
                ref = f"refs/train/{repository.target}/landed/{number}"
                text = receipt.model_copy(update={"sequence": number}).model_dump_json()
                refs[ref], expected[ref] = self._git.blob(text), ""
            try:
                self._push(refs, expected)
            except Unavailable:
                continue
        if found := self._landed(repository, wanted):
            return found
        raise Unavailable(f"{wanted[-1].sha[:12]} could not be landed yet")

    def _landed(self, repository: Repository, wanted: list[Receipt]) -> list[Receipt]:
        if wanted[-1].sha not in self._git.ancestors(self.tip(repository)):
            return []
        by_sha = {receipt.sha: receipt for receipt in self.receipts(repository, limit=10_000)[::-1]}
        found = [by_sha[one.sha] for one in wanted if one.sha in by_sha]
        return found if len(found) == len(wanted) else []

    def _numbers(self, repository: Repository) -> list[int]:
        folder = f"refs/train/{repository.target}/landed/"
        return [int(ref.removeprefix(folder)) for ref in self._git.refs if ref.startswith(folder)]

    def receipts(self, repository: Repository, *, limit: int = 50) -> list[Receipt]:
        folder = f"refs/train/{repository.target}/landed/"
        numbers = sorted(self._numbers(repository), reverse=True)[:limit]
        texts = [self._git.blobs[self._git.refs[f"{folder}{number}"]] for number in numbers]
        return [Receipt.model_validate_json(text) for text in texts]

    def audit(self, repository: Repository, *, since: str | None, limit: int = 1000) -> AuditReport:
        """Of the findings those that people cause: strange commits, and a rewound target."""
        tip = self.tip(repository)
        line = self._git.line(tip)
        after = self._git.ancestors(since) if since else frozenset()
        fresh = [sha for sha in line if sha not in after][::-1][:limit]
        known = {receipt.sha for receipt in self.receipts(repository, limit=10_000)}
        found = [_found("foreign_commit", sha) for sha in fresh if since and sha not in known]
        if since is not None and since not in line:
            found.insert(0, _found("rewound", since))
        return AuditReport(
            repository=repository.name,
            target=repository.target,
            tip=fresh[-1] if fresh else tip,
            since=since,
            commits=len(fresh),
            receipts=sum(sha in known for sha in fresh),
            findings=tuple(found),
        )

    def _receipt(
        self,
        repository: Repository,
        car: Car,
        author: Author,
        at: datetime,
        *,
        evidence: Evidence,
        checks: tuple[CheckResult, ...],
    ) -> Receipt:
        return Receipt(
            repository=repository.name,
            target=repository.target,
            sequence=1,
            change=car.change,
            sha=car.sha,
            base=car.base,
            tree=car.tree,
            head=car.head,
            checks=checks,
            author=author,
            paths=car.paths,
            landed_at=at,
            method=car.method,
            evidence=evidence,
        )


def _of(checks: Sequence[CheckResult], sha: str) -> tuple[CheckResult, ...]:
    return tuple(one.model_copy(update={"log": ""}) for one in checks if one.sha == sha)


def _found(kind: str, sha: str) -> AuditFinding:
    return AuditFinding.model_validate({"kind": kind, "sha": sha, "detail": f"{kind} at {sha[:12]}"})
