"""Everything between a question and a click: Slack (a fake), our backend, the gateway, and one store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import Engine
from starlette.applications import Starlette
from temporalio.client import Client

from activities.backends.chat_slack import SlackChat
from activities.backends.deployments_store import DeploymentsStore
from activities.backends.errors_store import ErrorsStore
from leverframe.gateway.app import build_app
from leverframe.gateway.counters import Counters
from leverframe.model.differences import FileDelta, TreeDifference
from leverframe.model.proposals import RevertChange
from leverframe.settings import ChatSettings, SlackSettings
from policies.question import Ending, Question
from tests.fakes.approval_world import question as request
from tests.fakes.asks import NOON
from tests.fakes.gateway import StillMetrics, settings_for
from tests.fakes.slack import APP_TOKEN, BOT_TOKEN, NOTICES, ONCALL, SECRET, TEAM, FakeSlack
from tests.fakes.stores import store_at

PATIENCE = 20.0


def asked(number: int = 1, **changes: Any) -> Question:
    """A question to sre-oncall; those with the same `batch` are alike."""
    asking = request()
    fields: dict[str, Any] = {
        **dict(asking),
        "approval": f"approval/run/{number}",
        "asked_at": NOON,
        "expires_at": NOON + timedelta(hours=1),
        "batch": f"batch-{number}",
    }
    return Question.model_validate(fields | changes)


REVERT = RevertChange(repository="shop", commit="a" * 40, title="Revert", body="Because.")
DIFFERENCE = TreeDifference(
    base="b" * 40,
    head="c" * 40,
    patch="d" * 40,
    files=tuple(
        FileDelta(
            path=f"shop/part{number}.py",
            change="modified",
            old_mode="100644",
            new_mode="100644",
            added=2,
            removed=1,
        )
        for number in range(8)
    ),
)
"""Eight files of a repository."""

APPROVED = Ending(state="approved", text="approved by Ada", ended_at=NOON + timedelta(minutes=7))


def slack_chat(engine: Engine, slack: FakeSlack, **changes: Any) -> SlackChat:
    """The backend in mode `act`, with a channel for sre-oncall and one for the rest."""
    options: dict[str, Any] = {
        "token": SecretStr(BOT_TOKEN),
        "team": TEAM,
        "mode": "act",
        "channels": {"sre-oncall": ONCALL},
        "notices": NOTICES,
        "batch_seconds": 300,
        "api_url": slack.url,
    }
    return SlackChat(engine, **(options | changes))


@dataclass
class Desk:
    """A started gateway beside a chat, over one store."""

    slack: FakeSlack
    chat: SlackChat
    app: Starlette
    http: httpx.AsyncClient
    counters: Counters

    async def deliver(self, payload: dict[str, Any], **signing: Any) -> httpx.Response:
        """Send an interaction as Slack does."""
        body, headers = self.slack.signed(payload, **signing)
        return await self.http.post("/slack/interactions", content=body, headers=headers)

    async def answer(self, *, approve: bool = True, user: str = "U0ADA", **entered: str) -> None:
        """Click on the newest question, wait for the form, fill it in and send it."""
        before = len(self.slack.views)
        action = "form_yes" if approve else "form_no"
        assert (await self.deliver(self.slack.click(action, user=user))).status_code == 200
        await until(lambda: len(self.slack.views) > before)
        assert (await self.deliver(self.slack.submit(user, **entered))).status_code == 200

    async def whispered(self, user: str = "U0ADA", *, words: str) -> None:
        """Wait until a person was told these words privately."""
        await until(lambda: any(each.user == user and words in each.text for each in self.slack.whispers))


@asynccontextmanager
async def desk(home: Path, client: Client, slack: FakeSlack, *, socket: bool = False) -> AsyncIterator[Desk]:
    """A gateway that takes Slack's interactions, by HTTP or by Socket Mode only."""
    engine = store_at(home / "store.db")
    counters, chat = Counters(), slack_chat(engine, slack)
    chosen = SlackSettings(
        bot_token=SecretStr(BOT_TOKEN),
        signing_secret=None if socket else SecretStr(SECRET),
        app_token=SecretStr(APP_TOKEN) if socket else None,
        team=TEAM,
        mode="act",
        notices=NOTICES,
        api_url=slack.url,
    )
    settings = settings_for(home).model_copy(update={"chat": ChatSettings(backends=("slack",), slack=chosen)})
    app = build_app(
        settings,
        client=client,
        store=ErrorsStore(engine),
        metrics=StillMetrics(),
        deployments=DeploymentsStore(engine),
        forms=chat,
        counters=counters,
    )
    http = httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://gateway"
    )
    async with app.router.lifespan_context(app), http:
        yield Desk(slack, chat, app, http, counters)
    engine.dispose()


async def until(holds: Callable[[], Any]) -> None:
    """Wait for something that other threads do. Raises TimeoutError when it never holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in other threads
            await asyncio.sleep(0.01)
