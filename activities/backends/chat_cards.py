"""Cards: one question as one chat shows it to one group, how it ended, and what was told once.

A card is written before anything is shown, so that a retry finds it and an ending that comes meanwhile is not
lost. Its id is opaque: whoever has it can ask for nothing that the store does not know.
"""

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Executable, Row, Select, select, update

from activities.backends.store_sql import answering, from_micros, insert, reading, to_micros
from activities.backends.store_tables import chat_cards, chat_notices, slack_messages
from leverframe.model.errors import NotFound
from leverframe.model.frozen import Frozen, Instant
from policies.question import Ending, Question


class Card(Frozen):
    """A question as a chat keeps it for a group."""

    id: str
    question: Question
    group: str
    held: bool
    """It waits for the group's digest."""
    message: str | None
    """The message that shows it, where the chat has messages."""
    kept_at: Instant
    ending: Ending | None
    """None while it waits for an answer."""


class Cards:
    """The cards of one chat. Raises Unavailable when the store does not answer."""

    def __init__(self, engine: Engine, chat: str) -> None:
        self._engine = engine
        self._chat = chat

    def keep(self, question: Question, group: str, *, held: bool) -> Card:
        """The card of a question and a group, made if there is none. Asking at once ends the holding."""
        row = insert(self._engine, chat_cards).values(
            id=secrets.token_hex(12),
            chat=self._chat,
            approval=question.approval,
            group_name=group,
            question=question.model_dump_json(),
            held=held,
            kept_at=to_micros(datetime.now(UTC)),
        )
        mine = (
            chat_cards.c.chat == self._chat,
            chat_cards.c.approval == question.approval,
            chat_cards.c.group_name == group,
        )
        with answering(), self._engine.begin() as connection:
            connection.execute(row.on_conflict_do_nothing())
            if not held:
                connection.execute(update(chat_cards).where(*mine).values(held=False))
            return _card(connection.execute(select(chat_cards).where(*mine)).one())

    def card(self, card: str) -> Card:
        """Raises NotFound."""
        found = self._found(select(chat_cards).where(chat_cards.c.id == card))
        if not found:
            raise NotFound(f"no question was shown as {card}")
        return found[0]

    def of_approval(self, approval: str) -> list[Card]:
        """One for each group that it was kept for."""
        return self._found(select(chat_cards).where(chat_cards.c.approval == approval))

    def of_message(self, message: str) -> list[Card]:
        """In the order in which they were asked."""
        return self._found(select(chat_cards).where(chat_cards.c.message == message))

    def held(self) -> list[Card]:
        """What waits for the next digest and for an answer."""
        return self._found(
            select(chat_cards).where(chat_cards.c.held.is_(True), chat_cards.c.ending.is_(None))
        )

    def open(self) -> list[Card]:
        """What waits for an answer, held or shown."""
        return self._found(select(chat_cards).where(chat_cards.c.ending.is_(None)))

    def all(self) -> list[Card]:
        """Everything that was ever kept."""
        return self._found(select(chat_cards))

    def unshown(self, *, ended: str, since: datetime) -> list[Card]:
        """What ended, stands in a posted message, and was not told as `ended` and its id."""
        told = select(chat_notices.c.key).where(
            chat_notices.c.chat == self._chat, chat_notices.c.key == ended + chat_cards.c.id
        )
        posted = select(slack_messages.c.id).where(
            slack_messages.c.id == chat_cards.c.message, slack_messages.c.ts.is_not(None)
        )
        return self._found(
            select(chat_cards).where(
                chat_cards.c.ending.is_not(None),
                chat_cards.c.kept_at > to_micros(since),
                posted.exists(),
                ~told.exists(),
            )
        )

    def show(self, cards: list[Card]) -> None:
        """They are no longer held."""
        ids = [card.id for card in cards]
        with answering(), self._engine.begin() as connection:
            connection.execute(update(chat_cards).where(chat_cards.c.id.in_(ids)).values(held=False))

    def end(self, approval: str, ending: Ending) -> tuple[list[Card], bool]:
        """Keep how a question ended: the first ending stands. Its cards, and whether this one is it."""
        mine = (chat_cards.c.chat == self._chat, chat_cards.c.approval == approval)
        first = (
            update(chat_cards)
            .where(*mine, chat_cards.c.ending.is_(None))
            .values(ending=ending.model_dump_json(), held=False)
        )
        with answering(), self._engine.begin() as connection:
            changed = connection.execute(first).rowcount > 0
        return self.of_approval(approval), changed

    def is_told(self, key: str) -> bool:
        """Whether `note_told` was called with the key."""
        mine = select(chat_notices.c.key).where(chat_notices.c.chat == self._chat, chat_notices.c.key == key)
        with answering(), reading(self._engine) as connection:
            return connection.execute(mine).first() is not None

    def note_told(self, key: str) -> bool:
        """Remember that something was told; False when it was told before."""
        row = insert(self._engine, chat_notices).values(
            chat=self._chat, key=key, told_at=to_micros(datetime.now(UTC))
        )
        with answering(), self._engine.begin() as connection:
            return is_new(connection, row.on_conflict_do_nothing().returning(chat_notices.c.key))

    def _found(self, query: Select[Any]) -> list[Card]:
        ordered = query.where(chat_cards.c.chat == self._chat).order_by(chat_cards.c.kept_at, chat_cards.c.id)
        with answering(), reading(self._engine) as connection:
            return [_card(row) for row in connection.execute(ordered)]


def is_new(connection: Connection, inserting: Executable) -> bool:
    """Run an INSERT that returns what it inserted; False when the row was there. Row counts don't tell."""
    return connection.execute(inserting).first() is not None


def _card(row: Row[Any]) -> Card:
    return Card(
        id=row.id,
        question=Question.model_validate_json(row.question),
        group=row.group_name,
        held=row.held,
        message=row.message,
        kept_at=from_micros(row.kept_at),
        ending=Ending.model_validate_json(row.ending) if row.ending else None,
    )
