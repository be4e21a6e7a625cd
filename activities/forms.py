"""The port of a chat whose people answer in forms: what they did, kept until it is worked off.

What people do arrives at the gateway. It is kept first and worked off afterwards, so that the chat gets its
answer at once and nothing is lost when the process ends in between.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import Field, StringConstraints

from leverframe.model.frozen import Frozen, Instant
from policies.people import TeamId, UserId
from policies.question import Ending, Question

CardId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]
"""Names one question as it was shown to one group. It says nothing by itself: the store knows the rest."""


class Click(Frozen):
    """What one person did with one question."""

    id: str
    """The same for two deliveries of one click."""
    kind: Literal["form_yes", "form_no", "details", "yes", "no"]
    """`form_…` and `details` ask for a form; `yes` and `no` are the form's answers."""
    card: CardId
    team: TeamId
    """The workspace that the person's account belongs to."""
    user: UserId
    trigger: str = Field(default="", max_length=200)
    """Lets us show a form for three seconds."""
    values: dict[str, Annotated[str, StringConstraints(max_length=3000)]] = Field(
        default_factory=dict, max_length=10
    )
    """Field of the form → what was entered."""
    received_at: Instant


class Clicks(Protocol):
    """The durable queue of clicks. Synchronous; several processes may share one."""

    def keep(self, click: Click) -> bool:
        """Keep a click; False when it is known already. Raises Unavailable."""
        ...

    def waiting(self, *, before: datetime, limit: int) -> list[Click]:
        """Clicks received before that time which nobody has worked off, oldest first."""
        ...

    def done(self, ids: Sequence[str], at: datetime) -> None:
        """These are worked off. Idempotent."""
        ...


class Forms(Protocol):
    """The gateway's side of such a chat. Raises NotFound for a card that was never shown."""

    clicks: Clicks

    def asked(self, card: str) -> tuple[Question, Ending | None]:
        """The question as that group was asked it, and how it ended if it has."""
        ...

    def open_form(self, trigger: str, *, card: str, approve: bool) -> None:
        """Show the form that takes a yes or a no. Raises Refused when the trigger is too old."""
        ...

    def open_details(self, trigger: str, *, card: str) -> None:
        """Show everything that there is to see. Raises Refused when the trigger is too old."""
        ...

    def reason(self, card: str, *, approve: bool, values: Mapping[str, str]) -> str:
        """What the form says, as the vote's reason. Raises BadInput with a sentence for the person."""
        ...

    def tell_privately(self, card: str, *, user: str, text: str) -> None:
        """Say something to one person beside the question."""
        ...

    def redraw(self, card: str) -> None:
        """Show the question as it stands now, whatever is shown."""
        ...

    def retire(self, card: str) -> None:
        """The approval is over and may have left without a word: whatever is shown gets an ending."""
        ...

    def catch_up(self) -> None:
        """Show the endings that could not be shown when they came. Idempotent."""
        ...
