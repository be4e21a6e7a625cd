"""Slack as chat: questions in channels, answers from forms, endings in the place of the buttons.

Slack has no key that makes posting twice harmless, so a message is posted as one line without buttons, and
the question is put in its place by an update, which may be repeated. When nobody knows whether a post
arrived, the line may stand there twice; the buttons never do.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock

from pydantic import SecretStr
from sqlalchemy import Engine

from activities.backends.chat_cards import Card, Cards
from activities.backends.chat_clicks import StoreClicks
from activities.backends.slack_api import NEEDED, SlackApi
from activities.backends.slack_blocks import MAX_ROWS, Mode, announcement, ending_line, message
from activities.backends.slack_forms import answer_form, details_form, reason_of
from activities.backends.slack_messages import Message, Messages
from activities.backends.slack_words import SECTION, Block, fit, fit_lines, section
from activities.ports import Backend, Health
from leverframe.model.errors import BadConfiguration, LeverframeError, NotFound, Refused, Unavailable
from policies.people import Person
from policies.question import Ending, Question

_LOCKS = 64
_REDRAWINGS = 5
_DIGEST = timedelta(days=2)
_ELSEWHERE = timedelta(seconds=5)
"""When another process is posting the message, it is done by then."""
_CLOSING = timedelta(minutes=3)
"""Whoever closes a question has stopped trying by then."""
_FORGOTTEN = timedelta(days=14)


class SlackChat:
    """Implements `Chat` for the workers and `Forms` for the gateway. Safe for threads."""

    def __init__(
        self,
        engine: Engine,
        *,
        token: SecretStr | None,
        team: str,
        mode: Mode,
        channels: Mapping[str, str],
        notices: str,
        batch_seconds: int,
        api_url: str = "https://slack.com/api/",
    ) -> None:
        """
        Args:
            engine: the store.
            token: the bot's, `xoxb-…`.
            team: the workspace's id.
            mode: whether there are buttons.
            channels: group → channel id.
            notices: channel id for notices, and for groups without a channel.
            batch_seconds: how long like questions join one message.
            api_url: where Slack's Web API is.

        Raises:
            BadConfiguration: one of token, team and notices is missing.
        """
        if token is None or not team or not notices:
            raise BadConfiguration("chat.slack: give bot_token, team and notices (see connect-slack.md)")
        self._api = SlackApi(token, api_url=api_url)
        self._cards = Cards(engine, f"slack/{team}")
        self._messages = Messages(engine)
        self.clicks = StoreClicks(engine)
        self._team = team
        self._mode: Mode = mode
        self._channels = channels
        self._notices = notices
        self._within = timedelta(seconds=batch_seconds)
        # Two drawings of one message must not overtake each other on their way to Slack.
        self._locks = [Lock() for _ in range(_LOCKS)]

    def ask(self, question: Question, group: str) -> str:
        """Show the question in the group's channel; returns the message's address."""
        card = self._cards.keep(question, group, held=False)
        place = self._messages.place(
            card,
            channel=self._channels.get(group, self._notices),
            batch=question.batch,
            within=self._within,
            most=MAX_ROWS,
        )
        self._draw(place)
        self._mention_joining(card, place)
        return self._address(place)

    def remind(self, approval: str, group: str, *, missing: Sequence[Person], text: str) -> None:
        """Mention in the thread those who have an account here. A repeated call mentions them again."""
        for card in self._cards.of_approval(approval):
            if card.group == group and card.message is not None and card.ending is None:
                if self._messages.message(card.message).ts is None:
                    continue
                # Slack takes a line for a thread whose message is gone, and nobody sees it.
                self._draw(card.message, always=True)
                shown = self._messages.message(card.message)
                if shown.ts is not None:
                    self._remind(card, shown, missing, text)
                return
        raise NotFound(f"{approval} is not shown to {group} in Slack")

    def close(self, approval: str, ending: Ending) -> None:
        """Put the ending in the place of the buttons and one line in the thread, wherever it was shown."""
        cards, _ = self._cards.end(approval, ending)
        _each(partial(self._show_ending, card) for card in cards)

    def hold(self, question: Question, group: str) -> None:
        """Keep the question for the next digest."""
        self._cards.keep(question, group, held=True)

    def digest(self, day: str) -> int:
        """Show what is held, one message a group (and another when one is full)."""
        key = batch = f"digest/{day}"
        if not self._cards.is_told(key):
            for card in self._cards.held():
                channel = self._channels.get(card.group, self._notices)
                self._messages.place(card, channel=channel, batch=batch, within=_DIGEST, most=MAX_ROWS)
        places = self._messages.of_batch(batch)
        _each(partial(self._draw, place) for place in places)
        self._cards.note_told(key)
        return sum(len(self._cards.of_message(place)) for place in places)

    def tell(self, key: str, *, text: str) -> None:
        """Post to the channel for notices; the same key is told once."""
        lines = [fit(line, SECTION) for line in text.splitlines()]
        self._say_once(f"notice/{key}", self._notices, fit_lines(lines))

    def health(self) -> Health:
        """Whether the token is one of the workspace's and allows what is needed, and nothing else."""
        try:
            found = self._api.installed()
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="Check chat.slack.bot_token and the network.")
        detail = f"workspace {found.team_name} ({found.team}), mode {self._mode}"
        if found.team != self._team:
            remedy = f"Set chat.slack.team to the workspace of the token, or use a token of {self._team}."
            return Health(ok=False, detail=detail, remedy=remedy)
        missing, excessive = sorted(NEEDED - found.scopes), sorted(found.scopes - NEEDED)
        if missing or excessive:
            wrong = [f"missing scope {name}" for name in missing]
            wrong += [f"scope {name} is not needed" for name in excessive]
            remedy = "Install the app again from deploy/slack-app.yml."
            return Health(ok=False, detail=f"{detail}; {'; '.join(wrong)}", remedy=remedy)
        return Health(ok=True, detail=detail)

    def asked(self, card: str) -> tuple[Question, Ending | None]:
        """The question of a card, and how it ended."""
        found = self._cards.card(card)
        return found.question, found.ending

    def open_form(self, trigger: str, *, card: str, approve: bool) -> None:
        """Show the form of a yes or a no. Raises Refused for a question that has ended."""
        found = self._cards.card(card)
        if found.ending is not None:
            raise Refused(f"this question has ended: {found.ending.text}")
        self._api.open_view(trigger, answer_form(found, approve=approve))

    def open_details(self, trigger: str, *, card: str) -> None:
        """Show everything."""
        self._api.open_view(trigger, details_form(self._cards.card(card)))

    def reason(self, card: str, *, approve: bool, values: Mapping[str, str]) -> str:
        """What the form says, as the vote's reason."""
        return reason_of(self._cards.card(card), approve=approve, values=values)

    def tell_privately(self, card: str, *, user: str, text: str) -> None:
        """Say something to one person where the question is shown."""
        found = self._cards.card(card)
        shown = self._messages.message(found.message) if found.message else None
        if shown is None or shown.ts is None:
            raise NotFound(f"the question of card {card} is shown nowhere")
        line = fit(text, SECTION)
        self._api.whisper(shown.channel, user=user, text=line, blocks=[section(line)], thread=None)

    def redraw(self, card: str) -> None:
        """Show the question as it stands, even if we believe that it is shown so."""
        found = self._cards.card(card)
        if found.message is not None:
            self._draw(found.message, always=True)

    def retire(self, card: str) -> None:
        """End a question whose approval is over. An ending that is known already stands."""
        approval = self._cards.card(card).question.approval
        over = Ending(
            state="open",
            text=f"The approval is over: leverframe approvals show {approval}",
            ended_at=datetime.now(UTC),
        )
        self.close(approval, over)

    def catch_up(self) -> None:
        """Show the endings that `close` could not show; it has given up by now."""
        now = datetime.now(UTC)
        late = self._cards.unshown(ended=_told_ending(""), since=now - _FORGOTTEN)
        _each(
            partial(self._show_ending, card)
            for card in late
            if card.ending is not None and card.ending.ended_at < now - _CLOSING
        )

    def _show_ending(self, card: Card) -> None:
        """Put the ending in the place of the buttons, and once in the thread."""
        if card.message is None or card.ending is None:
            return
        self._draw(card.message)
        shown = self._messages.message(card.message)
        if shown.ts is not None:
            line = ending_line(card.question, card.ending)
            self._say_once(_told_ending(card.id), shown.channel, line, thread=shown.ts)

    def _draw(self, place: str, *, always: bool = False) -> None:
        """Make the message show its cards as they are; post it first if nobody has."""
        with self._locks[hash(place) % _LOCKS]:
            for _ in range(_REDRAWINGS):
                shown, cards = self._messages.message(place), self._cards.of_message(place)
                if shown.ts is None:
                    if all(card.ending is not None for card in cards):
                        return
                    self._announce(shown, cards)
                    continue
                blocks = message(cards, self._mode)
                drawing = _hash(blocks)
                if drawing == shown.drawn and not always:
                    return
                always = False
                self._put(shown, shown.ts, cards, blocks)

    def _announce(self, shown: Message, cards: Sequence[Card]) -> None:
        """Post the line without buttons that the question takes the place of."""
        if not self._messages.claim(shown.id):
            raise Unavailable("another process is posting this message", wait=_ELSEWHERE)
        line = announcement(cards)
        try:
            ts = self._api.post(shown.channel, text=line, blocks=[section(line)])
        except LeverframeError:
            self._messages.unclaim(shown.id)
            raise
        self._messages.posted(shown.id, ts)

    def _put(self, shown: Message, ts: str, cards: Sequence[Card], blocks: list[Block]) -> None:
        try:
            self._api.update(shown.channel, ts, text=announcement(cards), blocks=blocks)
        except NotFound:
            # Somebody deleted the message: an open question is asked again, an ended one is not missed.
            self._messages.lost(shown.id)
            return
        self._messages.drew(shown.id, _hash(blocks), over=shown.drawn)

    def _mention_joining(self, card: Card, place: str) -> None:
        """A question that joined a message is an edit, which people miss: say so in the thread."""
        shown = self._messages.message(place)
        first = self._cards.of_message(place)[0]
        if shown.ts is not None and first.id != card.id and card.ending is None:
            line = f"Asked here, too: {fit(card.question.title)}"
            self._say_once(f"joined/{card.id}", shown.channel, line, thread=shown.ts)

    def _remind(self, card: Card, shown: Message, missing: Sequence[Person], text: str) -> None:
        mentions = [
            f"<@{account.user}>"
            for person in missing
            for account in person.slack
            if account.team == self._team
        ]
        line = fit_lines([fit(card.question.title), fit(text, 600)])
        blocks = [section(line)]
        if mentions:
            # The mentions are ours: people.yaml has nothing in them but letters and digits.
            called = {"type": "mrkdwn", "text": fit_lines([" ".join(mentions[:50])])}
            blocks.insert(0, {"type": "section", "text": called})
        self._api.post(shown.channel, text=line, blocks=blocks, thread=shown.ts)

    def _say_once(self, key: str, channel: str, line: str, *, thread: str | None = None) -> None:
        """Post a line once: after a post that nobody knows of, it may be there twice and does no harm."""
        if not self._cards.is_told(key):
            self._api.post(channel, text=line, blocks=[section(line)], thread=thread)
            self._cards.note_told(key)

    def _address(self, place: str) -> str:
        """The message's address; a question that is shown is shown, so a failure here is none."""
        shown = self._messages.message(place)
        if shown.ts is None:
            return "Slack: it ended before it was shown"
        try:
            return self._api.permalink(shown.channel, shown.ts)
        except LeverframeError:
            return f"Slack: channel {shown.channel}, message {shown.ts}"


def _each(doing: Iterable[Callable[[], None]]) -> None:
    """Do each, also after one that failed: a channel that is gone must not leave buttons in another.

    Raises the first failure that may pass, else the first, when all are done.
    """
    failures: list[LeverframeError] = []
    for do in doing:
        try:
            do()
        except LeverframeError as error:
            failures.append(error)
    if failures:
        raise next((each for each in failures if isinstance(each, Unavailable)), failures[0])


def _told_ending(card: str) -> str:
    return f"ended/{card}"


def _hash(blocks: Sequence[Block]) -> str:
    return hashlib.sha256(json.dumps(blocks, sort_keys=True).encode()).hexdigest()


BACKEND = Backend(kind="chat", name="slack", scopes=tuple(sorted(NEEDED)), build=SlackChat)
