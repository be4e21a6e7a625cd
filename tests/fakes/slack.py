"""A workspace of Slack, as far as we use it: stateful, on a real port, behind the real SDK.

The Web API (auth.test, chat.postMessage, chat.update, chat.postEphemeral, chat.getPermalink, views.open,
apps.connections.open), interactions signed as Slack signs them, and Socket Mode over a real WebSocket. It has
what Slack has not documented as a promise either: no key that makes posting twice harmless.
"""

import asyncio
import contextlib
import itertools
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import WSMsgType, web
from slack_sdk.signature import SignatureVerifier

from tests.fakes.slack_rules import wrong_blocks, wrong_view

TEAM, BOT_TOKEN, APP_TOKEN, SECRET = "T0ACME", "xoxb-fake", "xapp-fake", "8f742231b10e8888abcd99yyyzzz85a5"
ONCALL, NOTICES = "C0ONCALL", "C0NOTICES"
TRIGGER_SECONDS = 3.0
ACK_SECONDS = 10


@dataclass
class Posted:
    """One message as people see it now."""

    channel: str
    ts: str
    text: str
    blocks: list[dict[str, Any]]
    thread: str | None
    drawings: int = 1

    @property
    def buttons(self) -> list[tuple[str, str]]:
        """`(action_id, value)` of every button."""
        rows = [block["elements"] for block in self.blocks if block["type"] == "actions"]
        return [(button["action_id"], button["value"]) for row in rows for button in row]

    @property
    def words(self) -> str:
        """Everything there is to read, as the wire has it."""
        return json.dumps(self.blocks, ensure_ascii=False)


@dataclass
class Whisper:
    """What one person was told privately."""

    channel: str
    user: str
    text: str


@dataclass
class Fault:
    """How the next call of a method fails: by code or by status. `after`: it is done all the same."""

    error: str = ""
    status: int = 200
    retry_after: int | None = None
    after: bool = False


@dataclass
class FakeSlack:
    """The workspace. Start it with `running`."""

    team: str = TEAM
    scopes: str = "chat:write"
    members: dict[str, set[str]] = field(
        default_factory=lambda: {name: {"U0ADA", "U0GRACE", "U0MALLORY"} for name in (ONCALL, NOTICES)}
    )
    messages: list[Posted] = field(default_factory=list)
    whispers: list[Whisper] = field(default_factory=list)
    views: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """View id → who sees it, and the view."""
    calls: list[str] = field(default_factory=list)
    dead_tickets: int = 0
    """How many of the next addresses for Socket Mode take no connection, however often it is tried."""
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    url: str = ""

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._triggers: dict[str, tuple[str, float]] = {}
        self._sockets: list[web.WebSocketResponse] = []
        self._acks: set[str] = set()
        self._loop = asyncio.new_event_loop()

    # What people do.

    def top(self, channel: str = ONCALL) -> list[Posted]:
        """The messages of a channel that are in no thread."""
        return [each for each in self.messages if each.channel == channel and each.thread is None]

    def thread(self, ts: str) -> list[Posted]:
        """The answers to a message."""
        return [each for each in self.messages if each.thread == ts]

    def click(
        self, action: str, *, user: str = "U0ADA", posted: Posted | None = None, card: str | None = None
    ) -> dict[str, Any]:
        """The interaction of a click on a button that is there; `card` picks one of several or forges one."""
        posted = posted or self.top()[-1]
        values = [value for name, value in posted.buttons if name == action]
        assert values, f"there is no button {action} to click on"
        trigger = f"{next(self._numbers)}.trigger"
        self._triggers[trigger] = (user, time.monotonic())
        return {
            "type": "block_actions",
            "team": {"id": self.team, "domain": "acme"},
            "user": {"id": user, "username": user.lower(), "team_id": self.team},
            "api_app_id": "A0LEVER",
            "container": {"type": "message", "message_ts": posted.ts, "channel_id": posted.channel},
            "trigger_id": trigger,
            "channel": {"id": posted.channel, "name": "oncall"},
            "message": {"ts": posted.ts, "text": posted.text, "blocks": posted.blocks},
            "response_url": "http://169.254.169.254/never",
            "actions": [
                {
                    "action_id": action,
                    "block_id": "b",
                    "type": "button",
                    "value": card or values[0],
                    "action_ts": f"{time.time():.6f}",
                }
            ],
        }

    def form(self, user: str = "U0ADA") -> tuple[str, dict[str, Any]]:
        """The newest form that a person sees. Raises AssertionError when there is none."""
        seen = [(name, view) for name, (who, view) in self.views.items() if who == user]
        assert seen, f"{user} sees no form"
        return seen[-1]

    def submit(self, user: str = "U0ADA", **entered: str) -> dict[str, Any]:
        """The interaction of filling in the newest form: block id → what is typed, or the option chosen."""
        name, view = self.form(user)
        values: dict[str, Any] = {}
        for block in view["blocks"]:
            if block["type"] != "input":
                continue
            text = entered.pop(block["block_id"], None)
            assert text is not None or block.get("optional"), f"{block['block_id']} must be filled in"
            element = block["element"]
            chosen: dict[str, Any] = {"type": element["type"], "value": text}
            if element["type"] == "static_select":
                assert text in [option["value"] for option in element["options"]]
                chosen = {"type": "static_select", "selected_option": {"value": text}}
            values[block["block_id"]] = {element["action_id"]: chosen}
        assert not entered, f"the form has no {sorted(entered)}"
        return {
            "type": "view_submission",
            "team": {"id": self.team, "domain": "acme"},
            "user": {"id": user, "username": user.lower(), "team_id": self.team},
            "view": {"id": name, **view, "state": {"values": values}},
        }

    # How interactions reach us.

    def signed(
        self, payload: dict[str, Any], *, secret: str = SECRET, age: float = 0
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers of the request that Slack sends; `age` seconds ago."""
        body = urlencode({"payload": json.dumps(payload)}).encode()
        timestamp = str(int(time.time() - age))
        signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
        assert signature is not None
        return body, {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": signature,
        }

    async def over_socket(self, payload: dict[str, Any]) -> None:
        """Send an interaction over the newest open connection, and return when it is acknowledged."""
        envelope = f"envelope-{next(self._numbers)}"
        told = {"type": "interactive", "envelope_id": envelope, "payload": payload}
        deadline = time.monotonic() + ACK_SECONDS
        sent = False
        while envelope not in self._acks:
            assert time.monotonic() < deadline, "no acknowledgement"
            if not sent and self.connections:
                socket = self.connections[-1]
                asyncio.run_coroutine_threadsafe(socket.send_json(told), self._loop).result(ACK_SECONDS)
                sent = True
            await asyncio.sleep(0.01)

    @property
    def connections(self) -> list[web.WebSocketResponse]:
        """The open connections of Socket Mode, oldest first."""
        return [socket for socket in self._sockets if not socket.closed]

    def drop_connections(self) -> None:
        """Close them, as Slack does every few hours."""
        for socket in self.connections:
            asyncio.run_coroutine_threadsafe(socket.close(), self._loop).result(ACK_SECONDS)

    # The Web API.

    async def _call(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.calls.append(method)
        arguments: dict[str, Any] = dict(await request.post())
        if request.content_type == "application/json":
            arguments = json.loads(await request.text() or "{}")
        for name in ("blocks", "view"):
            if isinstance(arguments.get(name), str):
                arguments[name] = json.loads(arguments[name])
        fault = self.faults[method].pop(0) if self.faults[method] else None
        if fault and not fault.after:
            return self._failed(fault)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        answer = self._answer(method, token, arguments)
        if fault:
            return self._failed(fault)
        return web.json_response(answer, headers={"x-oauth-scopes": self.scopes})

    def _failed(self, fault: Fault) -> web.Response:
        headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
        if fault.status != 200:
            return web.Response(status=fault.status, text="<html>not JSON</html>", headers=headers)
        return web.json_response({"ok": False, "error": fault.error})

    def _answer(self, method: str, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if token != (APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN):
            return {"ok": False, "error": "invalid_auth"}
        known = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.postEphemeral": self._ephemeral,
            "chat.getPermalink": self._permalink,
            "views.open": self._open,
            "apps.connections.open": self._connect,
        }
        if method not in known:
            return {"ok": False, "error": "unknown_method"}
        answer = known[method](arguments)
        return {"ok": "error" not in answer, **answer}

    def _auth_test(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"team": "Acme", "team_id": self.team, "user_id": "U0BOT", "bot_id": "B0BOT"}

    def _post(self, arguments: dict[str, Any]) -> dict[str, Any]:
        channel, thread = arguments["channel"], arguments.get("thread_ts")
        if (wrong := self._wrong(arguments)) is not None:
            return wrong
        if thread is not None and self._found(channel, thread) is None:
            return {"error": "thread_not_found"}
        ts = f"1760000000.{next(self._numbers):06d}"
        self.messages.append(Posted(channel, ts, arguments["text"], arguments["blocks"], thread))
        return {"channel": channel, "ts": ts}

    def _update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if (wrong := self._wrong(arguments)) is not None:
            return wrong
        found = self._found(arguments["channel"], arguments["ts"])
        if found is None:
            return {"error": "message_not_found"}
        found.text, found.blocks = arguments["text"], arguments["blocks"]
        found.drawings += 1
        return {"channel": found.channel, "ts": found.ts}

    def _ephemeral(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if (wrong := self._wrong(arguments)) is not None:
            return wrong
        if arguments["user"] not in self.members[arguments["channel"]]:
            return {"error": "user_not_in_channel"}
        self.whispers.append(Whisper(arguments["channel"], arguments["user"], arguments["text"]))
        return {"message_ts": f"1760000000.{next(self._numbers):06d}"}

    def _permalink(self, arguments: dict[str, Any]) -> dict[str, Any]:
        found = self._found(arguments["channel"], arguments["message_ts"])
        if found is None:
            return {"error": "message_not_found"}
        return {"permalink": f"https://acme.slack.com/archives/{found.channel}/p{found.ts.replace('.', '')}"}

    def _open(self, arguments: dict[str, Any]) -> dict[str, Any]:
        user, since = self._triggers.pop(arguments["trigger_id"], ("", 0.0))
        if not user:
            return {"error": "exchanged_trigger_id"}
        if time.monotonic() - since > TRIGGER_SECONDS:
            return {"error": "expired_trigger_id"}
        if (why := wrong_view(arguments["view"])) is not None:
            return {"error": "invalid_arguments", "detail": why}
        name = f"V{next(self._numbers):08d}"
        self.views[name] = (user, arguments["view"])
        return {"view": {"id": name}}

    def _connect(self, arguments: dict[str, Any]) -> dict[str, Any]:
        dead, self.dead_tickets = self.dead_tickets > 0, max(0, self.dead_tickets - 1)
        ticket = f"{'dead-' if dead else ''}{next(self._numbers)}"
        return {"url": f"{self.url.replace('http', 'ws').removesuffix('/api/')}/link?ticket={ticket}"}

    def _wrong(self, arguments: dict[str, Any]) -> dict[str, Any] | None:
        if arguments["channel"] not in self.members:
            return {"error": "channel_not_found"}
        if not arguments.get("text"):
            return {"error": "no_text"}
        if (why := wrong_blocks(arguments.get("blocks"))) is not None:
            return {"error": "invalid_blocks", "detail": why}
        return None

    def _found(self, channel: str, ts: str) -> Posted | None:
        return next((each for each in self.messages if (each.channel, each.ts) == (channel, ts)), None)

    # Socket Mode.

    async def _link(self, request: web.Request) -> web.WebSocketResponse:
        if request.query["ticket"].startswith("dead-"):
            raise web.HTTPForbidden
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        self._sockets.append(socket)
        await socket.send_json({"type": "hello", "num_connections": len(self.connections)})
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                self._acks.add(json.loads(message.data)["envelope_id"])
        return socket

    def serve(self, ready: threading.Event) -> None:
        """Run until the loop is stopped."""
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_post("/api/{method}", self._call)
        app.router.add_get("/link", self._link)
        runner = web.AppRunner(app, shutdown_timeout=0.1)

        async def start() -> None:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
            ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def stop(self) -> None:
        """End `serve`."""
        self._loop.call_soon_threadsafe(self._loop.stop)


@contextlib.contextmanager
def running() -> Iterator[FakeSlack]:
    """A workspace with two channels that the app is in."""
    slack, ready = FakeSlack(), threading.Event()
    thread = threading.Thread(target=slack.serve, args=(ready,), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield slack
    finally:
        slack.stop()
        thread.join(10)
