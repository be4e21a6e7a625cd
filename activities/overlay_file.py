"""The overlay: one `kustomization.yaml` whose `images[].newTag` names the live SHA. Pure.

Beside `newTag`, `digest` may pin what that SHA was built as. Kustomize (5.0 and newer) renders both as
`<name>:<newTag>@<digest>`, and whatever pulls that goes by the digest alone: the tag says which commit it is.

An edit replaces the characters of scalars, found where ruamel.yaml's round-trip loader says they stand, so
comments, order and layout stay as people wrote them.
"""

import re
from typing import NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from leverframe.model.errors import BadInput

_SHA = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SCALAR = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|[^\s,}\]#]*")


class Named(NamedTuple):
    """What an overlay says should run."""

    sha: str | None
    """None for a tag that is not a SHA."""
    digest: str | None
    """What it pins beside the SHA, as it is written."""


NOTHING = Named(None, None)


class _Place(NamedTuple):
    """Where a value stands and what it says."""

    value: str
    line: int
    column: int


def named(text: str, image: str) -> Named:
    """What the image's entry names. Raises BadInput."""
    entry = _entry(_loaded(text), image)
    tag, digest = _place(text, entry, "newTag").value, entry.get("digest")
    return Named(tag if _SHA.fullmatch(tag) else None, None if digest is None else str(digest))


def named_sha(text: str, image: str) -> str | None:
    """The SHA that the image's `newTag` names; None for a tag that is not a SHA. Raises BadInput."""
    return named(text, image).sha


def point_at(text: str, image: str, sha: str, digest: str | None = None) -> str:
    """The same text with the image's entry naming `sha`, and exactly this digest or none.

    Raises:
        BadInput: the file is no kustomization with that image and plain one-line values.
    """
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise BadInput(f"{digest[:80]!r} is no digest: sha256: and 64 hex digits")
    edited = _with_tag(text, image, sha)
    entry = _entry(_loaded(edited), image)
    if "digest" not in entry:
        edited = edited if digest is None else _with_new_digest(edited, image, entry, digest)
    elif digest is None:
        edited = _without_digest(edited, image, entry)
    else:
        edited = _replaced(edited, image, "digest", _place(edited, entry, "digest"), digest)
    if named(edited, image) != (sha, digest) or _others(edited, image) != _others(text, image):
        raise BadInput(
            f"the entry of image {image} can't be edited safely: write each key on a line of its own"
        )
    return edited


def _with_tag(text: str, image: str, sha: str) -> str:
    place = _place(text, _entry(_loaded(text), image), "newTag")
    return _replaced(text, image, "newTag", place, sha)


def _replaced(text: str, image: str, key: str, place: _Place, value: str) -> str:
    lines = text.splitlines(keepends=True)
    line = lines[place.line]
    old = _SCALAR.match(line, place.column)
    if old is None or not old.group():
        raise BadInput(f"{key} of image {image} is not a scalar on one line: write one there by hand")
    quote = old.group()[0] if old.group()[0] in "'\"" else ""
    if not quote and not re.search("[abcdf:]", value):
        quote = '"'  # All digits, or digits around one "e", would be a number.
    lines[place.line] = f"{line[: place.column]}{quote}{value}{quote}{line[old.end() :]}"
    return "".join(lines)


def _with_new_digest(text: str, image: str, entry: CommentedMap, digest: str) -> str:
    """`digest` right after `newTag`: a line of its own, or in the same braces."""
    tag, (key_line, indent) = _place(text, entry, "newTag"), entry.lc.key("newTag")
    lines = text.splitlines(keepends=True)
    line = lines[tag.line]
    if entry.fa.flow_style():
        written = _SCALAR.match(line, tag.column)
        end = written.end() if written else len(line)
        lines[tag.line] = f"{line[:end]}, digest: {digest}{line[end:]}"
    elif key_line == tag.line:
        written_line = line.rstrip("\r\n")
        ending = line[len(written_line) :]
        lines[tag.line] = f"{written_line}{ending or chr(10)}{' ' * indent}digest: {digest}{ending}"
    else:
        raise BadInput(f"newTag of image {image} is not on one line: write a digest below it by hand")
    return "".join(lines)


def _without_digest(text: str, image: str, entry: CommentedMap) -> str:
    line, _ = entry.lc.key("digest")
    lines = text.splitlines(keepends=True)
    if entry.fa.flow_style() or not re.match(r"\s*digest\s*:", lines[line]):
        raise BadInput(f"digest of image {image} is not on a line of its own: take it out by hand")
    del lines[line]
    return "".join(lines)


def _loaded(text: str) -> object:
    try:
        return YAML(typ="rt").load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(f"the overlay is not YAML: {first}") from error


def _entry(document: object, image: str) -> CommentedMap:
    images = document.get("images") if isinstance(document, CommentedMap) else None
    for item in images if isinstance(images, CommentedSeq) else ():
        if isinstance(item, CommentedMap) and item.get("name") == image and "newTag" in item:
            return item
    raise BadInput(f"the overlay has no images entry with the name {image} and a newTag")


def _others(text: str, image: str) -> object:
    """Everything that an edit must leave alone."""
    document = _loaded(text)
    entry = _entry(document, image)
    entry["newTag"] = ""
    entry.pop("digest", None)
    return document


def _place(text: str, entry: CommentedMap, key: str) -> _Place:
    line, column = entry.lc.value(key)
    value = entry[key]
    return _Place(value if isinstance(value, str) else _as_written(text, line, column), line, column)


def _as_written(text: str, line: int, column: int) -> str:
    """A SHA of digits alone, or around one "e", is a number to YAML: its characters are the name."""
    written = _SCALAR.match(text.splitlines()[line], column)
    return written.group() if written else ""
