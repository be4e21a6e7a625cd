"""The hidden line by which a comment or an issue of ours is found again, whatever people write below it."""

import re
from urllib.parse import quote, unquote

_MARKER = re.compile(r"\A<!-- leverframe:(\S+) -->\n?")


def marked(key: str, body: str) -> str:
    """Markdown that carries the key in a comment of HTML, which no forge shows."""
    return f"<!-- leverframe:{quote(key, safe='/:.')} -->\n{body}"


def key_of(text: str) -> str | None:
    """The key that a text carries; None for a text without one. Anybody can write it: ask who did."""
    found = _MARKER.match(text)
    return unquote(found[1]) if found else None


def body_of(text: str) -> str:
    """The text without its marker, with lines that end in LF."""
    return _MARKER.sub("", text.replace("\r\n", "\n"), count=1)
