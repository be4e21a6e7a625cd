"""An environment's overlay as it stands in a commit of a mirror."""

from activities.backends.git_process import Git
from activities.backends.track_compose import entry
from leverframe.model.errors import BadInput, NotFound
from leverframe.model.releases import Environment
from leverframe.model.topology import Repository

MAX_BYTES = 256_000


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
