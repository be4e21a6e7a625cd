"""Names and messages on their way to git, and what a remote says when it takes no ref of ours."""

import re

from activities.backends.git_process import Git, is_sha
from leverframe.model.errors import BadInput, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.untrusted import Untrusted


def tip_of(git: Git, branch: str) -> str:
    """The commit that a branch of the mirror points at. Raises NotFound, or BadInput for no name at all."""
    ref = f"refs/heads/{branch}"
    check_ref(git, ref)
    found = git.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", allow=(0, 1)).text
    if not is_sha(found):
        raise NotFound(f"there is no branch {branch}")
    return found


def tip_or_none(git: Git, ref: str) -> str | None:
    """What a ref of the mirror points at, if it is there."""
    return git.run("rev-parse", "--verify", "--quiet", ref, allow=(0, 1)).text or None


def check_ref(git: Git, ref: str) -> None:
    """Raises BadInput for a name that git does not take; no other name reaches a command."""
    if not ref.isprintable() or git.run("check-ref-format", ref, allow=(0, 1)).code:
        raise BadInput(f"{Untrusted(ref).for_terminal()!r} is not a name that git takes")


def has_commit(git: Git, sha: str) -> bool:
    """Whether the mirror has it, on whatever branch."""
    return git.run("cat-file", "-e", f"{sha}^{{commit}}", allow=(0, 1, 128)).code == 0


def rejected(what: str, told: str) -> LeverframeError:
    """A push of a ref of ours that failed: a rule of the remote is final, anything else is not."""
    kind = Refused if re.search(r"hook declined|protected|prohibited|denied", told) else Unavailable
    return kind(f"{what} could not be pushed: {told.strip()[-500:]}")


def message_of(text: str) -> str:
    """A message that git takes: visible characters and lines."""
    return Untrusted(text).for_model(20_000)
