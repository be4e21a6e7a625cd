"""Release notes in the store: one row a release that reached 100 %."""

from pydantic import ValidationError
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError

from activities.backends.store_sql import insert, reading, to_micros
from activities.backends.store_tables import release_notes
from activities.ports import Backend, Health
from leverframe.model.errors import BadInput, Conflict, Unavailable
from leverframe.model.release_notes import Marked


class NotesStore:
    """The port `Notes`. Raises Unavailable when the store does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, marked: Marked) -> None:
        """Keep it by service and commit. Raises BadInput for a release that never became stable."""
        live = marked.notes.moments.live_at
        if live is None:
            raise BadInput(f"{marked.notes.sha[:12]} never became stable, so it has no notes to keep")
        row = {
            "service": marked.notes.service,
            "sha": marked.notes.sha,
            "live_at": to_micros(live),
            "marked": marked.model_dump_json(),
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    insert(connection, release_notes).on_conflict_do_update(
                        index_elements=["service", "sha"], set_=row
                    ),
                    row,
                )
        except DBAPIError as error:
            raise _unavailable(error) from error

    def find(self, service: str, sha: str | None = None) -> Marked | None:
        """The notes of a commit, or of the newest release. Raises Conflict for a row that is none."""
        query = select(release_notes.c.marked).where(release_notes.c.service == service)
        if sha is not None:
            query = query.where(release_notes.c.sha == sha)
        try:
            with reading(self._engine) as connection:
                kept = connection.execute(
                    query.order_by(release_notes.c.live_at.desc(), release_notes.c.sha).limit(1)
                ).scalar_one_or_none()
        except DBAPIError as error:
            raise _unavailable(error) from error
        try:
            return None if kept is None else Marked.model_validate_json(kept)
        except ValidationError as error:
            raise Conflict(f"the kept notes of {service} are none of ours any more") from error

    def health(self) -> Health:
        """How many releases have notes."""
        try:
            with reading(self._engine) as connection:
                count = connection.execute(select(func.count()).select_from(release_notes)).scalar_one()
        except DBAPIError as error:
            return Health(ok=False, detail=str(_unavailable(error)), remedy="check store.url")
        return Health(ok=True, detail=f"releases whose notes are kept: {count}")


def _unavailable(error: DBAPIError) -> Unavailable:
    return Unavailable(f"the store does not answer: {error.orig}")


BACKEND = Backend(kind="notes", name="store", scopes=(), build=NotesStore)
