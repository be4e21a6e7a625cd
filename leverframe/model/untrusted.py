"""Text from outside. It can't be formatted into a string by accident and is opened per sink.

Event titles, stack frames, commit messages and comments are attacker-writable: anybody with a public
DSN can forge them. `Untrusted` refuses `str()` and f-strings, so each use names where the text goes.
"""

import html
import re
import unicodedata
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()+.!|~$:-])")
_REFERENCE = re.compile(
    r"""(?xi) [@\#] | (?:[!$]|&amp;)(?=\d) | [~%](?=[\w"]) | \bGH(?=\\-\d)   # people, issues, labels, epics …
    | :(?=\\?/) | \bwww(?=\\\.)                                               # addresses"""
)
"""What forges and the Temporal UI make a mention or a link of, in Markdown whose escapes are gone."""


def _visible(text: str, limit: int, *, lines: bool) -> str:
    """The text without escape sequences, control, bidirectional, zero-width and unassigned characters."""
    kept = []
    for char in _ANSI.sub("", text):
        if char in "\n\t" and lines:
            kept.append(char)
        elif unicodedata.category(char) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"):
            kept.append(" " if char in "\n\r\t\u2028\u2029" else "")
        else:
            kept.append(char)
    clean = "".join(kept)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


class Untrusted:
    """Text from outside, opened only by the name of the sink it goes to."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def for_terminal(self, limit: int = 200) -> str:
        """One line without escape sequences or control characters, at most `limit` characters."""
        return _visible(self._text, limit, lines=False)

    def for_markdown(self, limit: int = 200) -> str:
        """One line in which nothing has a meaning in Markdown or HTML, as a mention or as an address."""
        # Without leading spaces: four of them would begin a code block.
        visible = html.escape(_visible(self._text, limit, lines=False).strip(), quote=False)
        escaped = _MARKDOWN.sub(r"\\\1", visible)
        # These are looked for after Markdown is rendered, so escapes don't help: a word joiner parts them.
        return _REFERENCE.sub("\\g<0>\u2060", escaped)

    def for_markdown_block(self, limit: int = 4000) -> str:
        """A fenced code block whose fence is longer than any run of backticks inside."""
        clean = _visible(self._text, limit, lines=True)
        longest = max((len(run) for run in re.findall(r"`+", clean)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}text\n{clean}\n{fence}"

    def for_slack(self, limit: int = 200) -> str:
        """One line for a Slack `plain_text` element: `&`, `<` and `>` escaped, so no mention or link."""
        return html.escape(_visible(self._text, limit, lines=False), quote=False)

    def for_model(self, limit: int = 4000) -> str:
        """Visible text for a language model; the caller labels it as data, never as an instruction."""
        return _visible(self._text, limit, lines=True)

    def equals_one_of(self, known: frozenset[str]) -> str | None:
        """The member of a closed set of ours that the text equals, or None: how text may choose."""
        return self._text if self._text in known else None

    def stored(self) -> str:
        """The exact text, for storage and hashing only."""
        return self._text

    def __str__(self) -> str:
        raise TypeError("untrusted text is opened per sink: for_terminal, for_markdown, for_slack, for_model")

    def __format__(self, spec: str) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"Untrusted({len(self._text)} characters)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Untrusted) and self._text == other._text

    def __hash__(self) -> int:
        return hash(("Untrusted", self._text))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(cls, core_schema.str_schema()),
            python_schema=core_schema.union_schema(
                [
                    core_schema.is_instance_schema(cls),
                    core_schema.no_info_after_validator_function(cls, core_schema.str_schema()),
                ]
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value.stored(), return_schema=core_schema.str_schema()
            ),
        )
