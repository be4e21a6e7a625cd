"""The port of the forge's issues: where the repair of something is tracked."""

from typing import Protocol

from activities.ports import Health


class Issues(Protocol):
    """Issues of ours, each with a key: asked again, the same issue is found. The body has to show the key."""

    def track(self, repository: str, *, key: str, title: str, body: str) -> str:
        """Open the key's issue, or bring it up to date and open it again. Markdown in `body` is safe already.

        Returns its address, `https://…`; empty where issues are not tracked. Raises NotFound for a repository
        that is not declared, Unavailable, Refused.
        """
        ...

    def address(self, repository: str, *, key: str) -> str:
        """Where people find the key's issue, from before it is opened; empty where issues are not tracked.

        Asks nobody. Raises NotFound for a repository that is not declared.
        """
        ...

    def resolve(self, repository: str, *, key: str, body: str) -> None:
        """Close the key's issue with new words. One that is closed or not there stays so.

        Raises NotFound for a repository that is not declared, Unavailable, Refused.
        """
        ...

    def health(self) -> Health: ...
