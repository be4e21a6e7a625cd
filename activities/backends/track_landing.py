"""Landing: one atomic compare-and-swap of the tested commit and its receipt.

The receipt is a blob of JSON that `refs/train/<target>/landed/<sequence>` points at. It is written in
the same push as the target, so there is never one without the other. Every answer that is not plain is
settled by looking at the remote again, never by pushing something else.
"""

import re
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from activities.backends.git_process import Git
from activities.backends.track_compose import changed_paths, is_ancestor, tree_of
from activities.backends.track_mirror import Mirror
from leverframe.model.changes import Car, CheckResult, Receipt
from leverframe.model.errors import Refused, TargetMoved, Unavailable
from leverframe.model.topology import Repository

_PUSHES = 3

_LOOK_AGAIN = re.compile(
    r"stale info|fetch first|non-fast-forward|atomic push failed|cannot lock ref|failed to (?:update|lock)"
    r"|atomic transaction failed|incorrect old value|reference already exists|remote ref updated since"
    r"|internal (?:server )?error|unpacker error|time(?:d )?out"
)
"""Rejections that mean another writer or a bad moment; any other rejection is a rule of the remote."""


def receipts(git: Git, target: str) -> Iterator[Receipt]:
    """The receipts, newest first. A blob that is none (somebody's hand) is passed over."""
    for number, blob in _numbered(git, target):
        content = git.run("cat-file", "blob", blob, allow=(0, 128)).out
        try:
            receipt = Receipt.model_validate_json(content)
        except ValidationError:
            continue
        if receipt.sequence == number and receipt.target == target:
            yield receipt


def _numbered(git: Git, target: str) -> list[tuple[int, str]]:
    """Sequence number and object of each receipt ref, newest first."""
    refs = f"refs/train/{target}/landed/"
    listed = git.run("for-each-ref", "--format=%(refname) %(objectname)", refs).text.splitlines()
    pairs = (line.removeprefix(refs).split() for line in listed)
    numbered = [(int(number), blob) for number, blob in pairs if re.fullmatch(r"[1-9]\d{0,9}", number)]
    return sorted(numbered, reverse=True)


def prove(git: Git, repository: Repository, car: Car, checks: Sequence[CheckResult]) -> None:
    """Check that the car is what it says and that every required check passed on exactly its commit.

    Raises:
        Refused: with the first thing that is not so.
    """
    if not is_ancestor(git, car.base, car.sha):
        raise Refused(f"{car.sha[:12]} is not built on its base {car.base[:12]}")
    if tree_of(git, car.sha) != car.tree:
        raise Refused(f"{car.sha[:12]} does not have the tree that was tested")
    paths = changed_paths(git, car.base, car.sha)
    if paths != car.paths:
        raise Refused(f"{car.sha[:12]} changes other paths than its car says")
    passed = {result.check for result in checks if result.sha == car.sha and result.outcome == "passed"}
    missing = [check.name for check in repository.required_checks(paths) if check.name not in passed]
    if missing:
        raise Refused(f"not proven on {car.sha[:12]}: {', '.join(missing)}")


class Landing:
    """One car on its way onto the target."""

    def __init__(self, mirror: Mirror, repository: Repository, car: Car, wanted: Receipt) -> None:
        self._mirror = mirror
        self._repository = repository
        self._car = car
        self._wanted = wanted
        """The receipt as it will be, but for its sequence number."""

    def settle(self) -> Receipt:
        """Push until the remote shows that the car is in, or can't come in.

        Raises:
            TargetMoved: the target is neither at the car's base nor contains the car.
            Refused: the remote's rules forbid it.
            Unavailable: no answer, and looking could not settle what happened.
        """
        told = ""
        for _ in range(_PUSHES):
            with self._mirror.synced() as git:
                seen = self._look(git)
                if isinstance(seen, Receipt):
                    return seen
                try:
                    answer = self._push(git, contained=seen)
                except Unavailable as error:
                    answer = str(error)
                if isinstance(answer, Receipt):
                    return answer
                told = answer
        with self._mirror.synced() as git:
            seen = self._look(git)
        if isinstance(seen, Receipt):
            return seen
        raise Unavailable(f"{self._car.sha[:12]} could not be landed yet: {told}")

    def _look(self, git: Git) -> Receipt | bool:
        """The receipt if the car is in with one, else whether the target contains the car."""
        target, car = self._repository.target, self._car
        tip = git.run("rev-parse", "--verify", f"refs/heads/{target}").text
        if is_ancestor(git, car.sha, tip):
            return next((found for found in receipts(git, target) if found.sha == car.sha), True)
        if tip != car.base:
            raise TargetMoved(f"{target} is at {tip[:12]}, not at {car.base[:12]} where the car was tested")
        return False

    def _push(self, git: Git, *, contained: bool) -> Receipt | str:
        """One push: the receipt if it worked, else what was told, for the next look to settle."""
        target = self._repository.target
        numbered = _numbered(git, target)
        receipt = self._wanted.model_copy(update={"sequence": numbered[0][0] + 1 if numbered else 1})
        blob = git.run("hash-object", "-w", "--stdin", stdin=receipt.model_dump_json().encode()).text
        # A receipt is unique (sequence, car, base), so its ref is never "up to date" by accident: git
        # does not evaluate the lease of a ref that has the pushed value already.
        receipt_ref = f"refs/train/{target}/landed/{receipt.sequence}"
        refspecs, expected = [f"{blob}:{receipt_ref}"], {receipt_ref: ""}
        if not contained:
            refspecs.insert(0, f"{self._car.sha}:refs/heads/{target}")
            expected[f"refs/heads/{target}"] = self._car.base
        push = self._mirror.push(git, refspecs, expected=expected, atomic=True)
        if push.ok:
            return receipt
        rejected = [words for words in push.answers.values() if words.startswith("!")]
        if any(not _LOOK_AGAIN.search(words) for words in rejected):
            raise Refused(f"the remote refuses to land {self._car.sha[:12]}: {push.told.strip()[-500:]}")
        return push.told
