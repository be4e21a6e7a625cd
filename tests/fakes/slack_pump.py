"""What the click pump works with: an engine that notes votes, and forms that note what is shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from activities.backends.chat_clicks import StoreClicks
from leverframe.model.errors import BadInput, NotFound
from policies.question import Ending, Question
from tests.fakes.slack_desk import asked
from workflows.messages import Vote

CARD = "a" * 24


@dataclass
class Engines:
    """A client of the engine that notes votes, and answers or fails as it is told."""

    votes: list[tuple[str, str, Vote]] = field(default_factory=list)
    """Approval, update id, vote."""
    failures: list[BaseException] = field(default_factory=list)

    def get_workflow_handle(self, approval: str) -> "Engines":
        self.approval = approval
        return self

    async def execute_update(self, name: str, vote: Vote, *, id: str, **options: Any) -> str:
        assert name == "decide"
        self.votes.append((self.approval, id, vote))
        if self.failures:
            raise self.failures.pop(0)
        return "approved by Ada"


@dataclass
class NotedForms:
    """Forms that note what is shown and said."""

    clicks: StoreClicks
    ending: Ending | None = None
    failure: Exception | None = None
    shown: list[tuple[str, str]] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    redrawn: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    caught_up: Event = field(default_factory=Event)

    def asked(self, card: str) -> tuple[Question, Ending | None]:
        if card != CARD:
            raise NotFound("no question was shown as that")
        return asked(), self.ending

    def open_form(self, trigger: str, *, card: str, approve: bool) -> None:
        self._show(trigger, "yes" if approve else "no")

    def open_details(self, trigger: str, *, card: str) -> None:
        self._show(trigger, "details")

    def reason(self, card: str, *, approve: bool, values: Mapping[str, str]) -> str:
        if "bad" in values:
            raise BadInput("the form is wrong")
        return values.get("words", "")

    def tell_privately(self, card: str, *, user: str, text: str) -> None:
        self.told.append((user, text))

    def redraw(self, card: str) -> None:
        self.redrawn.append(card)

    def retire(self, card: str) -> None:
        self.retired.append(card)

    def catch_up(self) -> None:
        self.caught_up.set()

    def _show(self, trigger: str, kind: str) -> None:
        if self.failure:
            raise self.failure
        self.shown.append((trigger, kind))
