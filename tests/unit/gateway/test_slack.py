"""Slack's door and the pump behind it: checked, kept, answered; then done once, whatever dies between."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError, RPCStatusCode

from activities.backends.chat_clicks import StoreClicks
from activities.forms import Click
from leverframe.gateway.counters import Counters
from leverframe.gateway.slack_pump import LANES, ClickPump
from leverframe.gateway.slack_socket import SlackSocket
from leverframe.model.errors import Refused, Unavailable
from policies.rules import MAX_WINDOW
from tests.fakes.slack import APP_TOKEN, ONCALL, FakeSlack, Posted, running
from tests.fakes.slack_desk import APPROVED, Desk, asked, desk, until
from tests.fakes.slack_pump import CARD, Engines, NotedForms
from tests.fakes.stores import store_at
from workflows.messages import Vote, VoteRefusal


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = store_at(tmp_path / "store.db")
    yield opened
    opened.dispose()


@pytest.fixture
def forms(engine: Engine) -> NotedForms:
    return NotedForms(StoreClicks(engine))


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    with running() as workspace:
        workspace.messages.append(Posted(ONCALL, "1.1", "x", [_row()], None))
        yield workspace


def _row() -> dict[str, Any]:
    buttons = [{"action_id": name, "value": CARD} for name in ("form_yes", "form_no", "details")]
    return {"type": "actions", "elements": buttons}


def click(kind: str = "yes", **changes: Any) -> Click:
    fields = {
        "id": "1",
        "kind": kind,
        "card": CARD,
        "team": "T0ACME",
        "user": "U0ADA",
        "received_at": datetime.now(UTC),
    }
    return Click.model_validate(fields | changes)


async def worked_off(forms: NotedForms, *clicks: Click, engines: Engines | None = None) -> Engines:
    """Keep these clicks, start a pump and wait until it has nothing left to do."""
    used = engines or Engines()
    for each in clicks:
        forms.clicks.keep(each)
    pump = asyncio.create_task(
        ClickPump(forms, used, team="T0ACME", redeliver_seconds=0.02).run()  # type: ignore[arg-type]
    )
    await until(lambda: not forms.clicks.waiting(before=datetime.now(UTC), limit=9))
    pump.cancel()
    await asyncio.wait([pump])
    return used


def refused(refusal: VoteRefusal, words: str) -> WorkflowUpdateFailedError:
    return WorkflowUpdateFailedError(refusal.because(words))


# The pump.


async def test_a_vote_is_for_the_request_that_was_shown_by_the_account_that_clicked(
    forms: NotedForms,
) -> None:
    engines = await worked_off(forms, click(values={"words": "fine"}))
    ((approval, update, vote),) = engines.votes
    assert (approval, update) == ("approval/run/1", "1")
    assert vote == Vote(
        account="slack:T0ACME/U0ADA",
        approve=True,
        reason="fine",
        request_digest=asked().request_digest,
        via="slack",
    )
    assert forms.told == [("U0ADA", "Your yes is counted: approved by Ada.")]


async def test_what_an_earlier_process_left_is_done_by_the_next_and_done_once(forms: NotedForms) -> None:
    left = click(received_at=datetime.now(UTC) - timedelta(minutes=3))
    engines = await worked_off(forms, left)
    assert forms.clicks.keep(left) is False
    await worked_off(forms, engines=engines)
    assert len(engines.votes) == 1


async def test_a_vote_waits_for_an_engine_that_is_away_and_keeps_its_id(forms: NotedForms) -> None:
    away = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
    never_there = RuntimeError("Failed client connect: Server connection error")
    engines = await worked_off(forms, click(), engines=Engines(failures=[away, never_there]))
    assert [update for _, update, _ in engines.votes] == ["1", "1", "1"]
    assert forms.told == [("U0ADA", "Your yes is counted: approved by Ada.")]


@pytest.mark.parametrize("refusal", list(VoteRefusal))
async def test_a_refusal_is_told_privately_and_takes_the_buttons_only_when_it_is_over(
    forms: NotedForms, refusal: VoteRefusal
) -> None:
    await worked_off(forms, click("no"), engines=Engines(failures=[refused(refusal, "it is so")]))
    assert forms.told == [("U0ADA", "Your answer does not count: it is so.")]
    assert bool(forms.redrawn) is (refusal is VoteRefusal.CLOSED)


async def test_an_approval_that_is_gone_or_ended_is_told_and_its_buttons_are_taken(forms: NotedForms) -> None:
    gone = RPCError("gone", RPCStatusCode.NOT_FOUND, b"")
    await worked_off(forms, click(), engines=Engines(failures=[gone]))
    forms.ending = APPROVED
    engines = await worked_off(forms, click(id="2"))
    assert engines.votes == []
    assert [text for _, text in forms.told] == [
        "Your answer does not count: the question has ended.",
        "Your answer does not count: the question has ended: approved by Ada.",
    ]
    assert (forms.retired, forms.redrawn) == ([CARD], [CARD])


async def test_a_wrong_form_an_unknown_card_and_another_workspace_cast_no_vote(forms: NotedForms) -> None:
    engines = await worked_off(
        forms,
        click(id="1", values={"bad": ""}),
        click(id="2", card="b" * 24),
        click(id="3", team="T0OTHER"),
    )
    assert engines.votes == []
    assert sorted(text for _, text in forms.told) == [
        "Answers of another workspace don't count here.",
        "Your answer does not count: the form is wrong.",
    ]


async def test_a_click_shows_its_form_and_one_that_failed_or_came_late_is_told_so(forms: NotedForms) -> None:
    now = datetime.now(UTC)
    await worked_off(
        forms, *(click(kind, id=kind, trigger=kind) for kind in ("form_yes", "form_no", "details"))
    )
    assert sorted(forms.shown) == [("details", "details"), ("form_no", "no"), ("form_yes", "yes")]
    await worked_off(forms, click("form_yes", id="late", received_at=now - timedelta(seconds=9)))
    forms.failure = Refused("the trigger is too old")
    await worked_off(forms, click("form_yes", id="refused"))
    assert [text for _, text in forms.told] == [
        "That took too long. Please click again.",
        "This did not work: the trigger is too old",
    ]


async def test_a_defect_in_one_click_is_told_and_stops_no_other(forms: NotedForms) -> None:
    engines = Engines(failures=[TypeError("a defect")])
    await worked_off(forms, click(id="1"), click(id="2"), engines=engines)
    assert len(engines.votes) == 2
    assert any("Please answer with the leverframe command" in text for _, text in forms.told)


async def test_a_person_who_can_not_be_told_for_whatever_reason_stops_nothing(
    forms: NotedForms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(card: str, *, user: str, text: str) -> None:
        raise TypeError("a defect")

    monkeypatch.setattr(forms, "tell_privately", broken)
    engines = Engines(failures=[TypeError("a defect")])
    await worked_off(forms, *(click(id=str(number)) for number in range(3 * LANES)), engines=engines)
    assert len(engines.votes) == 3 * LANES


async def test_a_vote_outlives_an_engine_that_is_away_for_as_long_as_a_question_can_be_open(
    forms: NotedForms,
) -> None:
    away = [RPCError("away", RPCStatusCode.UNAVAILABLE, b"")]
    old = click(received_at=datetime.now(UTC) - MAX_WINDOW)
    engines = await worked_off(forms, old, engines=Engines(failures=list(away)))
    assert len(engines.votes) == 2


async def test_a_click_that_can_not_be_done_for_longer_than_any_question_is_open_is_given_up(
    forms: NotedForms,
) -> None:
    away = [RPCError("away", RPCStatusCode.UNAVAILABLE, b"")]
    old = click(received_at=datetime.now(UTC) - MAX_WINDOW - timedelta(days=2))
    await worked_off(forms, old, engines=Engines(failures=list(away)))
    assert forms.told == [("U0ADA", "That could not be done. Please answer with the leverframe command.")]


async def test_a_vote_that_waits_its_turn_for_long_is_cast_once_and_told_once(
    forms: NotedForms, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines, slow = Engines(), asyncio.Event()
    looks: list[None] = []
    cast, waiting = engines.execute_update, forms.clicks.waiting

    async def slowly(*arguments: Any, **options: Any) -> str:
        await slow.wait()
        return await cast(*arguments, **options)

    def noted(**options: Any) -> list[Click]:
        looks.append(None)
        return waiting(**options)

    monkeypatch.setattr(engines, "execute_update", slowly)
    monkeypatch.setattr(forms.clicks, "waiting", noted)
    for number in range(LANES + 1):
        forms.clicks.keep(click(id=str(number)))
    pump = asyncio.create_task(
        ClickPump(forms, engines, team="T0ACME", redeliver_seconds=0.01).run()  # type: ignore[arg-type]
    )
    await until(lambda: len(looks) > 9)
    slow.set()
    await until(lambda: not waiting(before=datetime.now(UTC), limit=9))
    seen = len(looks)
    await until(lambda: len(looks) > seen + 3)
    pump.cancel()
    await asyncio.wait([pump])
    assert sorted(update for _, update, _ in engines.votes) == [str(number) for number in range(LANES + 1)]
    assert len(forms.told) == LANES + 1


async def test_a_slack_that_hangs_holds_none_of_the_threads_that_keep_clicks(
    forms: NotedForms, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, answered = Semaphore(0), Event()

    def hang(trigger: str, *, card: str, approve: bool) -> None:
        hanging.release()
        answered.wait(20)

    monkeypatch.setattr(forms, "open_form", hang)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    for number in range(2 * LANES):
        forms.clicks.keep(click("form_yes", id=str(number)))
    pump = asyncio.create_task(ClickPump(forms, Engines(), team="T0ACME").run())  # type: ignore[arg-type]
    try:
        await until(lambda: hanging.acquire(blocking=False))
        await until(lambda: hanging.acquire(blocking=False))
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(forms.clicks.keep, click(id="another"))
    finally:
        answered.set()
        pump.cancel()
        await asyncio.wait([pump])


async def test_endings_that_could_not_be_shown_are_tried_again_from_the_start(forms: NotedForms) -> None:
    await worked_off(forms, click())
    assert await asyncio.to_thread(forms.caught_up.wait, 10)


# The connection.


async def test_an_address_that_takes_no_connection_makes_room_for_a_fresh_one_and_is_not_logged(
    slack: FakeSlack, caplog: pytest.LogCaptureFixture
) -> None:
    slack.dead_tickets = 1
    door: Any = None
    socket = SlackSocket(
        door, Counters(), app_token=SecretStr(APP_TOKEN), api_url=slack.url, ping_seconds=0.02
    )
    running = asyncio.create_task(socket.run())
    await until(lambda: slack.connections)
    running.cancel()
    await asyncio.wait([running])
    assert slack.calls.count("apps.connections.open") >= 2
    assert "Failed to connect" in caplog.text
    assert "ticket=" not in caplog.text


# The door.


@pytest.fixture
async def at(tmp_path: Path, slack: FakeSlack) -> Any:
    async with desk(tmp_path, Engines(), slack) as opened:  # type: ignore[arg-type]
        yield opened


async def refusal_of(at: Desk, body: bytes, headers: dict[str, str]) -> int:
    sent: httpx.Response = await at.http.post("/slack/interactions", content=body, headers=headers)
    return sent.status_code


def waiting(at: Desk) -> list[Click]:
    return at.chat.clicks.waiting(before=datetime.now(UTC) + timedelta(minutes=1), limit=9)


async def test_a_signed_click_is_answered_empty_and_known_when_it_comes_again(
    at: Desk, slack: FakeSlack
) -> None:
    clicked = slack.click("form_yes")
    for _ in range(2):
        answer = await at.deliver(clicked)
        assert (answer.status_code, answer.content) == (200, b"")
    assert (await at.deliver(clicked | {"user": {"id": "U0GRACE"}})).status_code == 200
    assert at.counters.value("ignored_total", kind="slack_duplicate") == 1


async def test_what_slack_did_not_sign_is_refused_before_it_is_read(at: Desk, slack: FakeSlack) -> None:
    body, headers = slack.signed(slack.click("form_yes"))
    signature, timestamp = "X-Slack-Signature", "X-Slack-Request-Timestamp"
    for wrong in (
        {},
        {signature: headers[signature]},
        headers | {signature: "v0=" + "0" * 64},
        headers | {timestamp: "1"},
        headers | {timestamp: "9" * 400},
        headers | {timestamp: "-1"},
        headers | {timestamp: ""},
    ):
        assert await refusal_of(at, body, wrong) == 401
    assert await refusal_of(at, body + b"&", headers) == 401
    assert await refusal_of(at, b"\xff", headers) == 401
    assert await refusal_of(at, body, headers | {"Content-Encoding": "gzip"}) == 415
    assert await refusal_of(at, b"a" * 2_000_000, headers) == 413
    assert waiting(at) == []


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "block_actions"},
        {"type": "block_actions", "team": {"id": "T0ACME"}, "user": {"id": "B0BOT"}, "actions": [
            {"action_id": "form_yes", "value": CARD, "action_ts": "1"}]},
        {"type": "block_actions", "team": {"id": "T0ACME"}, "user": {"id": "U0ADA"}, "actions": [
            {"action_id": "form_yes", "value": "approval/run/1", "action_ts": "1"}]},
        {"type": "view_submission", "team": {"id": "T0ACME"}, "user": {"id": "U0ADA"},
         "view": {"id": "V1", "callback_id": "yes", "private_metadata": "approval/run/1"}},
    ],
)  # fmt: skip
async def test_a_signed_interaction_that_we_could_not_have_caused_is_malformed(
    at: Desk, payload: dict[str, Any]
) -> None:
    assert (await at.deliver(payload)).status_code == 400
    assert waiting(at) == []


async def test_what_starts_nothing_here_is_answered_and_let_go(at: Desk, slack: FakeSlack) -> None:
    other = slack.click("form_yes")
    other["actions"][0]["action_id"] = "somebody-elses"
    assert (await at.deliver(other)).status_code == 200
    assert (await at.deliver(other | {"type": "view_closed"})).status_code == 200
    assert at.counters.value("ignored_total", kind="slack") == 2
    assert waiting(at) == []


async def test_a_store_that_is_away_is_no_promise(
    at: Desk, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(click: Click) -> bool:
        raise Unavailable("the store did not answer")

    monkeypatch.setattr(at.chat.clicks, "keep", away)
    assert (await at.deliver(slack.click("form_yes"))).status_code == 503
