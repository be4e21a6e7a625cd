"""Clicks in the store: kept once, worked off oldest first, and never twice."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from activities.backends.chat_clicks import StoreClicks
from activities.forms import Click
from leverframe.model.errors import Unavailable
from tests.fakes.asks import NOON
from tests.fakes.stores import store_at


def click(number: int) -> Click:
    return Click(
        id=str(number),
        kind="yes",
        card="a" * 24,
        team="T0ACME",
        user="U0ADA",
        values={"words": "é \x00 😀"},
        received_at=NOON + timedelta(seconds=number),
    )


def test_a_click_is_kept_once_whoever_delivers_it(engine: Engine) -> None:
    assert StoreClicks(engine).keep(click(1)) is True
    assert StoreClicks(engine).keep(click(1).model_copy(update={"values": {"words": "no"}})) is False
    later = NOON + timedelta(minutes=1)
    assert StoreClicks(engine).waiting(before=later, limit=9) == [click(1)]


def test_what_waits_comes_oldest_first_and_what_is_done_never_again(engine: Engine) -> None:
    clicks = StoreClicks(engine)
    for number in (3, 1, 2, 9):
        clicks.keep(click(number))
    before = NOON + timedelta(seconds=9)
    assert [each.id for each in clicks.waiting(before=before, limit=2)] == ["1", "2"]
    clicks.done(["1", "3"], NOON)
    clicks.done(["1"], NOON)
    assert [each.id for each in clicks.waiting(before=before, limit=9)] == ["2"]
    assert clicks.keep(click(1)) is False


def test_a_store_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    gone = store_at(tmp_path / "store.db")
    with gone.begin() as connection:
        connection.execute(text("DROP TABLE slack_clicks"))
    with pytest.raises(Unavailable):
        StoreClicks(gone).keep(click(1))
    gone.dispose()
