"""An environment's overlay as it stands in a commit of a mirror, and what it named before."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from activities import overlay_file
from activities.backends.git_process import Git
from activities.backends.track_compose import entry
from activities.overlay_file import Named
from leverframe.model.errors import BadInput, NotFound, Refused
from leverframe.model.releases import Environment
from leverframe.model.topology import Repository

MAX_BYTES = 256_000
COMMITS_READ = 200
"""How many commits of an overlay's file are read for its history."""
LOOKED_BACK = 40
"""Of these, how many may stand between a commit and what was live before it."""


def declared(repository: Repository, environment: Environment) -> str:
    """Where the overlay lies in the repository. Raises NotFound for an environment without one."""
    if environment not in repository.service.overlays:
        raise NotFound(f"{repository.name} declares no overlay for {environment}")
    return repository.service.overlays[environment]


def read(git: Git, commit: str, path: str) -> str:
    """The overlay's text in a commit.

    Raises:
        NotFound: the commit does not have the file.
        BadInput: it is too large or not UTF-8.
    """
    _, blob = entry(git, commit, path)
    raw = git.run("cat-file", "blob", blob).out
    if len(raw) > MAX_BYTES:
        raise BadInput(f"{path} has {len(raw)} bytes; an overlay has at most {MAX_BYTES}")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8") from error


def history(git: Git, onto: str, path: str, image: str) -> Iterator[Named]:
    """What each commit that touched the overlay made it name, newest first, on the first-parent line."""
    log = git.run(
        "log", "--first-parent", "--format=%H", f"--max-count={COMMITS_READ}", onto, "--", path
    )  # fmt: skip
    for commit in log.text.splitlines():
        # A commit that removed the file, or broke it, named nothing.
        with suppress(NotFound, BadInput):
            yield overlay_file.named(read(git, commit, path), image)


def before(named: Iterable[str], sha: str) -> str | None:
    """What stood before the SHA, given what was named, newest first; None if nothing is known.

    What the overlay came back from was taken back, and stands no more: of 1, 2, 3, 2 it is 1 for 2.
    """
    standing: list[str] = []
    found: str | None = None
    for each in reversed(list(named)):
        if each in standing:
            del standing[standing.index(each) + 1 :]
            continue
        if each == sha:
            found = standing[-1] if standing else None
        standing.append(each)
    return found


def pinned_before(git: Git, onto: str, repository: Repository, sha: str, now: Named) -> str | None:
    """The digest that an overlay has had beside a SHA whose build is not recorded; None if it had none.

    Raises:
        Refused: no overlay has named the SHA, and this one pins what it names by digest.
    """
    if now.digest is None or now.sha == sha:
        return now.digest
    for path in dict.fromkeys(repository.service.overlays.values()):
        for earlier in history(git, onto, path, repository.service.image):
            if earlier.sha == sha:
                return earlier.digest
    raise Refused(
        f"the overlay pins a digest, and it is not known what {sha[:12]} was built as: release that commit,"
        " or point the overlay at it by hand"
    )
