"""Where messages stand in the store: no question is put where there is no room to show it."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import Engine

from activities.backends.chat_cards import Card, Cards
from activities.backends.slack_messages import Messages
from tests.fakes.slack_desk import asked

ROOM = 3


def test_questions_that_come_at_once_never_share_a_message_that_is_full(engine: Engine) -> None:
    cards, messages = Cards(engine, "slack/T0ACME"), Messages(engine)

    def place(card: Card) -> str:
        return messages.place(
            card, channel="C0ONCALL", batch=card.question.batch, within=timedelta(hours=1), most=ROOM
        )

    for batch in range(6):
        alike = [
            cards.keep(asked(10 * batch + number, batch=str(batch)), "sre-oncall", held=False)
            for number in range(8)
        ]
        with ThreadPoolExecutor(4) as threads:
            assert max(Counter(threads.map(place, alike)).values()) <= ROOM


def test_a_drawing_that_another_one_overtook_is_not_taken_for_what_is_shown(engine: Engine) -> None:
    cards, messages = Cards(engine, "slack/T0ACME"), Messages(engine)
    card = cards.keep(asked(), "sre-oncall", held=False)
    message = messages.place(card, channel="C0ONCALL", batch="b", within=timedelta(hours=1), most=ROOM)
    messages.drew(message, "first", over=None)
    assert messages.message(message).drawn == "first"
    messages.drew(message, "second", over=None)
    assert messages.message(message).drawn is None
