"""The overlay: one `kustomization.yaml` whose `images[].newTag` names the live SHA. Pure.

An edit replaces the characters of one scalar, found where ruamel.yaml's round-trip loader says it
stands, so comments, order and layout stay as people wrote them.
"""

import re
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from leverframe.model.errors import BadInput

_SHA = re.compile(r"[0-9a-f]{40}")
_SCALAR = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|[^\s,}\]#]*")


class _Tag(NamedTuple):
    """Where `newTag` stands and what it says."""

    value: str
    line: int
    column: int


def named_sha(text: str, image: str) -> str | None:
    """The SHA that the image's `newTag` names; None for a tag that is not a SHA. Raises BadInput."""
    tag = _find(text, image).value
    return tag if _SHA.fullmatch(tag) else None


def point_at(text: str, image: str, sha: str) -> str:
    """The same text with the image's `newTag` naming `sha`.

    Raises:
        BadInput: the file is no kustomization with that image and a plain one-line `newTag`.
    """
    tag = _find(text, image)
    lines = text.splitlines(keepends=True)
    line = lines[tag.line]
    old = _SCALAR.match(line, tag.column)
    if old is None or not old.group():
        raise BadInput(f"newTag of image {image} is not a scalar on one line: write one there by hand")
    quote = old.group()[0] if old.group()[0] in "'\"" else ""
    if not quote and not re.search("[abcdf]", sha):
        quote = '"'  # All digits, or digits around one "e", would be a number.
    lines[tag.line] = f"{line[: tag.column]}{quote}{sha}{quote}{line[old.end() :]}"
    edited = "".join(lines)
    if named_sha(edited, image) != sha:
        raise BadInput(f"newTag of image {image} can't be edited safely: write it on a line of its own")
    return edited


def _find(text: str, image: str) -> _Tag:
    try:
        document = YAML(typ="rt").load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(f"the overlay is not YAML: {first}") from error
    images = document.get("images") if isinstance(document, CommentedMap) else None
    for item in images if isinstance(images, CommentedSeq) else ():
        if isinstance(item, CommentedMap) and item.get("name") == image and "newTag" in item:
            line, column = item.lc.value("newTag")
            value = item["newTag"]
            return _Tag(value if isinstance(value, str) else _as_written(text, line, column), line, column)
    raise BadInput(f"the overlay has no images entry with the name {image} and a newTag")


def _as_written(text: str, line: int, column: int) -> str:
    """A SHA of digits alone, or around one "e", is a number to YAML: its characters are the name."""
    written = _SCALAR.match(text.splitlines()[line], column)
    return written.group() if written else ""
