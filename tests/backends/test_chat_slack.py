"""Slack as chat, through the real SDK on a stateful workspace: what people see, what a failure leaves."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.backends.chat_slack import SlackChat
from activities.backends.slack_blocks import MAX_ROWS
from leverframe.model.errors import BadConfiguration, BadInput, NotFound, Refused, Unavailable
from policies.people import SlackAccount
from policies.question import VoteLine
from tests.fakes.approval_world import GRACE, LINUS, person
from tests.fakes.asks import NOON
from tests.fakes.slack import NOTICES, ONCALL, TEAM, FakeSlack, Fault, running
from tests.fakes.slack_desk import APPROVED, DIFFERENCE, REVERT, asked, slack_chat
from tests.fakes.slack_rules import controls
from tests.fakes.stores import store_at

GROUP = "sre-oncall"


@pytest.fixture(scope="module")
def workspace() -> Iterator[FakeSlack]:
    with running() as slack:
        yield slack


@pytest.fixture
def slack(workspace: FakeSlack) -> FakeSlack:
    workspace.messages.clear()
    workspace.calls.clear()
    workspace.views.clear()
    workspace.faults.clear()
    workspace.scopes, workspace.team = "chat:write", TEAM
    return workspace


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = store_at(tmp_path / "store.db")
    yield opened
    opened.dispose()


@pytest.fixture
def chat(engine: Engine, slack: FakeSlack) -> SlackChat:
    return slack_chat(engine, slack)


# What people see.


def test_a_question_says_what_will_happen_why_how_to_undo_it_and_until_when(
    chat: SlackChat, slack: FakeSlack
) -> None:
    chat.ask(asked(run_url="http://ui/run/1"), GROUP)
    (posted,) = slack.top()
    for words in (
        "Switch the flag new-checkout on for everybody",
        "If you say yes, Leverframe will switch the flag new-checkout on for everybody.",
        "Flag new-checkout: becomes on for everybody",
        "Undo: Switching it back takes a second.",
        "org.levers.flip_flag.direction.to_on asks people: act_with_approval; required: act (org.yaml:11)",
        "errors: 38 errors, threshold 6",
        "In its own words: TypeError",
        "You are asked because you are in `sre-oncall`",
        "1 yes is enough, one no is enough to refuse",
        "<http://ui/run/1|the run>",
    ):
        assert words in posted.words
    until = int((NOON + timedelta(hours=1)).timestamp())
    assert f"<!date^{until}^" in posted.words


def test_a_change_of_files_shows_its_exact_size_and_its_first_paths(
    chat: SlackChat, slack: FakeSlack
) -> None:
    chat.ask(asked(effect=REVERT, difference=DIFFERENCE), GROUP)
    (posted,) = slack.top()
    assert "8 files, +16 −8 lines" in posted.words
    assert "shop/part4.py (modified, +2 −1)" in posted.words
    assert "part5" not in posted.words
    assert "… and 3 more" in posted.words


def test_buttons_carry_an_opaque_id_and_nothing_of_the_question(chat: SlackChat, slack: FakeSlack) -> None:
    chat.ask(asked(), GROUP)
    (posted,) = slack.top()
    assert [action for action, _ in posted.buttons] == ["form_yes", "form_no", "details"]
    ((value,),) = {tuple({value for _, value in posted.buttons})}
    assert re.fullmatch(r"[0-9a-f]{24}", value)
    assert chat.asked(value)[0] == asked()


def test_without_buttons_the_message_says_the_command(engine: Engine, slack: FakeSlack) -> None:
    slack_chat(engine, slack, mode="notify").ask(asked(), GROUP)
    (posted,) = slack.top()
    assert posted.buttons == []
    assert "leverframe approve approval/run/1" in posted.words


def test_a_group_without_a_channel_is_asked_in_the_one_for_notices(chat: SlackChat, slack: FakeSlack) -> None:
    where = chat.ask(asked(), "platform")
    assert slack.top(ONCALL) == []
    assert [posted.ts.replace(".", "") in where for posted in slack.top(NOTICES)] == [True]


def test_an_ending_takes_the_place_of_the_buttons_and_is_told_in_the_thread(
    chat: SlackChat, slack: FakeSlack
) -> None:
    chat.ask(asked(), GROUP)
    vote = VoteLine(name="Ada", approve=True, reason="I saw it <!here>", via="cli", at=NOON)
    chat.close("approval/run/1", APPROVED.model_copy(update={"votes": (vote,)}))
    (posted,) = slack.top()
    assert posted.buttons == []
    for words in ("Approved. approved by Ada", "Ada: yes by cli, I saw it &lt;!here&gt;", "after 7 min"):
        assert words in posted.words
    assert [said.text for said in slack.thread(posted.ts)] == [
        "Approved: Switch the flag new-checkout on for everybody: approved by Ada"
    ]


def test_a_reminder_mentions_those_who_are_missing_and_have_an_account_here(
    chat: SlackChat, slack: FakeSlack
) -> None:
    elsewhere = person("eve", slack=(SlackAccount(team="T0OTHER", user="U0EVE"),))
    chat.ask(asked(), GROUP)
    chat.remind("approval/run/1", GROUP, missing=(GRACE, LINUS, elsewhere), text="half an hour left")
    (said,) = slack.thread(slack.top()[0].ts)
    assert controls(said.blocks) == ["@U0GRACE"]
    assert "half an hour left" in said.words


# Batches and digests.


def test_like_questions_share_a_message_with_a_row_and_buttons_each(
    chat: SlackChat, slack: FakeSlack
) -> None:
    for number in (1, 2, 3):
        chat.ask(asked(number, batch="alike", title=f"Question number {number}"), GROUP)
    (posted,) = slack.top()
    assert len({value for _, value in posted.buttons}) == 3
    assert all(f"Question number {number}" in posted.words for number in (1, 2, 3))
    assert [said.text for said in slack.thread(posted.ts)] == [
        "Asked here, too: Question number 2",
        "Asked here, too: Question number 3",
    ]
    chat.close("approval/run/2", APPROVED)
    assert len({value for _, value in posted.buttons}) == 2
    assert "2 of 3 questions wait for an answer" in posted.words


def test_unlike_questions_other_groups_and_late_ones_get_a_message_of_their_own(
    engine: Engine, slack: FakeSlack
) -> None:
    chat = slack_chat(engine, slack, channels={GROUP: ONCALL, "platform": ONCALL})
    chat.ask(asked(1, batch="alike"), GROUP)
    chat.ask(asked(2, batch="unlike"), GROUP)
    chat.ask(asked(3, batch="alike"), "platform")
    assert len(slack.top()) == 3
    slack_chat(engine, slack, batch_seconds=0).ask(asked(4, batch="alike"), GROUP)
    assert len(slack.top()) == 4


def test_a_message_takes_as_many_questions_as_slack_has_room_for(chat: SlackChat, slack: FakeSlack) -> None:
    for number in range(MAX_ROWS + 1):
        chat.hold(asked(number, batch="alike", effect=REVERT, difference=DIFFERENCE), GROUP)
    assert chat.digest("2026-03-03") == MAX_ROWS + 1
    assert [len(posted.buttons) for posted in slack.top()] == [MAX_ROWS * 3, 3]


def test_a_digest_that_slack_broke_off_is_completed_by_the_retry(chat: SlackChat, slack: FakeSlack) -> None:
    for number, group in enumerate((GROUP, GROUP, "platform")):
        chat.hold(asked(number), group)
    slack.faults["chat.update"] = [Fault(status=503)]
    with pytest.raises(Unavailable):
        chat.digest("2026-03-03")
    assert chat.digest("2026-03-03") == 3
    assert [len(posted.buttons) for posted in slack.top() + slack.top(NOTICES)] == [6, 3]


# What a failure leaves.


def test_a_post_that_nobody_knows_of_leaves_a_line_without_buttons(chat: SlackChat, slack: FakeSlack) -> None:
    slack.faults["chat.postMessage"] = [Fault(status=502, after=True)]
    with pytest.raises(Unavailable):
        chat.ask(asked(), GROUP)
    chat.ask(asked(), GROUP)
    lost, posted = slack.top()
    assert lost.buttons == []
    assert len(posted.buttons) == 3
    chat.close("approval/run/1", APPROVED)
    assert posted.buttons == []


def test_an_ending_while_slack_is_down_is_shown_by_the_retry(chat: SlackChat, slack: FakeSlack) -> None:
    chat.ask(asked(), GROUP)
    slack.faults["chat.update"] = [Fault(status=503)]
    with pytest.raises(Unavailable):
        chat.close("approval/run/1", APPROVED)
    chat.close("approval/run/1", APPROVED)
    (posted,) = slack.top()
    assert posted.buttons == []
    assert len(slack.thread(posted.ts)) == 1


def test_a_question_that_ended_before_it_was_posted_is_not_posted(chat: SlackChat, slack: FakeSlack) -> None:
    slack.faults["chat.postMessage"] = [Fault(status=503)]
    with pytest.raises(Unavailable):
        chat.ask(asked(), GROUP)
    chat.close("approval/run/1", APPROVED)
    chat.ask(asked(), GROUP)
    assert slack.top() == []


def test_an_open_question_that_somebody_deleted_is_asked_again(chat: SlackChat, slack: FakeSlack) -> None:
    chat.ask(asked(1, batch="alike"), GROUP)
    slack.messages.clear()
    chat.ask(asked(2, batch="alike"), GROUP)
    (posted,) = slack.top()
    assert len(posted.buttons) == 6
    slack.messages.clear()
    chat.close("approval/run/1", APPROVED)
    chat.close("approval/run/2", APPROVED)


def test_a_reminder_of_a_deleted_message_asks_again(chat: SlackChat, slack: FakeSlack) -> None:
    chat.ask(asked(), GROUP)
    slack.messages.clear()
    chat.remind("approval/run/1", GROUP, missing=(GRACE,), text="still open")
    (posted,) = slack.top()
    assert len(posted.buttons) == 3
    assert len(slack.thread(posted.ts)) == 1


@pytest.mark.parametrize("gone", [ONCALL, NOTICES])
def test_a_channel_that_is_gone_leaves_no_buttons_and_no_silence_in_another(
    engine: Engine, slack: FakeSlack, gone: str
) -> None:
    chat = slack_chat(engine, slack, channels={GROUP: ONCALL, "platform": NOTICES})
    other = NOTICES if gone == ONCALL else ONCALL
    for group in (GROUP, "platform"):
        chat.ask(asked(1), group)
        chat.hold(asked(2), group)
    members = slack.members.pop(gone)
    try:
        with pytest.raises(BadConfiguration, match="channel_not_found"):
            chat.close("approval/run/1", APPROVED)
        with pytest.raises(BadConfiguration, match="channel_not_found"):
            chat.digest("2026-03-03")
    finally:
        slack.members[gone] = members
    closed, shown = slack.top(other)
    assert closed.buttons == []
    assert len(slack.thread(closed.ts)) == 1
    assert len(shown.buttons) == 3


def test_a_rate_limit_says_how_long_to_stay_away_and_nothing_is_retried_here(
    chat: SlackChat, slack: FakeSlack
) -> None:
    slack.faults["chat.postMessage"] = [Fault(status=429, retry_after=17)]
    with pytest.raises(Unavailable) as caught:
        chat.ask(asked(), GROUP)
    assert caught.value.wait == timedelta(seconds=17)
    assert slack.calls == ["chat.postMessage"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("invalid_auth", BadConfiguration),
        ("not_in_channel", BadConfiguration),
        ("missing_scope", BadConfiguration),
        ("internal_error", Unavailable),
        ("rate_limited", Unavailable),
        ("invalid_blocks", BadInput),
        ("something_new", Refused),
    ],
)
def test_each_answer_of_slack_is_an_error_of_ours(
    chat: SlackChat, slack: FakeSlack, code: str, error: type[Exception]
) -> None:
    slack.faults["chat.postMessage"] = [Fault(error=code)]
    with pytest.raises(error, match="Slack answered"):
        chat.ask(asked(), GROUP)


def test_a_slack_that_is_not_there_is_unavailable(engine: Engine, slack: FakeSlack) -> None:
    nowhere = slack_chat(engine, slack, api_url="http://127.0.0.1:9/api/")
    with pytest.raises(Unavailable, match="did not answer"):
        nowhere.ask(asked(), GROUP)
    assert not nowhere.health().ok


# Set-up.


def test_a_token_team_and_channel_for_notices_are_needed(engine: Engine, slack: FakeSlack) -> None:
    for name, empty in (("token", None), ("team", ""), ("notices", "")):
        with pytest.raises(BadConfiguration, match=r"bot_token, team and notices"):
            slack_chat(engine, slack, **{name: empty})


@pytest.mark.parametrize(
    ("scopes", "team", "told"),
    [
        ("chat:write", TEAM, None),
        ("", TEAM, "missing scope chat:write"),
        ("chat:write,channels:history,admin", TEAM, "scope channels:history is not needed"),
        ("chat:write", "T0OTHER", "T0OTHER"),
    ],
)
def test_health_is_green_only_with_the_right_workspace_and_exactly_the_scopes(
    chat: SlackChat, slack: FakeSlack, scopes: str, team: str, told: str | None
) -> None:
    slack.scopes, slack.team = scopes, team
    health = chat.health()
    assert health.ok is (told is None)
    assert told is None or told in health.detail


# Forms.


def test_a_no_needs_a_reason_from_the_list(chat: SlackChat, slack: FakeSlack) -> None:
    chat.ask(asked(), GROUP)
    value = slack.top()[0].buttons[0][1]
    said = chat.reason(value, approve=False, values={"why": "not_now", "words": "Friday"})
    assert said == "Not now: Friday"
    with pytest.raises(BadInput, match="reason"):
        chat.reason(value, approve=False, values={"why": "forged"})
    assert chat.reason(value, approve=True, values={}) == ""


def test_what_takes_two_people_takes_the_typed_name_of_its_object(chat: SlackChat, slack: FakeSlack) -> None:
    terms = asked().terms.model_copy(update={"quorum": 2})
    chat.ask(asked(terms=terms), GROUP)
    value = slack.top()[0].buttons[0][1]
    chat.open_form(slack.click("form_yes")["trigger_id"], card=value, approve=True)
    assert [block["block_id"] for block in slack.form()[1]["blocks"][1:]] == ["name", "words"]
    with pytest.raises(BadInput, match="the name to type is new-checkout"):
        chat.reason(value, approve=True, values={"name": "old-checkout"})
    assert chat.reason(value, approve=True, values={"name": "new-checkout", "words": "ok"}) == "ok"
    assert chat.reason(value, approve=False, values={"why": "other"}) == "Something else"


def test_a_form_is_shown_once_for_a_click_and_not_for_what_has_ended(
    chat: SlackChat, slack: FakeSlack
) -> None:
    chat.ask(asked(), GROUP)
    clicked = slack.click("form_no")
    value = clicked["actions"][0]["value"]
    chat.open_form(clicked["trigger_id"], card=value, approve=False)
    with pytest.raises(Refused, match="exchanged_trigger_id"):
        chat.open_form(clicked["trigger_id"], card=value, approve=False)
    with pytest.raises(NotFound):
        chat.open_form(slack.click("form_no")["trigger_id"], card="f" * 24, approve=False)
    late = slack.click("form_no")
    chat.close("approval/run/1", APPROVED)
    with pytest.raises(Refused, match="approved by Ada"):
        chat.open_form(late["trigger_id"], card=value, approve=False)
