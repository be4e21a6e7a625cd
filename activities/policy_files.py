"""Policy files: how a directory is read, and what makes files a policy that can be put in force."""

from collections.abc import Iterator
from pathlib import Path

from activities.ports import PolicyFiles
from leverframe.model.errors import BadConfiguration
from policies.documents import PolicySnapshot, parse

ORGANISATION = "org.yaml"
MAX_FILES = 200
MAX_BYTES = 256_000
"""Of one file. A policy travels whole with the ledger, and a larger file is not one that people review."""


def read_policies(directory: Path) -> dict[str, str]:
    """Path relative to the directory → text of every policy file, for `policies.documents.parse`.

    Raises:
        BadConfiguration: the directory is missing, holds too much, or a file is not readable UTF-8 text.
    """
    if not directory.is_dir():
        raise BadConfiguration(f"there is no policy directory at {directory}")
    paths = sorted(_yaml_files(directory))
    if len(paths) > MAX_FILES:
        raise BadConfiguration(f"{directory} holds {len(paths)} policy files; at most {MAX_FILES} are read")
    return {path.relative_to(directory).as_posix(): _text(directory, path) for path in paths}


def snapshot_of(read: PolicyFiles) -> PolicySnapshot:
    """The policy that the files are.

    An emptied or truncated place is an accident or an attack, and never an empty policy: without the
    organisation's file there is none, and whatever is in force stays.

    Raises:
        BadConfiguration: there is no organisation's file, or with one line for each problem found.
    """
    if ORGANISATION not in read.files:
        found = ", ".join(sorted(read.files)[:5]) or "no policy file at all"
        raise BadConfiguration(f"{read.revision} has no {ORGANISATION}, only {found}: put it back")
    return parse(read.files)


def _yaml_files(directory: Path) -> Iterator[Path]:
    """A mounted volume is made of links, and keeps its versions in hidden folders beside them."""
    for child in directory.iterdir():
        if child.name.startswith("."):
            continue
        if child.is_dir():
            yield from (*child.rglob("*.yaml"), *child.rglob("*.yml"))
        elif child.suffix in (".yaml", ".yml"):
            yield child


def _text(directory: Path, path: Path) -> str:
    name = path.relative_to(directory).as_posix()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadConfiguration(f"{name} is larger than {MAX_BYTES} bytes: no policy file is")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{name} can't be read as UTF-8 text: {error}") from error
