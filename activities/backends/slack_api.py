"""The few methods of Slack's Web API that we call, and what its refusals mean.

Nothing is retried here: Temporal retries, and the SDK's own retries would repeat writes. Methods and errors:
https://docs.slack.dev/reference/methods
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPException
from typing import Any

from pydantic import SecretStr
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import SlackResponse

from leverframe.model.errors import (
    BadConfiguration,
    BadInput,
    LeverframeError,
    NotFound,
    Refused,
    Unavailable,
)
from leverframe.model.untrusted import Untrusted

NEEDED = frozenset({"chat:write"})
"""The scopes of the bot's token. Forms and links to messages need none, and nothing is ever read."""

_SECONDS = 10
_SHORTEST_WAIT = timedelta(seconds=1)
_LONGEST_WAIT = timedelta(hours=1)

_PASSING = frozenset(
    {
        *("ratelimited", "rate_limited", "request_timeout", "service_unavailable"),
        *("internal_error", "fatal_error", "team_added_to_org"),
    }
)
_OURS = frozenset(
    {
        *(
            "invalid_auth",
            "not_authed",
            "token_revoked",
            "token_expired",
            "account_inactive",
            "missing_scope",
        ),
        *("not_allowed_token_type", "channel_not_found", "not_in_channel", "is_archived"),
        *("restricted_action", "access_denied", "org_login_required", "team_access_not_granted"),
    }
)
_GONE = frozenset({"message_not_found", "thread_not_found", "cant_update_message"})
_MALFORMED = frozenset(
    {"invalid_blocks", "invalid_arguments", "msg_too_long", "no_text", "msg_blocks_too_long"}
)

Blocks = Sequence[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Installed:
    """Who the token makes us, and what it allows."""

    team: str
    team_name: str
    scopes: frozenset[str]


class SlackApi:
    """One workspace, one bot's token. Safe for threads. Every method raises the errors of `_answering`."""

    def __init__(self, token: SecretStr, *, api_url: str) -> None:
        self._client = WebClient(
            token.get_secret_value(), base_url=api_url, timeout=_SECONDS, retry_handlers=[]
        )

    def post(self, channel: str, *, text: str, blocks: Blocks, thread: str | None = None) -> str:
        """Post a message; returns its `ts`. Twice posted is two messages: Slack knows no key for that."""
        with _answering(f"post to {channel}"):
            answer = self._client.chat_postMessage(
                channel=channel,
                text=text,
                blocks=blocks,
                thread_ts=thread,
                mrkdwn=False,
                parse="none",
                link_names=False,
                unfurl_links=False,
                unfurl_media=False,
            )
            return _text(answer, "ts")

    def update(self, channel: str, ts: str, *, text: str, blocks: Blocks) -> None:
        """Put this in the message's place. Raises NotFound when the message is gone."""
        with _answering(f"update a message in {channel}"):
            self._client.chat_update(
                channel=channel, ts=ts, text=text, blocks=blocks, parse="none", link_names=False
            )

    def whisper(self, channel: str, *, user: str, text: str, blocks: Blocks, thread: str | None) -> None:
        """Show something to one member of the channel."""
        with _answering(f"tell one person in {channel}"):
            self._client.chat_postEphemeral(
                channel=channel,
                user=user,
                text=text,
                blocks=blocks,
                thread_ts=thread,
                parse="none",
                link_names=False,
            )

    def permalink(self, channel: str, ts: str) -> str:
        """The address of a message."""
        with _answering(f"ask for the address of a message in {channel}"):
            return _text(self._client.chat_getPermalink(channel=channel, message_ts=ts), "permalink")

    def open_view(self, trigger: str, view: dict[str, Any]) -> None:
        """Show a form to whoever clicked. Raises Refused when the trigger is older than three seconds."""
        with _answering("show a form"):
            self._client.views_open(trigger_id=trigger, view=view)

    def installed(self) -> Installed:
        """What the token stands for."""
        with _answering("ask Slack who we are"):
            answer = self._client.auth_test()
            scopes = next(
                (value for name, value in answer.headers.items() if name.lower() == "x-oauth-scopes"), ""
            )
            return Installed(
                team=_text(answer, "team_id"),
                team_name=Untrusted(str(answer.get("team", ""))).for_terminal(100),
                scopes=frozenset(scope.strip() for scope in scopes.split(",")) - {""},
            )


@contextmanager
def _answering(doing: str) -> Iterator[None]:
    """Calls of Slack in this block fail with our errors; `doing` begins the sentence.

    Raises:
        Unavailable: no answer, a 5xx, or a rate limit (with the wait). A write may have been done.
        BadConfiguration: the token, a scope or a channel is not what it must be.
        NotFound: the message is gone.
        BadInput: Slack does not take the content.
        Refused: any other final answer, an old trigger for example.
    """
    try:
        yield
    except SlackApiError as error:
        raise _refused(doing, error) from error
    except (SlackClientError, HTTPException, OSError, ValueError) as error:
        # URLError and TimeoutError are OSErrors; a ValueError is an answer that is not Slack's.
        raise Unavailable(f"{doing}: Slack did not answer ({type(error).__name__})") from error


def _refused(doing: str, error: SlackApiError) -> LeverframeError:
    answer = error.response
    status = int(getattr(answer, "status_code", 0) or 0)
    code = str(answer.get("error", "")) if isinstance(answer, SlackResponse) and answer.data else ""
    if status == 429:
        wait = _wait(answer.headers)
        return Unavailable(f"{doing}: Slack asks for {wait.total_seconds():.0f} s of patience", wait=wait)
    if status >= 500 or status == 408 or code in _PASSING:
        return Unavailable(f"{doing}: Slack answered {status or code}")
    sentence = f"{doing}: Slack answered {Untrusted(code).for_terminal(80) or status}"
    if code in _OURS:
        needed = Untrusted(str(answer.get("needed", ""))).for_terminal(100)
        hint = f"; it needs {needed}" if needed else "; check [chat.slack] and that the app is in the channel"
        return BadConfiguration(sentence + hint)
    if code in _GONE:
        return NotFound(sentence)
    return BadInput(sentence) if code in _MALFORMED else Refused(sentence)


def _wait(headers: Any) -> timedelta:
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    seconds = timedelta(seconds=int(said[:6])) if said.isascii() and said.isdigit() else timedelta(seconds=30)
    return max(_SHORTEST_WAIT, min(seconds, _LONGEST_WAIT))


def _text(answer: SlackResponse, name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value
