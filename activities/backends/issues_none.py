"""No issues: where changes are kept in the store there is nothing to open one in."""

from activities.ports import Backend, Health


class NoIssues:
    """The `Issues` port of a fleet without a forge."""

    def track(self, repository: str, *, key: str, title: str, body: str) -> str:
        return ""

    def address(self, repository: str, *, key: str) -> str:
        return ""

    def resolve(self, repository: str, *, key: str, body: str) -> None:
        """There is none."""

    def health(self) -> Health:
        return Health(ok=True, detail="repairs are tracked in no issues")


BACKEND = Backend(kind="issues", name="none", scopes=(), build=NoIssues)
