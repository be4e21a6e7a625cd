"""How single values are written in a policy file: amounts, patterns, calendar expressions, time zones.

What could never mean anything is refused here, where it is written.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
"""A beginning for a calendar expression that is looked at without a clock."""

_STARS = re.compile(r"\*+")
_CRON_FIELDS = 5

Unlimited = Literal["unlimited"]


def _amount(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not (whole or value == "unlimited"):
        raise ValueError("write a whole number of at least 0, or `unlimited`")
    return value


Amount = Annotated[Annotated[int, Field(ge=0)] | Unlimited, BeforeValidator(_amount)]

Glob = Annotated[str, StringConstraints(min_length=1, max_length=300)]

_MAX_STARS = 2
_MAX_CROSSINGS = 2


def _path_glob(value: str) -> str:
    """A glob that would match nothing looks like protection and is none, so it is refused."""
    parts = value.split("/")
    if value.startswith("/") or "\\" in value or {"", ".", ".."} & set(parts):
        raise ValueError("write paths from the repository's root with single slashes: `src/**`, not `/src/`")
    if set("[]{}!") & set(value):
        raise ValueError("`*`, `**` and `?` are the only wildcards; write one pattern for each choice")
    if value.count("**") > _MAX_CROSSINGS or any(len(_STARS.findall(part)) > _MAX_STARS for part in parts):
        raise ValueError(
            f"at most {_MAX_CROSSINGS} times `**`, and {_MAX_STARS} wildcards between two slashes, or looking"
            " at hostile paths takes too long"
        )
    return value


PathGlob = Annotated[Glob, AfterValidator(_path_glob)]


def _cron(value: str) -> str:
    if len(value.split()) != _CRON_FIELDS:
        raise ValueError("write five fields: minute, hour, day of month, month, day of week: `0 18 * * FRI`")
    try:
        next(CronSim(value, ANY_TIME))
    except CronSimError as error:
        raise ValueError(f"not a calendar expression: {str(error).lower()}") from error
    except StopIteration:
        raise ValueError("such a time never comes") from None
    return value


def _zone(value: str) -> str:
    """Area and city: other names depend on the machine, such as `localtime`."""
    try:
        if value != "UTC" and "/" not in value:
            raise ValueError(value)
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("no such time zone; write its area and city: `Europe/Berlin`, or `UTC`") from error
    return value


Cron = Annotated[str, StringConstraints(max_length=100), AfterValidator(_cron)]
ZoneName = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]
