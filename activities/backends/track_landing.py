"""Landing: one atomic compare-and-swap of the tested commit and the receipts of what it holds.

The receipts are written in the same push as the target, so there is never one without the other. Every
answer that is not plain is settled by looking at the remote again, never by pushing something else.

Two controllers need no token between them: the target moves only from the base that was tested, and a
receipt's number can be taken only once, so of two pushes that were made from the same view one is refused
as a whole; what a stale controller can still land is a car that is proven on the very tip.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from activities.backends.git_process import Git
from activities.backends.track_compose import is_ancestor
from activities.backends.track_mirror import Mirror
from activities.backends.track_receipts import head_ref, landed_ref, numbered, receipts
from activities.backends.track_refs import tip_or_none
from leverframe.model.changes import Receipt
from leverframe.model.errors import (
    BadConfiguration,
    BadInput,
    Conflict,
    DiskFull,
    Refused,
    TargetMoved,
    Unavailable,
)
from leverframe.model.topology import Repository

_PUSHES = 3

_LOOK_AGAIN = re.compile(
    r"stale info|fetch first|non-fast-forward|atomic push failed|cannot lock ref|failed to (?:update|lock)"
    r"|atomic transaction failed|incorrect old value|reference already exists|remote ref updated since"
    r"|internal (?:server )?error|unpacker error|time(?:d )?out"
)
"""Rejections that mean another writer or a bad moment; any other rejection is a rule of the remote."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One ref on its way from one object to another."""

    name: str
    """In full: `refs/heads/main`."""
    before: str | None
    """What it must point at; None when it must not exist."""
    after: str
    content: bytes | None = None
    """Of a blob that only we have yet."""


class MovesRefs(Protocol):
    """A forge that moves refs by its API."""

    def move(self, repository: Repository, moves: Sequence[Move]) -> None:
        """Move all refs or none, never backwards. Asks once.

        Raises:
            BadInput, Conflict: a ref is not where `before` says, or a rule forbids it: look.
            Unavailable: no answer, so what happened is not known: look.
        """
        ...


class Landing:
    """Stacked cars on their way onto the target, by the receipts they will have."""

    def __init__(
        self,
        mirror: Mirror,
        repository: Repository,
        wanted: Sequence[Receipt],
        *,
        sources: Mapping[str, str] | None = None,
        by: MovesRefs | None = None,
    ) -> None:
        """`sources` are branches and where they must be as the target moves; `by` moves the refs where git
        may not push to the target."""
        self._mirror = mirror
        self._repository = repository
        self._wanted = tuple(wanted)
        """Lowest first; as they will be, but for their sequence numbers."""
        self._top = wanted[-1]
        self._base = wanted[0].base
        self._sources = {f"refs/heads/{branch}": head for branch, head in (sources or {}).items()}
        self._by = by
        self._no: tuple[object, str] | None = None
        """What the remote looked like when the forge last said no, and its words."""

    def settle(self) -> list[Receipt]:
        """Push until the remote shows that the cars are in, or can't come in; a receipt for each.

        Raises:
            TargetMoved: the target is neither at the lowest car's base nor contains the last one.
            Conflict: a source is not where it must be.
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
                    if error.wait is not None or isinstance(error, DiskFull):
                        raise  # It wants to be left alone, or no push will help.
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
        for ref, head in self._sources.items():
            if tip_or_none(git, ref) != head:
                raise Conflict(f"{ref.removeprefix('refs/heads/')} is not at {head[:12]} any more")
        return False, {}

    def _push(self, git: Git, *, contained: bool, found: dict[str, Receipt]) -> list[Receipt] | str:
        """One push: the receipts if it worked, else what was told, for the next look to settle."""
        moves, made = self._moves(git, contained=contained, found=found)
        if self._by is not None:
            told = self._by_forge(self._by, git, moves)
        else:
            told = self._by_git(git, moves, held={} if contained else self._sources)
        return self._ordered(made) if told is None else told

    def _moves(
        self, git: Git, *, contained: bool, found: dict[str, Receipt]
    ) -> tuple[list[Move], dict[str, Receipt]]:
        """Which refs have to move for the cars to be in, and the receipts that they will have then."""
        target = self._repository.target
        taken = numbered(git, target)
        sequence = taken[0][0] if taken else 0
        moves = list[Move]()
        if not contained:
            moves.append(Move(name=f"refs/heads/{target}", before=self._base, after=self._top.sha))
        made = dict(found)
        for wanted in self._wanted:
            if wanted.sha in found:
                continue
            sequence += 1
            receipt = wanted.model_copy(update={"sequence": sequence})
            content = receipt.model_dump_json().encode()
            blob = git.run("hash-object", "-w", "--stdin", stdin=content).text
            # A receipt is unique (sequence, car, base), so its ref is never "up to date" by accident: git
            # does not evaluate the lease of a ref that has the pushed value already.
            moves.append(Move(name=landed_ref(target, sequence), before=None, after=blob, content=content))
            made[receipt.sha] = receipt
            kept = head_ref(target, receipt.head)
            if receipt.method != "merge" and tip_or_none(git, kept) is None:
                moves.append(Move(name=kept, before=None, after=receipt.head))
        return list(dict.fromkeys(moves)), made

    def _by_git(self, git: Git, moves: Sequence[Move], *, held: Mapping[str, str]) -> str | None:
        """None when all have moved. A ref that is held moves nowhere, and git refuses the whole push when the
        remote has it elsewhere."""
        push = self._mirror.push(
            git,
            [
                *(f"{move.after}:{move.name}" for move in moves),
                *(f"{head}:{ref}" for ref, head in held.items()),
            ],
            expected={move.name: move.before or "" for move in moves} | dict(held),
            atomic=True,
        )
        if push.ok:
            return None
        rejected = [words for words in push.answers.values() if words.startswith("!")]
        if any(not _LOOK_AGAIN.search(words) for words in rejected):
            raise Refused(f"the remote refuses to land {self._top.sha[:12]}: {push.told.strip()[-500:]}")
        return push.told

    def _by_forge(self, forge: MovesRefs, git: Git, moves: Sequence[Move]) -> str | None:
        """The same by the forge's API. A no that stays one although nobody has moved anything is a rule's."""
        target = self._repository.target
        seen = (git.run("rev-parse", "--verify", f"refs/heads/{target}").text, numbered(git, target)[:1])
        if self._no is not None and self._no[0] == seen:
            raise Refused(f"the forge refuses to land {self._top.sha[:12]}: {self._no[1]}")
        try:
            forge.move(self._repository, moves)
        except BadConfiguration:
            raise
        except (BadInput, Conflict) as error:
            self._no = (seen, str(error))
            return str(error)
        return None

    def _ordered(self, made: dict[str, Receipt]) -> list[Receipt]:
        return [made[wanted.sha] for wanted in self._wanted]
