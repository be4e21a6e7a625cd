"""The state file: what was stable and canary, so that a restarted router resumes where it was."""

import os
import tempfile
from pathlib import Path

from pydantic import Field, ValidationError

from leverframe.delivery.arms import Arms
from leverframe.model.errors import BadConfiguration
from leverframe.model.frozen import Frozen
from leverframe.model.releases import Environment


class SavedState(Frozen):
    """Every environment of every service."""

    services: dict[str, dict[Environment, Arms]] = Field(default_factory=dict)
    suspended: dict[str, dict[Environment, str]] = Field(default_factory=dict)
    """Environments that do not follow their overlays, with the reason."""

    def arms(self, service: str, environment: Environment) -> Arms:
        """What was saved, or nothing at all for an environment never seen."""
        return self.services.get(service, {}).get(environment, Arms())


class StateFile:
    """One JSON file, replaced as a whole: a reader or a crash never sees half of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> SavedState:
        """The saved state; empty when there is none.

        Raises:
            BadConfiguration: the file is unreadable. Guessing would put an unproven SHA to 100 %.
        """
        try:
            return SavedState.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return SavedState()
        except (ValidationError, OSError) as error:
            raise BadConfiguration(
                f"{self._path} can't be read ({error}); repair it, or remove it to begin without a stable"
            ) from error

    def save(self, state: SavedState) -> None:
        """Write, flush to disk and replace."""
        write_whole(self._path, state.model_dump_json(indent=2))


def write_whole(path: Path, text: str) -> None:
    """Write a file beside the place, flush it to disk, and move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".state-", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
