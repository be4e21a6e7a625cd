"""What each commit was built as, in the store: one row a commit, written once."""

from datetime import UTC, datetime

from sqlalchemy import Engine, RowMapping, func, select
from sqlalchemy.exc import DBAPIError

from activities.backends.store_sql import insert, reading, to_micros
from activities.backends.store_tables import builds
from activities.ports import Backend, Health
from leverframe.model.errors import Conflict, Unavailable
from leverframe.model.releases import Artifact


class StoreBuilds:
    """The `Builds` port. Raises Unavailable when the store does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, repository: str, sha: str) -> Artifact | None:
        """What was recorded first."""
        query = select(builds).where(builds.c.repository == repository, builds.c.sha == sha)
        try:
            with reading(self._engine) as connection:
                row = connection.execute(query).mappings().one_or_none()
        except DBAPIError as error:
            raise _unavailable(error) from error
        return None if row is None else _artifact(row)

    def keep(self, repository: str, artifact: Artifact) -> Artifact:
        """Record it, or find it recorded. Raises Conflict for another artifact of the same commit."""
        row = artifact.model_dump() | {
            "repository": repository,
            "recorded_at": to_micros(datetime.now(UTC)),
        }
        query = select(builds).where(builds.c.repository == repository, builds.c.sha == artifact.sha)
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(connection, builds).on_conflict_do_nothing(), row)
                known = _artifact(connection.execute(query).mappings().one())
        except DBAPIError as error:
            raise _unavailable(error) from error
        if known != artifact:
            raise Conflict(
                f"{artifact.sha[:12]} of {repository} is recorded as {_said(known)}, and now comes as"
                f" {_said(artifact)}: one commit has one build, so only the recorded one may run"
            )
        return known

    def tars(self, repository: str) -> frozenset[str]:
        """See `Builds.tars`."""
        query = select(builds.c.sha).where(builds.c.repository == repository, builds.c.image == "")
        try:
            with reading(self._engine) as connection:
                return frozenset(connection.execute(query).scalars())
        except DBAPIError as error:
            raise _unavailable(error) from error

    def health(self) -> Health:
        """How many builds are recorded."""
        try:
            with reading(self._engine) as connection:
                count = connection.execute(select(func.count()).select_from(builds)).scalar_one()
        except DBAPIError as error:
            return Health(ok=False, detail=str(_unavailable(error)), remedy="check store.url")
        return Health(ok=True, detail=f"commits recorded with what they were built as: {count}")


def _said(artifact: Artifact) -> str:
    return f"{artifact.digest} ({artifact.image or artifact.path})"


def _artifact(row: RowMapping) -> Artifact:
    return Artifact(**{name: row[name] for name in Artifact.model_fields})


def _unavailable(error: DBAPIError) -> Unavailable:
    return Unavailable(f"the store does not answer: {error.orig}")


BACKEND = Backend(kind="builds", name="store", scopes=(), build=StoreBuilds)
