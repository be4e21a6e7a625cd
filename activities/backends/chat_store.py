"""The terminal as chat: a question is kept in the store, for `leverframe approvals list`, and logged."""

from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import DBAPIError

from activities.backends.store_sql import approvals, from_micros, insert, reading, to_micros
from activities.ports import Backend, Health
from leverframe.model.errors import Unavailable
from leverframe.model.frozen import Frozen, Instant
from leverframe.model.untrusted import Untrusted


class PostedApproval(Frozen):
    """A question as it was posted."""

    approval: str
    title: str
    body: str
    posted_at: Instant
    expires_at: Instant
    closed_text: str | None
    """How it ended; None while it waits for an answer."""


class StoreChat:
    """People are asked through the store. Raises Unavailable when the store does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log = structlog.get_logger("leverframe.approvals")

    def post_approval(self, approval: str, *, title: str, body: str, expires_at: datetime) -> str:
        """Keep the question and log one line; the same approval again changes nothing."""
        row = insert(self._engine, approvals).values(
            id=approval,
            title=title,
            body=body,
            expires_at=to_micros(expires_at),
            posted_at=to_micros(datetime.now(UTC)),
        )
        try:
            with self._engine.begin() as connection:
                new = connection.execute(row.on_conflict_do_nothing(index_elements=["id"])).rowcount == 1
        except DBAPIError as error:
            raise _unavailable(error) from error
        if new:
            safe = Untrusted(title).for_terminal()
            self._log.info(
                "approval wanted", approval=approval, title=safe, expires_at=expires_at.isoformat()
            )
        return f"leverframe approve {approval}"

    def close_approval(self, approval: str, *, text: str) -> None:
        """Record how the question ended. The first ending stands; an unknown approval is left alone."""
        ending = (
            update(approvals)
            .where(approvals.c.id == approval, approvals.c.closed_text.is_(None))
            .values(closed_text=text)
        )
        try:
            with self._engine.begin() as connection:
                closed = connection.execute(ending).rowcount == 1
        except DBAPIError as error:
            raise _unavailable(error) from error
        if closed:
            self._log.info("approval closed", approval=approval, text=Untrusted(text).for_terminal())

    def posted(self, *, open_only: bool = True, limit: int = 100) -> list[PostedApproval]:
        """The newest questions first. An unanswered one stays open here until its workflow closes it."""
        query = select(approvals).order_by(approvals.c.posted_at.desc(), approvals.c.id).limit(limit)
        if open_only:
            query = query.where(approvals.c.closed_text.is_(None))
        try:
            with reading(self._engine) as connection:
                rows = connection.execute(query).all()
        except DBAPIError as error:
            raise _unavailable(error) from error
        return [
            PostedApproval(
                approval=row.id,
                title=row.title,
                body=row.body,
                posted_at=from_micros(row.posted_at),
                expires_at=from_micros(row.expires_at),
                closed_text=row.closed_text,
            )
            for row in rows
        ]

    def health(self) -> Health:
        """Whether the store answers."""
        try:
            waiting = len(self.posted())
        except Unavailable as error:
            return Health(ok=False, detail=str(error), remedy="Check store.url and that the store runs.")
        return Health(ok=True, detail=f"approvals that wait for an answer: {waiting}")


def _unavailable(error: DBAPIError) -> Unavailable:
    return Unavailable(f"the store did not answer: {error.orig}")


BACKEND = Backend(kind="chat", name="terminal", scopes=(), build=StoreChat)
