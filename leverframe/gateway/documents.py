"""JSON from outside, read without trusting it."""

import json
import re
from typing import NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from leverframe.model.errors import BadInput

M = TypeVar("M", bound=BaseModel)

MAX_DEPTH = 64
"""Deeper nesting than any SDK sends, and far from the interpreter's recursion limit."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""A string literal, or one that never ends. Possessive, so hostile quotes cost linear time."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_BRACKET = re.compile(r"[\[\]{}]")


def parse_json(raw: bytes, what: str) -> object:
    """The value of a JSON document in UTF-8.

    Args:
        raw: the document.
        what: what it is, for the error's sentence.

    Raises:
        BadInput: not UTF-8, not JSON, nested deeper than `MAX_DEPTH`, a key twice in one object, or a
            number that JSON does not have.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{what} is not UTF-8: byte {error.start} can't be decoded") from error
    _check_depth(text, what)
    try:
        value: object = _load(text)
        if _SURROGATE.search(text):
            # Senders cut texts in the middle of an emoji; half of one can't be stored as UTF-8.
            value = _load(json.dumps(value, ensure_ascii=False).encode(errors="replace").decode())
        return value
    except ValueError as error:
        # Covers JSONDecodeError and integers with more digits than Python converts.
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise BadInput(f"{what} is not valid JSON: {reason}") from error


def parse_object(raw: bytes, what: str) -> dict[str, object]:
    """A JSON document that must be an object. Raises BadInput."""
    value = parse_json(raw, what)
    if not isinstance(value, dict):
        raise BadInput(f"{what} is a JSON {type(value).__name__}, not an object")
    return value


def parse_as(model: type[M], raw: bytes, where: str) -> M:
    """A JSON object as a model, of exactly its types. Raises BadInput that begins with `where`."""
    try:
        parse_object(raw, "the line")
        return model.model_validate_json(raw, strict=True)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, item['loc'])) or 'line'}: {item['msg']}" for item in error.errors()[:3]]
        raise BadInput(f"{where}: {'; '.join(wrong)}") from error


def _load(text: str) -> object:
    return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)


def _check_depth(text: str, what: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        depth += 1 if bracket.group() in "[{" else -1
        if depth > MAX_DEPTH:
            raise BadInput(f"{what} is nested deeper than {MAX_DEPTH} levels")


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        # Two parsers may disagree about which one counts, so neither does.
        raise BadInput("an object in the JSON has the same key twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise BadInput(f"the JSON holds {name}, which is not a JSON number")
