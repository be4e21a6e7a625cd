"""Permits in the store: one row a commit, its last word."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, case, func, literal, select, update
from sqlalchemy.exc import DBAPIError

from activities.backends.store_sql import from_micros, insert, reading, to_micros
from activities.backends.store_tables import permits
from activities.ports import Backend, Health
from leverframe.model.errors import Unavailable
from leverframe.model.permits import Permit


class StorePermits:
    """The port `Permits`. Raises Unavailable when the store does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def grant(self, permit: Permit) -> None:
        """A commit that is let in anew, after it was taken back or proven, may be another revision."""
        written = insert(self._engine, permits).values(_row(permit))
        over = permits.c.kind.in_(("abort", "proven")) & (literal(permit.kind) == "weigh")
        kept = written.on_conflict_do_update(
            index_elements=["service", "sha"],
            set_={
                "kind": permit.kind,
                "percent": permit.percent,
                "decided_at": to_micros(permit.decided_at),
                "checksum": case((over, ""), else_=permits.c.checksum),
            },
        )
        with _answering(), self._engine.begin() as connection:
            connection.execute(kept)

    def begin(self, permit: Permit) -> None:
        with _answering(), self._engine.begin() as connection:
            connection.execute(insert(connection, permits).values(_row(permit)).on_conflict_do_nothing())

    def find(self, service: str, sha: str) -> Permit | None:
        query = select(permits).where(permits.c.service == service, permits.c.sha == sha)
        with _answering(), reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else Permit(**{**row, "decided_at": from_micros(row["decided_at"])})

    def bind(self, service: str, sha: str, checksum: str) -> bool:
        here = (permits.c.service == service) & (permits.c.sha == sha)
        first = update(permits).where(here & (permits.c.checksum == "")).values(checksum=checksum)
        with _answering(), self._engine.begin() as connection:
            connection.execute(first)
            found = connection.execute(select(permits.c.checksum).where(here)).scalar_one_or_none()
        return bool(found == checksum)

    def health(self) -> Health:
        """How many commits have a word."""
        try:
            with _answering(), reading(self._engine) as connection:
                count = connection.execute(select(func.count()).select_from(permits)).scalar_one()
        except Unavailable as error:
            return Health(ok=False, detail=str(error), remedy="check store.url")
        return Health(ok=True, detail=f"{count} commits have a permit")


def _row(permit: Permit) -> dict[str, object]:
    return {**permit.model_dump(), "decided_at": to_micros(permit.decided_at)}


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise Unavailable(f"the store does not answer: {error.orig}") from error


BACKEND = Backend(kind="permits", name="store", scopes=(), build=StorePermits)
