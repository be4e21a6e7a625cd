"""Attacks by way of Slack: markup of others, replays, and answers by those who were not asked."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from leverframe.model.untrusted import Untrusted
from tests.fakes.approval_world import Handle, asking, question
from tests.fakes.slack import FakeSlack, running
from tests.fakes.slack_desk import APPROVED, Desk, asked, desk, slack_chat, until
from tests.fakes.slack_rules import controls, texts
from tests.fakes.stores import store_at
from workflows.approval import ApprovalWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARKUP = (
    "<!channel>",
    "<!here|everybody>",
    "<@U0GRACE>",
    "<http://evil.example|Approve>",
    "<mailto:ada@example.com|ask Ada>",
    "![beacon](http://evil.example/p.png)",
    "[Approve](http://evil.example)",
    "<!-- approve this --> <script>",
    "&lt;!channel&gt; &amp;lt;",
    ":white_check_mark: *approved* _by_ ~Ada~ `yes`",
    "\u202eevorppa\u202c \u200b<\u200b!channel>",
    "&" * 3000,
    "<" * 3000,
    "line\n```\n> quoted\n• by Ada: yes",
)


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with running() as workspace:
        yield workspace


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = store_at(tmp_path / "other.db")
    yield opened
    opened.dispose()


@pytest.mark.parametrize("text", MARKUP, ids=range(len(MARKUP)))
async def test_markup_from_outside_is_shown_as_it_is_written_and_means_nothing(
    slack: FakeSlack, engine: Engine, text: str
) -> None:
    chat = slack_chat(engine, slack)
    hostile = asked(title=f"Switch {text}", why=text, reversibility=text, error=Untrusted(text), subject=text)
    chat.ask(hostile, "sre-oncall")
    chat.ask(hostile.model_copy(update={"approval": "approval/run/2"}), "sre-oncall")
    chat.remind("approval/run/1", "sre-oncall", missing=(), text=text)
    chat.tell("key", text=text)
    chat.open_details(slack.click("details")["trigger_id"], card=slack.top()[0].buttons[0][1])
    chat.close("approval/run/1", APPROVED.model_copy(update={"text": text}))
    shown: list[Any] = [posted.blocks for posted in slack.messages]
    shown += [view for _, view in slack.views.values()]
    assert all(found.startswith(("!date^", "http://ui/run|")) for found in controls(shown))
    for each in texts(shown):
        assert each["type"] == "plain_text" or "evil" not in each["text"]
        assert not {"\u202e", "\u200b"} & set(each["text"])
    for posted in slack.messages:
        assert not {"<", ">"} & set(posted.text)
    assert sum(len(posted.buttons) for posted in slack.messages) == 3


async def _asked(slack: FakeSlack) -> str:
    """Wait for the question; returns the id that its buttons carry."""
    await until(lambda: any(posted.buttons for posted in slack.top()))
    return slack.top()[0].buttons[0][1]


async def _votes(handle: Handle) -> list[str]:
    return [vote.account for vote in (await handle.query(ApprovalWorkflow.question)).votes]


async def _idle(at: Desk) -> None:
    """Wait until every click is worked off."""
    await until(lambda: not at.chat.clicks.waiting(before=datetime.now(UTC), limit=1))


async def test_a_body_from_six_minutes_ago_is_refused_and_a_repeated_one_has_one_effect(
    env: WorkflowEnvironment, slack: FakeSlack, tmp_path: Path
) -> None:
    async with desk(tmp_path, env.client, slack) as at, asking(env, question(quorum=2), at.chat) as handle:
        await _asked(slack)
        clicked = slack.click("form_yes")
        assert (await at.deliver(clicked, age=6 * 60)).status_code == 401
        assert (await at.deliver(clicked, age=-6 * 60)).status_code == 401
        assert (await at.deliver(clicked, secret="another")).status_code == 401
        assert slack.views == {}
        for age in (0, 60):
            assert (await at.deliver(clicked, age=age)).status_code == 200
        await until(lambda: slack.views)
        submitted = slack.submit(name="new-checkout")
        for age in (0, 60, 0):
            assert (await at.deliver(submitted, age=age)).status_code == 200
        await _idle(at)
        assert len(slack.views) == 1
        assert await _votes(handle) == ["slack:T0ACME/U0ADA"]
        assert len(slack.whispers) == 1


async def test_who_was_not_asked_can_click_and_their_answer_does_not_count(
    env: WorkflowEnvironment, slack: FakeSlack, tmp_path: Path
) -> None:
    async with desk(tmp_path, env.client, slack) as at, asking(env, question(), at.chat) as handle:
        await _asked(slack)
        await at.answer(user="U0MALLORY")
        await at.whispered("U0MALLORY", words="Your answer does not count")
        posted = slack.top()[0]
        assert len(posted.buttons) == 3
        assert await _votes(handle) == []
        assert not any("Mallory" in each.words for each in slack.messages)


async def test_the_author_of_the_trouble_does_not_decide_on_its_repair(
    env: WorkflowEnvironment, slack: FakeSlack, tmp_path: Path
) -> None:
    own = question(requesters=["ADA@example.com"])
    async with desk(tmp_path, env.client, slack) as at, asking(env, own, at.chat) as handle:
        await _asked(slack)
        await at.answer()
        await at.whispered(words="somebody else decides on its repair")
        assert await _votes(handle) == []


async def test_answers_of_other_workspaces_bots_and_forged_ids_do_nothing(
    env: WorkflowEnvironment, slack: FakeSlack, tmp_path: Path
) -> None:
    async with desk(tmp_path, env.client, slack) as at, asking(env, question(), at.chat) as handle:
        await _asked(slack)
        other = slack.click("form_yes")
        assert (await at.deliver(other | {"team": {"id": "T0OTHER"}})).status_code == 403
        guest = other | {"user": {"id": "U0ADA", "team_id": "T0OTHER"}}
        assert (await at.deliver(guest)).status_code == 200
        assert (await at.deliver(other | {"user": {"id": "B0BOT"}})).status_code == 400
        assert (await at.deliver(slack.click("form_yes", card="approval/run/1/1"))).status_code == 400
        assert (await at.deliver(slack.click("form_yes", card="f" * 24))).status_code == 200
        await _idle(at)
        assert slack.views == {}
        assert [each.text for each in slack.whispers] == ["Answers of another workspace don't count here."]
        await at.deliver(slack.click("form_yes"))
        await until(lambda: slack.views)
        submitted = slack.submit()
        forged = submitted | {"view": submitted["view"] | {"private_metadata": "f" * 24}}
        guest_again = submitted | {"user": {"id": "U0ADA", "team_id": "T0OTHER"}}
        bot = submitted | {"user": {"id": "U0BOT", "team_id": "T0ACME"}}
        for payload in (forged, guest_again, bot):
            assert (await at.deliver(payload)).status_code == 200
        await _idle(at)
        assert await _votes(handle) == []


async def test_the_address_for_answers_in_a_request_is_never_called(
    env: WorkflowEnvironment, slack: FakeSlack, tmp_path: Path
) -> None:
    async with desk(tmp_path, env.client, slack) as at, asking(env, question(), at.chat):
        await _asked(slack)
        await at.deliver(slack.click("form_yes") | {"response_url": f"{slack.url}stolen"})
        await until(lambda: slack.views)
        await at.deliver(slack.submit() | {"response_urls": [f"{slack.url}stolen"]})
        await _idle(at)
        assert "stolen" not in slack.calls
