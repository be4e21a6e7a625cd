"""Policies from a declared repository: the tip of its protected target branch, and no other branch."""

from activities.ports import Backend, Health, PolicyFiles
from activities.track_port import Track
from leverframe.model.errors import BadConfiguration, LeverframeError, NotFound
from leverframe.model.topology import Repository


class PolicyGit:
    """`PolicySource` on a repository's target branch. Its revision is the commit that was read.

    A branch that asks to be merged changes nothing here, whatever its files say: only what has landed counts.
    """

    def __init__(self, track: Track, repository: Repository, *, folder: str) -> None:
        self._track = track
        self._repository = repository
        self._folder = folder

    def read(self) -> PolicyFiles:
        """Raises BadConfiguration: the folder is missing or empty; Unavailable: git can't be reached now."""
        try:
            read = self._track.read_files(self._repository, folder=self._folder)
        except NotFound as error:
            raise BadConfiguration(f"{self._place} holds no policies: {error}") from error
        if not read.files:
            raise BadConfiguration(f"{self._place} is empty at {read.revision[:12]}: put the files back")
        return read

    def health(self) -> Health:
        """Whether it can be read; what the files say is for whoever puts them in force."""
        try:
            read = self.read()
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy=f"land the policies in {self._place}")
        return Health(ok=True, detail=f"{len(read.files)} files in {self._place} at {read.revision[:12]}")

    @property
    def _place(self) -> str:
        return f"{self._folder}/ on {self._repository.target} of {self._repository.name}"


BACKEND = Backend(kind="policy_source", name="git", scopes=("read",), build=PolicyGit)
