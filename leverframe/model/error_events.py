"""One error event as we keep it: ours in shape, scrubbed and bounded, whoever sent it."""

from pydantic import Field, JsonValue

from leverframe.model.frozen import Frozen
from leverframe.model.untrusted import Untrusted


class ErrorFrame(Frozen):
    """One stack frame. Paths and names are whatever the sender wrote: hostile."""

    path: str
    """Relative to the import root when the sender knows it, otherwise absolute."""
    module: str = ""
    function: Untrusted
    line: int = Field(ge=0)
    """0: unknown."""
    in_app: bool
    code: Untrusted = Untrusted("")
    """The source line, as the sender saw it."""
    variables: dict[str, JsonValue] = Field(default_factory=dict)
    """Local variables at the raise, as the sender's `repr` made them, secrets replaced."""


class ErrorException(Frozen):
    """One link of an exception chain."""

    type: Untrusted
    value: Untrusted
    frames: tuple[ErrorFrame, ...] = ()
    """Crash frame first."""


class ErrorEvent(Frozen):
    """What is kept of one event."""

    exceptions: tuple[ErrorException, ...] = ()
    """The exception that crashed first, then its causes. Empty for a logged message."""
    message: Untrusted = Untrusted("")
    route: Untrusted = Untrusted("")
    """The transaction name, or an empty text."""
    platform: str = ""

    @property
    def frames(self) -> tuple[ErrorFrame, ...]:
        """The crashing exception's in-app frames, or all its frames when none is in-app; crash first."""
        if not self.exceptions:
            return ()
        frames = self.exceptions[0].frames
        return tuple(frame for frame in frames if frame.in_app) or frames
