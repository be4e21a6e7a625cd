"""Names that pretend to be others: each is told apart by the one thing that is wrong with it."""

import pytest

from policies.intent import Intent
from policies.paths import protected
from tests.fakes.asks import REVERT, ask, difference


def guarded(path: str) -> list[str]:
    """The protections that a difference of this one file meets."""
    intent = Intent.of(ask(effect=REVERT, difference=difference(path)))
    return [finding.rule.removeprefix("protected.") for finding in protected(intent)]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "shop//a.py",
        "shop/a.py/",
        "shop/./a.py",
        "shop/../a.py",
        "shop/a.",
        "shop/a ",
        " shop/a",
        "-rf",
        "shop:a",
        "shop\\a",
        "shop\u2215a",
        "shop/a\u3164",
        "shop~1/a",
        "shop/a\u00a0b",
        "shop/a\tb",
        "shop/a\u200bb",
        "shop/\ue000",
    ],
)
def test_a_path_that_could_be_read_as_another_is_refused_for_its_form(path: str) -> None:
    assert "path" in guarded(path)


def test_a_path_has_at_most_400_characters() -> None:
    assert guarded("a" * 400) == []
    assert guarded("a" * 401) == ["path"]


@pytest.mark.parametrize("name", ["a.py", "AGENTS.md", "policies/org.yaml", ".github/ci.yml"])
def test_letters_that_are_more_without_their_case_push_no_name_out_of_sight(name: str) -> None:
    """`ß` is `ss` where case does not matter: what follows so many of them lies beyond the bound."""
    assert "path" in guarded(f"{'ß' * 300}/{name}")
    assert guarded(f"{'ß' * 100}/a.py") == []


@pytest.mark.parametrize("letter", ["а", "ο", "օ", "Ꭰ", "ⲟ", "ꓮ"])
def test_a_word_of_latin_letters_and_of_others_that_look_alike_is_refused(letter: str) -> None:
    assert guarded(f"shop/p{letter}ge.py") == ["lookalike"]
    assert guarded(f"shop/page-{letter}.py") == [], "in two words they are told apart"


def test_a_mixed_word_is_seen_at_the_end_of_a_path_that_is_long_without_its_case() -> None:
    assert "lookalike" in guarded(f"{'ß' * 300}/pаge.py")


@pytest.mark.parametrize("word", ["pageテ", "page𗀀"])
def test_latin_letters_beside_an_alphabet_that_looks_like_nothing_else_are_an_ordinary_word(
    word: str,
) -> None:
    """The letters of the second word's alphabet, Tangut, have no names."""
    assert guarded(f"shop/{word}.py") == []
