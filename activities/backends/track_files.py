"""Files of a commit: their paths, and as text the policies below a folder, or one file by its path."""

from activities.backends.git_process import Git
from activities.backends.track_compose import entry, safe_path
from activities.policy_files import MAX_BYTES, MAX_FILES
from activities.ports import PolicyFiles
from leverframe.model.errors import BadConfiguration, BadInput, NotFound
from leverframe.model.untrusted import Untrusted

MAX_TOTAL = 2_000_000

_YAML = (".yaml", ".yml")


def read_files(git: Git, commit: str, folder: str) -> PolicyFiles:
    """Path relative to the folder → text of every YAML file.

    Raises:
        NotFound: the commit has no such folder, or nothing is in it.
        BadConfiguration: a file is a link or a submodule, has a path that nobody should write, is too large
            or not UTF-8, or there are too many: a policy that is read in part would be a looser one.
    """
    folder = folder.strip("/")
    if not safe_path(folder):
        raise BadConfiguration(f"{Untrusted(folder).for_terminal()!r} can't name a folder of a repository")
    texts: dict[str, str] = {}
    total = 0
    for line in git.run("ls-tree", "-r", "-z", "--long", "--full-tree", commit, "--", f"{folder}/").fields:
        about, _, path = line.partition("\t")
        mode, kind, blob, size = about.split()
        if not path.endswith(_YAML):
            continue
        name = Untrusted(path).for_terminal()
        if kind != "blob" or mode not in ("100644", "100755") or not safe_path(path):
            raise BadConfiguration(f"{name} in {commit[:12]} is not a plain file with a plain name")
        total += int(size)
        if int(size) > MAX_BYTES or total > MAX_TOTAL or len(texts) == MAX_FILES:
            raise BadConfiguration(
                f"{name} in {commit[:12]} is too much: at most {MAX_FILES} files of {MAX_BYTES} bytes "
                f"and {MAX_TOTAL} bytes in all are read"
            )
        try:
            texts[path.removeprefix(f"{folder}/")] = git.run("cat-file", "blob", blob).out.decode()
        except UnicodeDecodeError as error:
            raise BadConfiguration(f"{name} in {commit[:12]} is not UTF-8") from error
    if not texts:
        raise NotFound(f"{commit[:12]} has no YAML file below {folder}/")
    return PolicyFiles(revision=commit, files=texts)


def file_paths(git: Git, commit: str, most: int) -> list[str]:
    """Raises BadInput for more than `most`."""
    paths = git.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).fields
    if len(paths) > most:
        raise BadInput(f"{commit[:12]} has {len(paths):,} files, and {most:,} are looked through")
    return paths


def read_text(git: Git, commit: str, path: str, most: int) -> str:
    """One regular file of a commit.

    Raises:
        NotFound: the commit has no such file.
        BadInput: it has more than `most` bytes, or is not UTF-8.
    """
    _, blob = entry(git, commit, path)
    size = int(git.run("cat-file", "-s", blob).text)
    if size > most:
        raise BadInput(f"{path} in {commit[:12]} has {size:,} bytes; at most {most:,} are read")
    try:
        return git.run("cat-file", "blob", blob).out.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} in {commit[:12]} is not UTF-8: byte {error.start + 1}") from error
