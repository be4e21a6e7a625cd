"""Exit codes: what a script learns without reading a word."""

from enum import IntEnum

from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound, Refused, Unavailable


class Exit(IntEnum):
    """One code for each way a command can end."""

    OK = 0
    FAILED = 1
    """Something is red, or the thing asked for did not succeed."""
    BAD_INPUT = 2
    """The command, the settings or a file can't be used as they are."""
    NOT_FOUND = 3
    UNAVAILABLE = 4
    """The engine or another outside system did not answer."""
    REFUSED = 5
    """A rule said no, or the world has moved on."""


def exit_code(error: LeverframeError) -> Exit:
    """The code of an error of ours."""
    match error:
        case BadInput():
            return Exit.BAD_INPUT
        case NotFound():
            return Exit.NOT_FOUND
        case Unavailable():
            return Exit.UNAVAILABLE
        case Conflict() | Refused():
            return Exit.REFUSED
        case _:
            return Exit.FAILED
