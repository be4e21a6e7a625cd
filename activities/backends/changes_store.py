"""Changes in the store: the record of merge requests when no hosted forge keeps one."""

from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, RowMapping, func, select, update

from activities.backends.store_sql import answering, from_micros, insert, reading, to_micros
from activities.backends.store_tables import changes, checks, comments
from activities.ports import Backend, Health
from leverframe.model.changes import Author, Change, ChangeSpec, CheckResult, Priority
from leverframe.model.errors import Conflict, NotFound, Unavailable

_ATTEMPTS = 20
"""Another writer may take a change's number first; on SQLite that can't happen."""


class ChangesStore:
    """The `Changes` port over the store. A branch names its change; a comment is named by its key."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open_change(self, spec: ChangeSpec) -> Change:
        """Open a change, or return the one of the same branch, brought up to date.

        A change that the train took off opens again; its number and author stay.

        Raises:
            Conflict: the change of this branch has landed or was closed.
        """
        for _ in range(_ATTEMPTS):
            with answering(), self._engine.begin() as connection:
                found = _by_branch(connection, spec)
                if found is None:
                    found = _add(connection, spec)
                elif found.state in ("landed", "closed"):
                    raise Conflict(
                        f"the branch {spec.branch} belongs to {found.id}, which has {_ended(found)}"
                    )
                else:
                    found = _refresh(connection, found, spec)
                if found is not None:
                    return found
        raise Unavailable(f"no number was free for a change in {spec.repository}")

    def change(self, change: str) -> Change:
        """Raises NotFound."""
        with answering(), reading(self._engine) as connection:
            return _get(connection, change)

    def list_changes(self, repository: str, *, limit: int = 50) -> list[Change]:
        """Newest first."""
        wanted = (
            select(changes)
            .where(changes.c.repository == repository)
            .order_by(changes.c.number.desc())
            .limit(limit)
        )
        with answering(), reading(self._engine) as connection:
            return [_change(row) for row in connection.execute(wanted).mappings()]

    def mark_landed(self, change: str, sha: str) -> Change:
        """A landing is for ever: it wins over every other state. Raises NotFound."""
        return self._mark(change, from_states=("open", "ejected", "closed"), state="landed", landed_as=sha)

    def mark_ejected(self, change: str, detail: str) -> Change:
        """The change as it is after: one that has landed or was closed stays so.

        The store keeps no reason: `detail` is told in the train's comment. Raises NotFound.
        """
        return self._mark(change, from_states=("open",), state="ejected", landed_as=None)

    def comment(self, change: str, *, key: str, body: str) -> None:
        """Write a Markdown comment; the same key again replaces its text. Raises NotFound."""
        with answering(), self._engine.begin() as connection:
            _get(connection, change)
            last = select(func.coalesce(func.max(comments.c.position), 0)).where(
                comments.c.change_id == change
            )
            position = connection.execute(last).scalar_one() + 1
            text = _storable(body)
            written = insert(connection, comments).values(
                change_id=change, key=key, body=text, position=position
            )
            connection.execute(
                written.on_conflict_do_update(index_elements=["change_id", "key"], set_={"body": text})
            )

    def comments(self, change: str) -> list[tuple[str, str]]:
        """`(key, body)` in the order they were first written."""
        wanted = (
            select(comments.c.key, comments.c.body)
            .where(comments.c.change_id == change)
            .order_by(comments.c.position, comments.c.key)
        )
        with answering(), reading(self._engine) as connection:
            return [(key, body) for key, body in connection.execute(wanted)]

    def record_check(self, change: str, result: CheckResult) -> None:
        """Keep the result for (sha, check); a later result replaces it."""
        said = {
            "change_id": change,
            "outcome": result.outcome,
            "seconds": result.seconds,
            "summary": _storable(result.summary),
            "log": _storable(result.log),
            "recorded_at": to_micros(datetime.now(UTC)),
        }
        with answering(), self._engine.begin() as connection:
            written = insert(connection, checks).values(sha=result.sha, name=result.check, **said)
            connection.execute(written.on_conflict_do_update(index_elements=["sha", "name"], set_=said))

    def checks(self, sha: str) -> list[CheckResult]:
        """What each check last said of the commit, in the order of its name."""
        wanted = select(checks).where(checks.c.sha == sha).order_by(checks.c.name)
        with answering(), reading(self._engine) as connection:
            return [
                CheckResult(
                    check=row["name"],
                    sha=row["sha"],
                    outcome=row["outcome"],
                    seconds=row["seconds"],
                    summary=row["summary"],
                    log=row["log"],
                )
                for row in connection.execute(wanted).mappings()
            ]

    def health(self) -> Health:
        """Whether the tables can be read."""
        try:
            with answering(), reading(self._engine) as connection:
                count = connection.execute(select(func.count()).select_from(changes)).scalar_one()
        except Unavailable as error:
            return Health(ok=False, detail=str(error), remedy="check store.url")
        return Health(ok=True, detail=f"{count} changes")

    def _mark(
        self, change: str, *, from_states: tuple[str, ...], state: str, landed_as: str | None
    ) -> Change:
        with answering(), self._engine.begin() as connection:
            connection.execute(
                update(changes)
                .where(changes.c.id == change, changes.c.state.in_(from_states))
                .values(state=state, landed_as=landed_as)
            )
            return _get(connection, change)


def _by_branch(connection: Connection, spec: ChangeSpec) -> Change | None:
    wanted = select(changes).where(changes.c.repository == spec.repository, changes.c.branch == spec.branch)
    row = connection.execute(wanted).mappings().one_or_none()
    return None if row is None else _change(row)


def _get(connection: Connection, change: str) -> Change:
    row = connection.execute(select(changes).where(changes.c.id == change)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no change {change!r}")
    return _change(row)


def _add(connection: Connection, spec: ChangeSpec) -> Change | None:
    """The new change, or None when another writer was faster."""
    highest = select(func.coalesce(func.max(changes.c.number), 0)).where(
        changes.c.repository == spec.repository
    )
    number = connection.execute(highest).scalar_one() + 1
    adding = (
        insert(connection, changes)
        .values(
            id=f"{spec.repository}/{number}",
            repository=spec.repository,
            number=number,
            branch=spec.branch,
            author_kind=spec.author.kind,
            author_name=spec.author.name,
            state="open",
            opened_at=to_micros(datetime.now(UTC)),
            **_content(spec),
        )
        .on_conflict_do_nothing()
        .returning(*changes.c)
    )
    # On PostgreSQL the row count does not tell whether the row is new; what comes back does.
    row = connection.execute(adding).mappings().one_or_none()
    return None if row is None else _change(row)


def _refresh(connection: Connection, found: Change, spec: ChangeSpec) -> Change:
    connection.execute(update(changes).where(changes.c.id == found.id).values(state="open", **_content(spec)))
    return _get(connection, found.id)


def _content(spec: ChangeSpec) -> dict[str, str | int]:
    return {
        "head": spec.head,
        "title": _storable(spec.title),
        "body": _storable(spec.body),
        "priority": int(spec.priority),
    }


def _change(row: RowMapping) -> Change:
    return Change(
        id=row["id"],
        repository=row["repository"],
        branch=row["branch"],
        head=row["head"],
        title=row["title"],
        body=row["body"],
        author=Author(kind=row["author_kind"], name=row["author_name"]),
        priority=Priority(row["priority"]),
        state=row["state"],
        landed_as=row["landed_as"],
        opened_at=from_micros(row["opened_at"]),
    )


def _ended(change: Change) -> str:
    return "landed" if change.state == "landed" else "been closed"


def _storable(text: str) -> str:
    """PostgreSQL's text can't hold NUL."""
    return text.replace("\0", "�")


BACKEND = Backend(kind="changes", name="store", scopes=(), build=ChangesStore)
