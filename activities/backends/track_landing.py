"""Landing: one atomic compare-and-swap of the tested commit and the receipts of what it holds.

The receipts are written in the same push as the target, so there is never one without the other. Every
answer that is not plain is settled by looking at the remote again, never by pushing something else.

Two controllers need no token between them: the target moves only from the base that was tested, and a
receipt's number can be taken only once, so of two pushes that were made from the same view one is refused
as a whole; what a stale controller can still land is a car that is proven on the very tip.
"""

import re
from collections.abc import Sequence

from activities.backends.git_process import Git
from activities.backends.track_compose import is_ancestor
from activities.backends.track_mirror import Mirror
from activities.backends.track_receipts import head_ref, landed_ref, numbered, receipts
from leverframe.model.changes import Receipt
from leverframe.model.errors import Refused, TargetMoved, Unavailable
from leverframe.model.topology import Repository

_PUSHES = 3

_LOOK_AGAIN = re.compile(
    r"stale info|fetch first|non-fast-forward|atomic push failed|cannot lock ref|failed to (?:update|lock)"
    r"|atomic transaction failed|incorrect old value|reference already exists|remote ref updated since"
    r"|internal (?:server )?error|unpacker error|time(?:d )?out"
)
"""Rejections that mean another writer or a bad moment; any other rejection is a rule of the remote."""


class Landing:
    """Stacked cars on their way onto the target, by the receipts they will have."""

    def __init__(self, mirror: Mirror, repository: Repository, wanted: Sequence[Receipt]) -> None:
        self._mirror = mirror
        self._repository = repository
        self._wanted = tuple(wanted)
        """Lowest first; as they will be, but for their sequence numbers."""
        self._top = wanted[-1]
        self._base = wanted[0].base

    def settle(self) -> list[Receipt]:
        """Push until the remote shows that the cars are in, or can't come in; a receipt for each.

        Raises:
            TargetMoved: the target is neither at the lowest car's base nor contains the last one.
            Refused: the remote's rules forbid it.
            Unavailable: no answer, and looking could not settle what happened.
        """
        told = ""
        for _ in range(_PUSHES):
            with self._mirror.synced() as git:
                contained, found = self._look(git)
                if len(found) == len(self._wanted):
                    return self._ordered(found)
                try:
                    answer = self._push(git, contained=contained, found=found)
                except Unavailable as error:
                    answer = str(error)
                if isinstance(answer, list):
                    return answer
                told = answer
        with self._mirror.synced() as git:
            _, found = self._look(git)
        if len(found) == len(self._wanted):
            return self._ordered(found)
        raise Unavailable(f"{self._top.sha[:12]} could not be landed yet: {told}")

    def _look(self, git: Git) -> tuple[bool, dict[str, Receipt]]:
        """Whether the target contains the cars, and the receipts that they have by their commits."""
        target = self._repository.target
        tip = git.run("rev-parse", "--verify", f"refs/heads/{target}").text
        if is_ancestor(git, self._top.sha, tip):
            wanted, found = {receipt.sha for receipt in self._wanted}, dict[str, Receipt]()
            for receipt in receipts(git, target):
                if receipt.sha in wanted:
                    found.setdefault(receipt.sha, receipt)
                if len(found) == len(wanted):
                    break
            return True, found
        if tip != self._base:
            raise TargetMoved(f"{target} is at {tip[:12]}, not at {self._base[:12]} where the car was tested")
        return False, {}

    def _push(self, git: Git, *, contained: bool, found: dict[str, Receipt]) -> list[Receipt] | str:
        """One push: the receipts if it worked, else what was told, for the next look to settle."""
        target = self._repository.target
        taken = numbered(git, target)
        sequence = taken[0][0] if taken else 0
        refspecs, expected = list[str](), dict[str, str]()
        if not contained:
            refspecs.append(f"{self._top.sha}:refs/heads/{target}")
            expected[f"refs/heads/{target}"] = self._base
        made = dict(found)
        for wanted in self._wanted:
            if wanted.sha in found:
                continue
            sequence += 1
            receipt = wanted.model_copy(update={"sequence": sequence})
            blob = git.run("hash-object", "-w", "--stdin", stdin=receipt.model_dump_json().encode()).text
            # A receipt is unique (sequence, car, base), so its ref is never "up to date" by accident: git
            # does not evaluate the lease of a ref that has the pushed value already.
            ref = landed_ref(target, sequence)
            refspecs.append(f"{blob}:{ref}")
            expected[ref] = ""
            made[receipt.sha] = receipt
            if receipt.method != "merge":
                refspecs.append(f"{receipt.head}:{head_ref(target, receipt.head)}")
        push = self._mirror.push(git, list(dict.fromkeys(refspecs)), expected=expected, atomic=True)
        if push.ok:
            return self._ordered(made)
        rejected = [words for words in push.answers.values() if words.startswith("!")]
        if any(not _LOOK_AGAIN.search(words) for words in rejected):
            raise Refused(f"the remote refuses to land {self._top.sha[:12]}: {push.told.strip()[-500:]}")
        return push.told

    def _ordered(self, made: dict[str, Receipt]) -> list[Receipt]:
        return [made[wanted.sha] for wanted in self._wanted]
