"""What GitLab's REST API says when it refuses or fails, as errors of ours.

Status codes: https://docs.gitlab.com/api/rest/troubleshooting/#status-codes, limits:
https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any

import httpx

from leverframe.model.errors import (
    BadConfiguration,
    BadInput,
    Conflict,
    LeverframeError,
    NotFound,
    Refused,
    Unavailable,
)
from leverframe.model.untrusted import Untrusted

_USUAL_WAIT = timedelta(seconds=60)
"""The period of GitLab's limits, for an answer that names no time."""
_LONGEST_WAIT = timedelta(hours=1)
_BUSY_WAIT = timedelta(seconds=5)

_KINDS: Mapping[int, type[LeverframeError]] = MappingProxyType(
    {400: BadInput, 404: NotFound, 409: Conflict, 410: NotFound, 412: Conflict, 422: BadInput}
)


def failed(doing: str, response: httpx.Response) -> LeverframeError:
    """The error for an answer that is not one of success; `doing` begins its sentence.

    - Unavailable: 408, 5xx, a lock (409), or a rate limit (429, with the wait).
    - BadConfiguration: the token is not accepted (401), or the project has moved (3xx).
    - Refused: a role, a scope or a rule is missing (403), or the state does not allow it (405, 406).
    - NotFound: 404, which is also what GitLab says of a project that the token may not see.
    - Conflict: 409, 412. BadInput: 400, 422.
    """
    status, said = response.status_code, words(response)
    sentence = f"{doing}: GitLab answered {status}" + (f" ({said})" if said else "")
    if status == 429:
        wait = _wait(response.headers)
        return Unavailable(f"{sentence}; ask again in {wait.total_seconds():.0f} s", wait=wait)
    if status == 409 and "lock" in said.lower():
        return Unavailable(sentence, wait=_BUSY_WAIT)
    if status >= 500 or status == 408:
        return Unavailable(sentence)
    if status == 401:
        return BadConfiguration(f"{sentence}: the token is not accepted; replace it")
    if 300 <= status < 400:
        return BadConfiguration(
            f"{sentence}: it answers from another address; correct api_url, or a path in"
            " changes.gitlab.projects that has moved"
        )
    return _KINDS.get(status, Refused)(sentence)


def unanswered(doing: str, error: httpx.HTTPError) -> Unavailable:
    """The error for an answer that never came. A write may have been done all the same."""
    return Unavailable(f"{doing}: GitLab did not answer ({type(error).__name__})")


def words(response: httpx.Response) -> str:
    """GitLab's own words of an answer on one line, for a terminal; empty if there are none."""
    try:
        told = response.json()
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    parts = [told.get(name) for name in ("message", "error", "error_description")]
    return Untrusted("; ".join(sentence for part in parts for sentence in _flat(part))).for_terminal(300)


def _flat(part: Any) -> Iterator[str]:
    """`message` is a sentence, a list of them, or field → sentences."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        for each in part:
            yield from _flat(each)
    elif isinstance(part, dict):
        for name, each in part.items():
            yield f"{name} {', '.join(_flat(each))}"


def _wait(headers: httpx.Headers) -> timedelta:
    """`Retry-After`, else the time until `RateLimit-Reset` by the clock of the server that names it."""
    after, reset = headers.get("retry-after", ""), headers.get("ratelimit-reset", "")
    if _is_number(after):
        return min(timedelta(seconds=int(after)), _LONGEST_WAIT)
    if _is_number(reset):
        left = datetime.fromtimestamp(int(reset), UTC) - _now(headers)
        return min(max(left, timedelta(seconds=1)), _LONGEST_WAIT)
    return _USUAL_WAIT


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _now(headers: httpx.Headers) -> datetime:
    try:
        told = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return datetime.now(UTC)
    return told if told.tzinfo else told.replace(tzinfo=UTC)
