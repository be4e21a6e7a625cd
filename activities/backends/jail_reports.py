"""The test reports of a jailed command: the descriptor they come out by, and the file that they end in."""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import structlog

from activities.backends import jail_layout
from activities.ports import ReportsPlace
from leverframe.model.checks import Check
from leverframe.reports.reading import MAX_BYTES

_MOST_AROUND = 1_000_000
"""Bytes of a tar beside what is in it."""
_PIECE = 1 << 20

_log = structlog.get_logger(__name__)


class Taken:
    """An order to `jail_inside/bring_out.py`. Nothing that goes wrong here changes what the check says."""

    def __init__(self, check: Check, place: ReportsPlace, file: IO[bytes]) -> None:
        """`file` needs no name: the jail gets its descriptor alone."""
        self._place = place
        self._file = file
        self.descriptor = self._file.fileno()
        self.environment = place.environment
        self.order: dict[str, Any] = {
            "descriptor": self.descriptor,
            "globs": check.results,
            "file": jail_layout.REPORT_FILE,
            "most": MAX_BYTES,
        }

    def keep(self) -> None:
        """Put what came out into its place, whole."""
        size = self._file.seek(0, 2)
        if size == 0:
            return
        if size > MAX_BYTES + _MOST_AROUND:
            _log.warning("test reports not kept: more came out of the jail than fits", bytes=size)
            return
        self._file.seek(0)
        into = self._place.into
        try:
            into.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=into.parent, delete=False) as writing:
                try:
                    while piece := self._file.read(_PIECE):
                        writing.write(piece)
                    writing.flush()
                    Path(writing.name).chmod(0o644)
                    Path(writing.name).replace(into)
                except OSError:
                    with suppress(OSError):
                        Path(writing.name).unlink()
                    raise
        except OSError as error:
            _log.warning("test reports not kept", place=str(into), error=str(error))
