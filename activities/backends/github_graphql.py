"""One question to GitHub's GraphQL API. Errors come inside a 200 there, and so do rate limits.

https://docs.github.com/en/graphql/overview/rate-limits-and-node-limits-for-the-graphql-api
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic import BaseModel

from activities.backends.github_account import GithubAccount
from activities.backends.github_errors import ASKED_TO_SLOW_DOWN, LONGEST_WAIT, SHORTEST_WAIT, answering
from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.untrusted import Untrusted

_KINDS: Mapping[str, type[LeverframeError]] = {
    "NOT_FOUND": NotFound,
    "FORBIDDEN": Refused,
    "INSUFFICIENT_SCOPES": Refused,
    "UNPROCESSABLE": BadInput,
    "STALE_DATA": Conflict,
}
"""An error of any other type may be a bad moment."""

_UNKNOWN_HERE = re.compile(
    r"undefinedField|undefinedType|argumentNotAccepted|missingRequired|variableMismatch"
)
"""Codes of a server that is too old for the question: GitHub Enterprise Server."""


class _Error(BaseModel):
    type: str | None = None
    message: str = ""
    extensions: dict[str, Any] | None = None

    @property
    def code(self) -> str:
        return str((self.extensions or {}).get("code", ""))


class _Answer(BaseModel):
    data: dict[str, Any] | None = None
    errors: list[_Error] | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What GitHub answered, and what time it was there."""

    data: dict[str, Any]
    at: datetime
    """By GitHub's clock, in UTC: ours may be wrong."""


def ask(account: GithubAccount, doing: str, query: str, **variables: object) -> Told:
    """Send a query or a mutation once. An answer with any error in it is an error, whatever came beside it.

    Args:
        account: who asks.
        doing: begins the sentence of an error.
        query: the document.
        variables: its variables.

    Raises:
        Unavailable: no answer, a rate limit (with the wait), or an error that names no reason.
        NotFound, Refused, BadInput, Conflict: what the error's type says. A failed mutation may have been
            done all the same when it is Unavailable: look before asking again.
    """
    with answering(doing):
        response = account.client.request(
            "POST", account.graphql_url, json={"query": query, "variables": variables}
        )
        answer = _Answer.model_validate(response.json())
    at = _server_time(response.headers)
    if answer.errors:
        raise _failed(doing, answer.errors, response.headers, at)
    if answer.data is None:
        raise Unavailable(f"{doing}: the answer is not one of GitHub's API")
    return Told(data=answer.data, at=at)


def _failed(doing: str, errors: list[_Error], headers: Mapping[str, str], at: datetime) -> LeverframeError:
    words = "; ".join(each.message for each in errors if each.message)
    said = Untrusted(words).for_terminal(300) or "no words"
    sentence = f"{doing}: GitHub answered with an error ({said})"
    types = [each.type or "" for each in errors]
    if any(kind in ("RATE_LIMIT", "RATE_LIMITED") for kind in types) or ASKED_TO_SLOW_DOWN.search(words):
        wait = _wait(headers, at)
        return Unavailable(f"{sentence}; ask again in {wait.total_seconds():.0f} s", wait=wait)
    if any(_UNKNOWN_HERE.search(each.code) for each in errors):
        return Refused(f"{sentence}: this GitHub does not know the question")
    kinds = [_KINDS.get(kind, Unavailable) for kind in types]
    # One error that may pass makes the whole answer one that may pass.
    return (Unavailable if Unavailable in kinds else kinds[0])(sentence)


def _wait(headers: Mapping[str, str], at: datetime) -> timedelta:
    """How long to stay away. The reset is a time of GitHub's clock, so that clock is asked."""
    after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
    if after.isascii() and after.isdigit():
        wait = timedelta(seconds=min(int(after[:9]), LONGEST_WAIT.total_seconds()))
    elif reset.isascii() and reset.isdigit() and headers.get("x-ratelimit-remaining") == "0":
        wait = timedelta(seconds=int(reset[:12]) - at.timestamp())
    else:
        wait = SHORTEST_WAIT
    return max(timedelta(seconds=1), min(wait, LONGEST_WAIT))


def _server_time(headers: Mapping[str, str]) -> datetime:
    try:
        told = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return datetime.now(UTC)
    return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
