"""Clicks in the store: kept before the chat gets its answer, and marked when they are worked off."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, select, update

from activities.backends.chat_cards import is_new
from activities.backends.store_sql import answering, insert, reading, to_micros
from activities.backends.store_tables import slack_clicks
from activities.forms import Click


class StoreClicks:
    """Implements `Clicks`. Raises Unavailable when the store does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, click: Click) -> bool:
        """Keep a click; False when it is known already."""
        row = insert(self._engine, slack_clicks).values(
            id=click.id, click=click.model_dump_json(), received_at=to_micros(click.received_at)
        )
        with answering(), self._engine.begin() as connection:
            return is_new(connection, row.on_conflict_do_nothing().returning(slack_clicks.c.id))

    def waiting(self, *, before: datetime, limit: int) -> list[Click]:
        """Clicks received before that time which nobody has worked off, oldest first."""
        query = (
            select(slack_clicks.c.click)
            .where(slack_clicks.c.done_at.is_(None), slack_clicks.c.received_at < to_micros(before))
            .order_by(slack_clicks.c.received_at, slack_clicks.c.id)
            .limit(limit)
        )
        with answering(), reading(self._engine) as connection:
            return [Click.model_validate_json(row.click) for row in connection.execute(query)]

    def done(self, ids: Sequence[str], at: datetime) -> None:
        """These are worked off. Idempotent."""
        worked_off = (
            update(slack_clicks)
            .where(slack_clicks.c.id.in_(ids), slack_clicks.c.done_at.is_(None))
            .values(done_at=to_micros(at))
        )
        with answering(), self._engine.begin() as connection:
            connection.execute(worked_off)
