"""What we know of merge requests and tell no forge: kept in the store, where no body can forge it."""

from collections.abc import Collection

from sqlalchemy import Connection, Engine, RowMapping, select

from activities.backends.store_sql import answering, insert, reading
from activities.backends.store_tables import vouched_changes
from leverframe.model.changes import Author, Change, Priority
from leverframe.model.frozen import Frozen, Sha


class Vouched(Frozen):
    """What our store says of one merge request. Author and priority are true of `head` only."""

    head: Sha
    author: Author
    priority: Priority
    ejected: bool = False
    landed_as: Sha | None = None


def end_of(change: Change, *, ejected: bool = False, landed_as: str | None = None) -> Vouched:
    """What to record when a change, as it was last seen, is taken off or lands."""
    return Vouched(
        head=change.head,
        author=change.author,
        priority=change.priority,
        ejected=ejected,
        landed_as=landed_as,
    )


class VouchedChanges:
    """The table `vouched_changes`, keyed by place (`github.com/acme/shop`) and number."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, place: str, number: int) -> Vouched | None:
        """What is recorded of one merge request."""
        return self.among(place, (number,)).get(number)

    def among(self, place: str, numbers: Collection[int]) -> dict[int, Vouched]:
        """Number → what is recorded, for those of which something is."""
        wanted = select(vouched_changes).where(
            vouched_changes.c.place == place, vouched_changes.c.number.in_(numbers)
        )
        with answering(), reading(self._engine) as connection:
            return {row["number"]: _vouched(row) for row in connection.execute(wanted).mappings()}

    def open(self, place: str, number: int, *, head: str, author: Author, priority: Priority) -> None:
        """Vouch for a head. The author of a head stays who it was; an ejection is over."""
        row: dict[str, object] = {
            "place": place, "number": number, "head": head, "author_kind": author.kind,
            "author_name": author.name, "priority": int(priority), "ejected": False,
        }  # fmt: skip
        with answering(), self._engine.begin() as connection:
            found = self._row(connection, place, number)
            if found is not None and found["head"] == head:
                row |= {"author_kind": found["author_kind"], "author_name": found["author_name"]}
            self._write(connection, row)

    def settle(self, place: str, number: int, *, seen: Vouched) -> None:
        """Record an end (`seen.ejected` or `seen.landed_as`); of a merge request not opened through us
        also who the forge says opened it. A landing is for ever."""
        row: dict[str, object] = {
            "place": place, "number": number, "head": seen.head, "author_kind": seen.author.kind,
            "author_name": seen.author.name, "priority": int(seen.priority), "ejected": seen.ejected,
            "landed_as": seen.landed_as,
        }  # fmt: skip
        with answering(), self._engine.begin() as connection:
            found = self._row(connection, place, number)
            if found is not None:
                ended = {
                    "ejected": seen.ejected or found["ejected"],
                    "landed_as": seen.landed_as or found["landed_as"],
                }
                row = {**found, **ended}
            self._write(connection, row)

    @staticmethod
    def _row(connection: Connection, place: str, number: int) -> RowMapping | None:
        wanted = select(vouched_changes).where(
            vouched_changes.c.place == place, vouched_changes.c.number == number
        )
        return connection.execute(wanted).mappings().one_or_none()

    @staticmethod
    def _write(connection: Connection, row: dict[str, object]) -> None:
        written = insert(connection, vouched_changes).values(row)
        connection.execute(written.on_conflict_do_update(index_elements=["place", "number"], set_=row))


def _vouched(row: RowMapping) -> Vouched:
    return Vouched(
        head=row["head"],
        author=Author(kind=row["author_kind"], name=row["author_name"]),
        priority=Priority(row["priority"]),
        ejected=row["ejected"],
        landed_as=row["landed_as"],
    )
