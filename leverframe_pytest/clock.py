"""Begins a run at another time, by time-machine where that is installed.

What Python's `time` and `datetime` say goes on from the given moment in this process, also by names that were
imported before. Monotonic clocks, sleep and what else waits stay as they are, and so do the times of files
and the clocks of other processes. Tests may move the clock once more, by time-machine or freezegun.
Of time-machine: https://github.com/adamchainz/time-machine
"""

from collections.abc import Callable
from datetime import UTC, datetime

LONGEST = 10
"""Digits of a moment."""


def begin_at(moment: int) -> Callable[[], None] | None:
    """Go to the moment, in seconds since 1970. Gives what goes back again; None where there is no
    time-machine 3.
    """
    try:
        import time_machine  # noqa: PLC0415 - the extra `clock`
    except ImportError:
        return None
    if not hasattr(time_machine, "Traveller"):  # before 3.0 it moved monotonic clocks, too
        return None
    from _pytest import timing  # noqa: PLC0415 - only then it is touched

    travel, pytests_own = time_machine.travel(moment, tick=True), timing.time
    travel.start()
    # When tests ran is told as it really was; pytest keeps its clock apart from what tests do to theirs, too.
    timing.time = time_machine.escape_hatch.time.time

    def back() -> None:
        timing.time = pytests_own
        travel.stop()

    return back


def told(moment: int, *, moved: bool) -> str:
    """A line for people."""
    if not moved:
        return (
            "time-machine 3 is not installed, so only the time zone is another one "
            "(it comes with leverframe-pytest[clock])"
        )
    return f"the clock began at {datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"
