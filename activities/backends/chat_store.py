"""The terminal as chat: questions are kept in the store and logged; people answer by command.

`leverframe approvals list` asks the engine, so an answer never depends on what is kept here.
"""

from collections.abc import Sequence

import structlog
from sqlalchemy import Engine

from activities.backends.chat_cards import Card, Cards
from activities.ports import Backend, Health
from leverframe.model.errors import NotFound, Unavailable
from leverframe.model.untrusted import Untrusted
from policies.people import Person
from policies.question import Ending, Question

_LINE = 400
_NOTICE = 4000
_PARAGRAPHS = 100


class StoreChat:
    """People are asked through the log. Raises Unavailable when the store does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._cards = Cards(engine, "terminal")
        self._log = structlog.get_logger("leverframe.approvals")

    def ask(self, question: Question, group: str) -> str:
        """Keep the question and log one line; the same question and group again change nothing."""
        known = any(
            card.group == group and not card.held for card in self._cards.of_approval(question.approval)
        )
        self._cards.keep(question, group, held=False)
        if not known:
            self._log.info(
                "approval wanted",
                approval=question.approval,
                group=group,
                title=_line(question.title),
                expires_at=question.expires_at.isoformat(),
            )
        return f"leverframe approve {question.approval}"

    def remind(self, approval: str, group: str, *, missing: Sequence[Person], text: str) -> None:
        """Log whom the question waits for. Raises NotFound when it was never shown to the group."""
        if not any(card.group == group and not card.held for card in self._cards.of_approval(approval)):
            raise NotFound(f"{approval} was not shown to {group} in the terminal")
        names = ", ".join(_line(person.name) for person in missing)
        self._log.info("approval still wanted", approval=approval, group=group, of=names, text=_line(text))

    def close(self, approval: str, ending: Ending) -> None:
        """Keep how the question ended. The first ending stands; an unknown question is left alone."""
        _, first = self._cards.end(approval, ending)
        if first:
            self._log.info("approval closed", approval=approval, state=ending.state, text=_line(ending.text))

    def hold(self, question: Question, group: str) -> None:
        """Keep the question for the next digest."""
        self._cards.keep(question, group, held=True)

    def digest(self, day: str) -> int:
        """Log what is held, one line a group, once a day; returns how many questions that are."""
        key = f"digest/{day}"
        held = [] if self._cards.is_told(key) else self._cards.held()
        for group in sorted({card.group for card in held}):
            titles = [_line(card.question.title) for card in held if card.group == group]
            self._log.info("approvals wanted, held until now", group=group, day=day, titles=titles)
        self._cards.show(held)
        self._cards.note_told(key)
        return len(held)

    def tell(self, key: str, *, text: str) -> None:
        """Log a notice, a line for each of its paragraphs; the same key is told once."""
        if not self._cards.note_told(f"notice/{key}"):
            return
        paragraphs = [part for part in text.split("\n\n") if part.strip()]
        for number, part in enumerate(paragraphs[:_PARAGRAPHS], start=1):
            said = Untrusted(" · ".join(part.splitlines())).for_terminal(_NOTICE)
            self._log.warning("notice", key=key, part=f"{number} of {len(paragraphs)}", text=said)

    def posted(self, *, open_only: bool = True) -> list[Card]:
        """What was asked here, oldest first."""
        return self._cards.open() if open_only else self._cards.all()

    def health(self) -> Health:
        """Whether the store answers."""
        try:
            waiting = {card.question.approval for card in self._cards.open()}
        except Unavailable as error:
            return Health(ok=False, detail=str(error), remedy="Check store.url and that the store runs.")
        return Health(ok=True, detail=f"approvals that wait for an answer: {len(waiting)}")


def _line(text: str) -> str:
    return Untrusted(text).for_terminal(_LINE)


BACKEND = Backend(kind="chat", name="terminal", scopes=(), build=StoreChat)
