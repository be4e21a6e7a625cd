"""Sentry envelopes: a header line, then items, each with a header line and a payload.

Protocol: https://develop.sentry.dev/sdk/data-model/envelopes/. Pure; reads bytes, returns values.
"""

from dataclasses import dataclass

from leverframe.gateway.documents import parse_object
from leverframe.model.errors import BadInput

MAX_ITEMS = 100
MAX_HEADER_BYTES = 16_384


@dataclass(frozen=True, kw_only=True)
class Item:
    """One item, its payload not yet looked at."""

    type: str
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What one request carries."""

    event_id: str | None
    """As the sender wrote it."""
    items: tuple[Item, ...]


def parse_envelope(body: bytes, *, max_bytes: int) -> Envelope:
    """Take an uncompressed envelope apart.

    Raises:
        BadInput: larger than `max_bytes`, more than `MAX_ITEMS` items, a header that is no JSON object,
            or an item that ends before its `length`.
    """
    if len(body) > max_bytes:
        raise BadInput(f"the envelope has {len(body)} bytes; the limit is {max_bytes}")
    header, position = _header(body, 0, "the envelope header")
    event_id = header.get("event_id")
    if event_id is not None and not isinstance(event_id, str):
        raise BadInput("event_id in the envelope header is not a string")
    items: list[Item] = []
    while (position := _skip_newlines(body, position)) < len(body):
        if len(items) == MAX_ITEMS:
            raise BadInput(f"the envelope has more than {MAX_ITEMS} items")
        item, position = _item(body, position, len(items) + 1)
        items.append(item)
    return Envelope(event_id=event_id, items=tuple(items))


def _item(body: bytes, position: int, number: int) -> tuple[Item, int]:
    what = f"item {number}"
    header, position = _header(body, position, f"the header of {what}")
    type_ = header.get("type")
    if not isinstance(type_, str) or not type_:
        raise BadInput(f"{what} has no type")
    length = header.get("length")
    if length is None:
        end = _line_end(body, position)
    elif isinstance(length, bool) or not isinstance(length, int) or length < 0:
        raise BadInput(f"the length of {what} is not a number of bytes")
    else:
        end = position + length
        if end > len(body):
            raise BadInput(f"{what} is truncated: {length} bytes announced, {len(body) - position} came")
        if body[end : end + 1] not in (b"", b"\n"):
            raise BadInput(f"{what} is longer than the {length} bytes it announces")
    return Item(type=type_, payload=body[position:end]), end + 1


def _header(body: bytes, position: int, what: str) -> tuple[dict[str, object], int]:
    end = _line_end(body, position)
    if end - position > MAX_HEADER_BYTES:
        raise BadInput(f"{what} is longer than {MAX_HEADER_BYTES} bytes")
    return parse_object(body[position:end], what), min(end + 1, len(body))


def _line_end(body: bytes, position: int) -> int:
    end = body.find(b"\n", position)
    return len(body) if end < 0 else end


def _skip_newlines(body: bytes, position: int) -> int:
    while body[position : position + 1] == b"\n":
        position += 1
    return position
