"""Policy files: the one place that reads them from a directory."""

from pathlib import Path

from leverframe.model.errors import BadConfiguration


def read_policies(directory: Path) -> dict[str, str]:
    """Path relative to the directory → text of every policy file, for `policies.documents.parse`.

    Raises:
        BadConfiguration: the directory is missing, or a file is not readable UTF-8 text.
    """
    if not directory.is_dir():
        raise BadConfiguration(f"there is no policy directory at {directory}")
    files: dict[str, str] = {}
    for path in sorted((*directory.rglob("*.yaml"), *directory.rglob("*.yml"))):
        name = path.relative_to(directory).as_posix()
        try:
            files[name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadConfiguration(f"{name} can't be read as UTF-8 text: {error}") from error
    return files
