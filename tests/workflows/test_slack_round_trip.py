"""A question goes to Slack, a person clicks, the answer counts: every part is real but Slack itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.fakes.approval_world import asking, question, vote
from tests.fakes.slack import FakeSlack, running
from tests.fakes.slack_desk import desk, until
from workflows.approval import ApprovalWorkflow
from workflows.messages import Approved, Rejected

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with running() as workspace:
        yield workspace


def asked(slack: FakeSlack) -> bool:
    """Whether the question stands there with its buttons."""
    return any(posted.buttons for posted in slack.top("C0NOTICES") + slack.top())


async def test_a_yes_by_http_is_a_vote_and_the_buttons_make_room_for_it(
    env: WorkflowEnvironment, slack: FakeSlack, tmp_path: Path
) -> None:
    async with desk(tmp_path, env.client, slack) as at, asking(env, question(), at.chat) as handle:
        await until(lambda: asked(slack))
        await at.answer(words="looks right")
        result = await handle.result()
        assert isinstance(result, Approved)
        assert result.approval.approvers == ("ada",)
        (cast,) = (await handle.query(ApprovalWorkflow.question)).votes
        assert (cast.account, cast.via, cast.reason) == ("slack:T0ACME/U0ADA", "slack", "looks right")
        await at.whispered(words="Your yes is counted: approved by Ada")
        (posted,) = slack.top()
        await until(lambda: not posted.buttons and slack.thread(posted.ts))
        assert "Approved. approved by Ada" in posted.words


async def test_a_no_by_socket_mode_rejects_after_slack_dropped_the_connection(
    env: WorkflowEnvironment, slack: FakeSlack, tmp_path: Path
) -> None:
    async with (
        desk(tmp_path, env.client, slack, socket=True) as at,
        asking(env, question(), at.chat) as handle,
    ):
        await until(lambda: asked(slack) and slack.connections)
        assert (await at.deliver(slack.click("form_no"))).status_code == 404
        first = slack.connections[-1]
        slack.drop_connections()
        await until(lambda: slack.connections and slack.connections[-1] is not first)
        await slack.over_socket(slack.click("form_no"))
        await until(lambda: slack.views)
        await slack.over_socket(slack.submit(why="too_risky", words="not on a Friday"))
        assert await handle.result() == Rejected(by="Ada", reason="Too risky: not on a Friday")
        (posted,) = slack.top()
        await until(lambda: not posted.buttons)
        assert "Denied. rejected by Ada" in posted.words


async def test_two_people_are_needed_and_each_hears_how_it_stands(
    env: WorkflowEnvironment, slack: FakeSlack, tmp_path: Path
) -> None:
    asks_two = question(quorum=2)
    async with desk(tmp_path, env.client, slack) as at, asking(env, asks_two, at.chat) as handle:
        await until(lambda: asked(slack))
        await at.answer(name="new-checkout")
        await at.whispered(words="1 of 2 approvals so far (Ada)")
        assert slack.top()[0].buttons
        await at.answer(user="U0GRACE", name="wrong-name")
        await at.whispered("U0GRACE", words="the name to type is new-checkout")
        await at.answer(user="U0GRACE", name="new-checkout")
        result = await handle.result()
        assert isinstance(result, Approved)
        assert result.approval.approvers == ("ada", "grace")


async def test_an_answer_by_another_door_replaces_the_buttons_and_late_clicks_are_told_so(
    env: WorkflowEnvironment, slack: FakeSlack, tmp_path: Path
) -> None:
    async with desk(tmp_path, env.client, slack) as at, asking(env, question(), at.chat) as handle:
        await until(lambda: asked(slack))
        (posted,) = slack.top()
        clicked = slack.click("form_yes")
        await at.deliver(clicked)
        await until(lambda: slack.views)
        await handle.execute_update(ApprovalWorkflow.decide, vote("login:grace", approve=False, reason="no"))
        await handle.result()
        await until(lambda: not posted.buttons)
        assert "Grace: no by cli" in posted.words
        await at.deliver(slack.submit())
        await at.whispered(words="Your answer does not count: the question has ended: rejected by Grace: no")
