"""The messages that we have in Slack: where each is, which questions it shows, and who is posting it.

A message is written here before it is posted. Like questions (the same batch) join the newest message of
their channel and group while it is young and has room.
"""

import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, func, or_, select, update

from activities.backends.chat_cards import Card
from activities.backends.store_sql import answering, from_micros, reading, to_micros
from activities.backends.store_tables import chat_cards, slack_messages
from leverframe.model.errors import NotFound
from leverframe.model.frozen import Frozen, Instant

_CLAIM = timedelta(seconds=30)
"""Longer than a call of Slack takes: whoever claimed a message and is silent for so long has died."""


class Message(Frozen):
    """One message, posted or about to be."""

    id: str
    channel: str
    ts: str | None
    """Slack's name of it; None until it is posted."""
    drawn: str | None
    """Hash of what it shows."""
    opened_at: Instant


class Messages:
    """Rows of `slack_messages`. Raises Unavailable when the store does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def place(self, card: Card, *, channel: str, batch: str, within: timedelta, most: int) -> str:
        """The message for a card: the one that it has, a young one of its batch with room, or a new one."""
        now = datetime.now(UTC)
        with answering(), self._engine.begin() as connection:
            own = select(chat_cards.c.message).where(chat_cards.c.id == card.id).with_for_update()
            placed: str | None = connection.execute(own).scalar_one()
            if placed is not None:
                return placed
            joined = _joinable(
                connection, channel=channel, group=card.group, batch=batch, since=now - within, most=most
            )
            message = joined or _opened(connection, channel, card.group, batch, now)
            mine = update(chat_cards).where(chat_cards.c.id == card.id)
            connection.execute(mine.values(message=message, held=False))
        return message

    def message(self, message: str) -> Message:
        """Raises NotFound."""
        with answering(), reading(self._engine) as connection:
            row = connection.execute(
                select(slack_messages).where(slack_messages.c.id == message)
            ).one_or_none()
        if row is None:
            raise NotFound(f"there is no message {message}")
        return Message(
            id=row.id,
            channel=row.channel,
            ts=row.ts,
            drawn=row.drawn,
            opened_at=from_micros(row.opened_at),
        )

    def of_batch(self, batch: str) -> list[str]:
        """The messages of a batch, oldest first."""
        query = (
            select(slack_messages.c.id)
            .where(slack_messages.c.batch == batch)
            .order_by(slack_messages.c.opened_at, slack_messages.c.id)
        )
        with answering(), reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def claim(self, message: str) -> bool:
        """Whether the caller may post it now; another process may be about to."""
        now = datetime.now(UTC)
        stale = slack_messages.c.claimed_at < to_micros(now - _CLAIM)
        free = or_(slack_messages.c.claimed_at.is_(None), stale)
        return self._set(message, slack_messages.c.ts.is_(None), free, claimed_at=to_micros(now))

    def unclaim(self, message: str) -> None:
        """It was not posted, or nobody knows."""
        self._set(message, claimed_at=None)

    def posted(self, message: str, ts: str) -> None:
        """It is there."""
        self._set(message, ts=ts, drawn=None, claimed_at=None)

    def drew(self, message: str, drawn: str, *, over: str | None) -> None:
        """It shows this, unless another process drew since it showed `over`: then nobody knows."""
        same = slack_messages.c.drawn.is_not_distinct_from(over)
        if not self._set(message, same, drawn=drawn):
            self._set(message, drawn=None)

    def lost(self, message: str) -> None:
        """Somebody deleted it."""
        self._set(message, ts=None, drawn=None, claimed_at=None)

    def _set(self, message: str, *conditions: object, **values: object) -> bool:
        changed = update(slack_messages).where(slack_messages.c.id == message, *conditions).values(**values)  # type: ignore[arg-type]
        with answering(), self._engine.begin() as connection:
            return connection.execute(changed).rowcount == 1


def _joinable(
    connection: Connection, *, channel: str, group: str, batch: str, since: datetime, most: int
) -> str | None:
    newest = (
        select(slack_messages.c.id)
        .where(
            slack_messages.c.channel == channel,
            slack_messages.c.group_name == group,
            slack_messages.c.batch == batch,
            slack_messages.c.opened_at > to_micros(since),
        )
        .order_by(slack_messages.c.opened_at.desc(), slack_messages.c.id)
        .limit(1)
        # Two that join at once would both find the last place free, and one would never be shown.
        .with_for_update()
    )
    found: str | None = connection.execute(newest).scalar_one_or_none()
    if found is None:
        return None
    rows = select(func.count()).where(chat_cards.c.message == found)
    return found if connection.execute(rows).scalar_one() < most else None


def _opened(connection: Connection, channel: str, group: str, batch: str, now: datetime) -> str:
    message = secrets.token_hex(12)
    row = {
        "id": message,
        "channel": channel,
        "group_name": group,
        "batch": batch,
        "opened_at": to_micros(now),
    }
    connection.execute(slack_messages.insert().values(**row))
    return message
