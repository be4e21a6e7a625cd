"""Text from outside is inert in every sink and can't be formatted by accident."""

import html
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverframe.model.frozen import Frozen
from leverframe.model.untrusted import Untrusted

HOSTILE = "<!channel> **bold** [x](http://evil) \x1b[31mred\x1b[0m @bob #1 \u202eecilA ../../etc/passwd\n`rm`"


class Holder(Frozen):
    title: Untrusted


def test_formatting_untrusted_text_raises() -> None:
    text = Untrusted("hello")
    with pytest.raises(TypeError, match="per sink"):
        f"{text}"
    with pytest.raises(TypeError, match="per sink"):
        str(text)
    assert "hello" not in repr(text)


def test_it_survives_json_unchanged() -> None:
    holder = Holder(title=Untrusted(HOSTILE))
    assert json.loads(holder.model_dump_json()) == {"title": HOSTILE}
    assert Holder.model_validate_json(holder.model_dump_json()) == holder


def test_the_terminal_gets_one_line_without_escape_sequences() -> None:
    shown = Untrusted(HOSTILE).for_terminal()
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert "\u202e" not in shown


def test_markdown_gets_no_markup_no_mention_and_no_html() -> None:
    shown = Untrusted(HOSTILE).for_markdown()
    assert "<" not in shown
    assert "**" not in shown
    assert "[x](" not in shown
    assert "@bob" not in shown
    assert "#1" not in shown


@pytest.mark.parametrize(
    ("text", "parted"),
    [
        ("see http://evil", "http:/"),
        ("www.evil.example", "www."),
        ("!12", "!1"),
        ("~bug", "~b"),
        ("&5", "&5"),
        ("$3", "$3"),
        ("%1", "%1"),
        ("GH-7", "GH-"),
    ],
)
def test_what_forges_look_for_in_rendered_text_is_parted(text: str, parted: str) -> None:
    shown = html.unescape(Untrusted(text).for_markdown().replace("\\", ""))
    assert parted not in shown
    assert shown.replace("\u2060", "") == text


def test_leading_spaces_do_not_begin_a_code_block() -> None:
    assert Untrusted("    code\t").for_markdown() == "code"


def test_a_block_is_fenced_by_more_backticks_than_it_holds() -> None:
    block = Untrusted("a\n````\nb").for_markdown_block()
    assert block.startswith("`````text\n")
    assert block.endswith("\n`````")


def test_slack_gets_no_mention_and_no_link() -> None:
    shown = Untrusted("<!channel> <http://evil|Approve> & co").for_slack()
    assert "<" not in shown
    assert shown == "&lt;!channel&gt; &lt;http://evil|Approve&gt; &amp; co"


def test_text_chooses_only_within_a_closed_set() -> None:
    known = frozenset({"new-pricing"})
    assert Untrusted("new-pricing").equals_one_of(known) == "new-pricing"
    assert Untrusted("../new-pricing").equals_one_of(known) is None


@given(st.text(max_size=400))
def test_no_text_brings_a_control_character_to_the_terminal(text: str) -> None:
    shown = Untrusted(text).for_terminal()
    assert len(shown) <= 200
    assert all(char.isprintable() or char.isspace() for char in shown.replace("\xad", ""))
    assert not any(char in shown for char in "\x1b\x07\x9b\r\n")
