"""Policies from a directory of this machine: for a laptop, or one that a deployment mounts read-only."""

from pathlib import Path

from activities.policy_files import read_policies
from activities.ports import Backend, Health, PolicyFiles
from leverframe.model.errors import BadConfiguration


class PolicyDirectory:
    """`PolicySource` on a directory. Its revision is the directory's path."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> PolicyFiles:
        """Raises BadConfiguration: the directory is missing or empty, or a file is not readable text."""
        files = read_policies(self._directory)
        if not files:
            raise BadConfiguration(f"the policy directory {self._directory} is empty: put the files back")
        return PolicyFiles(revision=str(self._directory), files=files)

    def health(self) -> Health:
        """Whether it can be read; what the files say is for whoever puts them in force."""
        try:
            read = self.read()
        except BadConfiguration as error:
            return Health(ok=False, detail=str(error), remedy="put the files back, or set policies.directory")
        return Health(ok=True, detail=f"{len(read.files)} files in {self._directory}")


BACKEND = Backend(kind="policy_source", name="directory", scopes=(), build=PolicyDirectory)
