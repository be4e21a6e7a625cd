"""What Slack refuses in blocks and views: the SDK's own validators, and the limits that they leave out.

https://docs.slack.dev/reference/block-kit and https://docs.slack.dev/reference/views
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

MAX_BLOCKS = 50
MAX_VIEW_BLOCKS = 100
LIMITS = {"header": 150, "section": 3000, "context": 2000}
MESSAGE, CONTAINER = 13_000, 100
"""Characters of a message with what holds each block. Not documented: as measured by users of
https://github.com/slackapi/bolt-js/issues/2509, where Slack answers `msg_blocks_too_long`."""
TITLE, BUTTON, VALUE, METADATA, OPTION = 24, 75, 2000, 3000, 75


def wrong_blocks(blocks: Any, *, most: int = MAX_BLOCKS) -> str | None:
    """Why Slack would answer `invalid_blocks`; None for blocks that it takes."""
    if not isinstance(blocks, list) or not 0 < len(blocks) <= most:
        return "the number of blocks"
    size = len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))) + CONTAINER * len(blocks)
    if most == MAX_BLOCKS and size > MESSAGE:
        return f"{size} characters in a message"
    parsed = Block.parse_all(blocks)
    if len(parsed) != len(blocks) or any(type(block) is Block for block in parsed):
        return "an unknown type of block"
    try:
        for block in parsed:
            block.to_dict()
    except SlackObjectFormationError as error:
        return str(error)
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(ids) != len(set(ids)):
        return "a block_id twice"
    return next((wrong for block in blocks if (wrong := _wrong_block(block))), None)


def wrong_view(view: Any) -> str | None:
    """Why Slack would answer `invalid_arguments` to a modal."""
    if not isinstance(view, dict) or view.get("type") != "modal":
        return "not a modal"
    try:
        View(**view).to_dict()
    except SlackObjectFormationError as error:
        return str(error)
    titles = [view[name]["text"] for name in ("title", "submit", "close") if name in view]
    if "title" not in view or not all(0 < len(text) <= TITLE for text in titles):
        return "a title that is missing or too long"
    if len(view.get("private_metadata", "")) > METADATA:
        return "private_metadata"
    inputs = any(block.get("type") == "input" for block in view["blocks"])
    if inputs and "submit" not in view:
        return "inputs without a submit button"
    return wrong_blocks(view["blocks"], most=MAX_VIEW_BLOCKS)


def texts(value: Any) -> Iterator[dict[str, Any]]:
    """Every text object below a value."""
    if isinstance(value, dict):
        if value.get("type") in ("plain_text", "mrkdwn") and "text" in value:
            yield value
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def controls(value: Any) -> list[str]:
    """Everything between angle brackets below a value: what Slack makes mentions, links and dates of."""
    return [found for each in texts(value) for found in re.findall(r"<([^<>]*)>", each["text"])]


def _wrong_block(block: dict[str, Any]) -> str | None:
    kind = block["type"]
    if any(not each["text"] for each in texts(block)):
        return "an empty text"
    if kind == "header" and block["text"]["type"] != "plain_text":
        return "a header that is not plain text"
    limit = LIMITS.get(kind, VALUE)
    if any(len(each["text"]) > limit for each in texts(block)):
        return f"a text of more than {limit} characters in a {kind}"
    elements = [*block.get("elements", []), *([block["element"]] if "element" in block else [])]
    named = [element["action_id"] for element in elements if "action_id" in element]
    if len(named) != len(set(named)):
        return "an action_id twice in a block"
    return next((wrong for element in elements if (wrong := _wrong_element(element))), None)


def _wrong_element(element: dict[str, Any]) -> str | None:
    if element["type"] == "button":
        if len(element["text"]["text"]) > BUTTON or len(element.get("value", "")) > VALUE:
            return "a button's text or value"
        if element.get("style", "primary") not in ("primary", "danger"):
            return "a button's style"
    if element["type"] == "static_select" and not all(
        0 < len(option["text"]["text"]) <= OPTION and 0 < len(option["value"]) <= 150
        for option in element["options"]
    ):
        return "an option"
    return None
