"""Deployments in the store: one row a release, one a hand that moved production's overlay."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine, RowMapping, and_, func, or_, select

from activities.backends.store_sql import answering, from_micros, insert, reading, to_micros
from activities.backends.store_tables import deployments, repointings
from activities.ports import Backend, Health
from leverframe.model.deployments import DeploymentHistory, DeploymentRecord, Repointing
from leverframe.model.errors import Conflict, Unavailable

_MOMENTS = frozenset(
    {
        "committed_at",
        "opened_at",
        "landed_at",
        "began_at",
        "entered_at",
        "live_at",
        "recovered_at",
        "ended_at",
    }
)

_ON_ITS_WAY = (
    "began_at",
    "replaced",
    "entered_at",
    "live_at",
    "recovered_at",
    "ended_at",
    "outcome",
    "reached_percent",
    "detail",
)
"""What changes while a release goes on, or when it is begun again; the rest was known before."""


class DeploymentsStore:
    """The port `Deployments` over the store. Raises Unavailable when the store does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(self, record: DeploymentRecord) -> None:
        """Keep a release. One whose end is kept stays as it is, whatever comes late.

        But one that failed may have been begun again after that.
        """
        row = _row(record)
        written = insert(self._engine, deployments).values(row)
        known = deployments.c
        again = and_(known.outcome == "failed", known.ended_at < row["began_at"])
        kept = written.on_conflict_do_update(
            index_elements=["service", "sha"],
            set_={name: row[name] for name in _ON_ITS_WAY},
            where=or_(known.ended_at.is_(None), again),
        )
        with answering(), self._engine.begin() as connection:
            connection.execute(kept)

    def keep_repointing(self, moved: Repointing) -> None:
        """Keep it by the commit that moved the overlay."""
        written = insert(self._engine, repointings).values(_row(moved))
        with answering(), self._engine.begin() as connection:
            connection.execute(written.on_conflict_do_nothing())

    def history(self) -> DeploymentHistory:
        """All of it. Raises Conflict for a row that is no record any more."""
        with answering(), reading(self._engine) as connection:
            kept = connection.execute(select(deployments)).mappings().all()
            moved = connection.execute(select(repointings)).mappings().all()
        try:
            return DeploymentHistory(
                deployments=tuple(DeploymentRecord.model_validate(_fields(row)) for row in kept),
                repointings=tuple(Repointing.model_validate(_fields(row)) for row in moved),
            )
        except ValidationError as error:
            raise Conflict("a row of the deployments is no record: somebody changed it") from error

    def health(self) -> Health:
        """Whether the store answers."""
        try:
            with answering(), reading(self._engine) as connection:
                count = connection.execute(select(func.count()).select_from(deployments)).scalar_one()
        except Unavailable as error:
            return Health(ok=False, detail=str(error), remedy="Check store.url and that the store runs.")
        return Health(ok=True, detail=f"{count} releases kept")


def _row(value: DeploymentRecord | Repointing) -> dict[str, Any]:
    fields = dict(value)
    author = fields.pop("author")
    row = {"change_id": fields.pop("change"), "author_kind": author.kind, "author_name": author.name}
    for name, content in fields.items():
        # PostgreSQL takes no NUL in a text.
        text = content.replace("\0", "") if isinstance(content, str) else content
        row[name] = to_micros(text) if isinstance(text, datetime) else text
    return row


def _fields(row: RowMapping) -> dict[str, Any]:
    fields = {
        name: from_micros(content) if name in _MOMENTS and content is not None else content
        for name, content in row.items()
    }
    author = {"kind": fields.pop("author_kind"), "name": fields.pop("author_name")}
    fields["change"] = fields.pop("change_id")
    return {**fields, "author": author}


BACKEND = Backend(kind="deployments", name="store", scopes=(), build=DeploymentsStore)
