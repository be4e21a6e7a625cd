"""What GitHub's REST API says when it refuses or fails, as errors of ours.

Status codes: https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import httpx
from githubkit.exception import GitHubException, RateLimitExceeded, RequestError, RequestFailed
from pydantic import BaseModel, ValidationError

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

ASKED_TO_SLOW_DOWN = re.compile(r"rate limit|abuse detection|submitted too quickly", re.IGNORECASE)
SHORTEST_WAIT = timedelta(seconds=60)
"""What GitHub asks for when a secondary limit names no time."""
LONGEST_WAIT = timedelta(hours=1)


class _Detail(BaseModel):
    message: str = ""
    field: str = ""
    code: str = ""


class _Told(BaseModel):
    message: str = ""
    errors: tuple[_Detail | str, ...] = ()


@contextmanager
def answering(doing: str) -> Iterator[None]:
    """Calls of GitHub in this block fail with our errors; `doing` begins the sentence.

    A failed write may have been done all the same: whoever asks again looks first.

    Raises:
        Unavailable: no answer, one that is not GitHub's, a 5xx, or a rate limit (with the wait).
        BadConfiguration: the credential is not accepted (401), or the private key is none.
        Refused: a permission or a rule is missing (403 and other final answers).
        NotFound: 404, which is also what GitHub says of a private repository without permission.
        Conflict: 409.
        BadInput: 422.
    """
    try:
        yield
    except RequestFailed as error:
        raise _failed(doing, error) from error
    except RequestError as error:
        raise _unanswered(doing, error.exc) from error
    except GitHubException as error:
        raise Unavailable(f"{doing}: {type(error).__name__}") from error
    except ValueError as error:
        # Not JSON, or JSON of another shape: a proxy's page, or an API that is not GitHub's.
        raise Unavailable(f"{doing}: the answer is not one of GitHub's API") from error


def _unanswered(doing: str, cause: Exception) -> LeverframeError:
    if isinstance(cause, LeverframeError):
        return cause
    if isinstance(cause, RequestFailed):
        # The request for an installation's token, made on the way to ours.
        return _failed(f"{doing}: asking for a token of the App's installation", cause)
    if isinstance(cause, RequestError):
        return _unanswered(doing, cause.exc)
    if isinstance(cause, httpx.HTTPError):
        return Unavailable(f"{doing}: GitHub did not answer ({type(cause).__name__})")
    if isinstance(cause, ValidationError):
        return Unavailable(f"{doing}: the answer is not one of GitHub's API")
    # What is left comes from signing with the App's key, before anything is sent.
    return BadConfiguration(
        f"{doing}: changes.github.private_key_file can't be used ({type(cause).__name__})"
    )


def _failed(doing: str, error: RequestFailed) -> LeverframeError:
    status, said = error.response.status_code, _said(error.response.content)
    sentence = f"{doing}: GitHub answered {status}" + (f" ({said})" if said else "")
    limited = status in (403, 429) and ASKED_TO_SLOW_DOWN.search(said)
    if isinstance(error, RateLimitExceeded) or limited or status == 429:
        wait = error.retry_after if isinstance(error, RateLimitExceeded) else SHORTEST_WAIT
        wait = min(wait, LONGEST_WAIT)
        return Unavailable(f"{sentence}; ask again in {wait.total_seconds():.0f} s", wait=wait)
    if status >= 500 or status == 408:
        return Unavailable(sentence)
    if status == 401:
        return BadConfiguration(f"{sentence}: the token or the App's key is not accepted; replace it")
    if status == 403 and (needed := error.response.headers.get("x-accepted-github-permissions")):
        return Refused(f"{sentence}; it needs {Untrusted(needed).for_terminal(100)}")
    kinds: dict[int, type[LeverframeError]] = {404: NotFound, 410: NotFound, 409: Conflict, 422: BadInput}
    return kinds.get(status, Refused)(sentence)


def _said(content: bytes) -> str:
    try:
        told = _Told.model_validate_json(content)
    except ValidationError:
        return ""
    details = [
        each if isinstance(each, str) else each.message or f"{each.field} {each.code}".strip()
        for each in told.errors
    ]
    return Untrusted("; ".join(filter(None, (told.message, *details)))).for_terminal(300)
