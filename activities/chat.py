"""Asking people: questions go out through the chats, answers come back as the approval's Update.

The chats have an order. The next one takes over while one is down, and nothing here ever answers for anybody.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TypeVar
from urllib.parse import quote

from temporalio import activity

from activities.failures import typed_failures
from activities.ports import Chat
from leverframe.model.errors import LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.frozen import Frozen
from policies.people import Person
from policies.question import Ending, Question

T = TypeVar("T")

PATIENCE = 3
"""Attempts at one chat before it is the next one's turn."""
LONG = timedelta(seconds=30)
"""A chat that asks us to stay away for longer passes its turn on at once."""


class Shown(Frozen):
    """Where a question went."""

    chat: str
    where: str
    """A permalink or a hint."""


class Reminder(Frozen):
    """A question still waits for some of a group."""

    question: Question
    group: str
    missing: tuple[Person, ...]
    text: str


class ChatActivities:
    """Runs on the hands queue. Everything is idempotent by the approval's id, the day or the notice's key."""

    def __init__(self, chats: Mapping[str, Chat], ui_url: str = "") -> None:
        """`chats`: first choice first. `ui_url`: the engine's own pages; without it pages link to none."""
        self._chats = chats
        self._ui_url = ui_url.rstrip("/")

    @activity.defn(name="ask")
    @typed_failures
    def ask(self, question: Question, group: str) -> Shown:
        """Show a question to a group, in the first chat that works."""
        chat, where = self._with_one(lambda chat: chat.ask(question, group))
        return Shown(chat=chat, where=where)

    @activity.defn(name="remind")
    @typed_failures
    def remind(self, reminder: Reminder) -> Shown:
        """Remind a group; a chat that never showed it the question does so now."""

        def reminded(chat: Chat) -> str:
            approval, group = reminder.question.approval, reminder.group
            try:
                chat.remind(approval, group, missing=reminder.missing, text=reminder.text)
            except NotFound:
                return chat.ask(reminder.question, group)
            return ""

        chat, where = self._with_one(reminded)
        return Shown(chat=chat, where=where)

    @activity.defn(name="hold")
    @typed_failures
    def hold(self, question: Question, group: str) -> None:
        """Keep a question for the group's next digest."""
        self._with_one(lambda chat: chat.hold(question, group))

    @activity.defn(name="close")
    @typed_failures
    def close(self, approval: str, ending: Ending) -> None:
        """Say how a question ended in every chat: any of them may have shown it."""
        self._with_each(lambda chat: chat.close(approval, ending))

    @activity.defn(name="digest")
    @typed_failures
    def digest(self, day: str) -> int:
        """Show what is held in each chat; returns how many questions. `day`: `2026-11-22`."""
        shown: list[int] = []
        self._with_each(lambda chat: shown.append(chat.digest(day)))
        return sum(shown)

    @activity.defn(name="tell")
    @typed_failures
    def tell(self, key: str, text: str) -> None:
        """Say something that asks nothing, once for each key, in the first chat that works."""
        self._with_one(lambda chat: chat.tell(key, text=text))

    @activity.defn(name="page")
    @typed_failures
    def page(self, key: str, text: str) -> None:
        """As `tell`, with a link to the workflow that says it."""
        info = activity.info()
        where = f"/namespaces/{info.workflow_namespace}/workflows/{quote(info.workflow_id or '', safe='')}"
        said = f"{text}\n{self._ui_url}{where}" if self._ui_url and info.workflow_id else text
        self._with_one(lambda chat: chat.tell(key, text=said))

    def _with_one(self, do: Callable[[Chat], T]) -> tuple[str, T]:
        """Do it in the chat whose turn it is; one that refuses, or is away for long, passes its turn on.

        Returns the chat's name, and what it answered.

        Raises:
            Unavailable: the chat did not answer; trying again brings the next one's turn.
            Refused: there is no chat, or each one refuses for good.
        """
        failures: list[LeverframeError] = []
        for name, chat in self._in_turn():
            try:
                return name, do(chat)
            except Unavailable as error:
                if error.wait is None or error.wait <= LONG:
                    raise
                failures.append(error)
            except LeverframeError as error:
                failures.append(error)
        said = "; ".join(str(error) for error in failures) or "no chat is configured"
        if any(isinstance(error, Unavailable) for error in failures):
            raise Unavailable(said, wait=LONG)
        raise Refused(said)

    def _in_turn(self) -> Iterator[tuple[str, Chat]]:
        """The chats in their order, beginning with the one whose turn this attempt is."""
        ordered = list(self._chats.items())
        turn = (activity.info().attempt - 1) // PATIENCE % max(1, len(ordered))
        return iter(ordered[turn:] + ordered[:turn])

    def _with_each(self, do: Callable[[Chat], None]) -> None:
        """Do it in every chat, even when one fails. Raises Unavailable or Refused in the words of those."""
        failures: list[LeverframeError] = []
        for chat in self._chats.values():
            try:
                do(chat)
            except NotFound:
                continue
            except LeverframeError as error:
                failures.append(error)
        if failures:
            said = "; ".join(str(error) for error in failures)
            waits = [error.wait for error in failures if isinstance(error, Unavailable) and error.wait]
            if any(isinstance(error, Unavailable) for error in failures):
                raise Unavailable(said, wait=max(waits, default=None))
            raise Refused(said)
