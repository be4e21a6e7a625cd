"""CODEOWNERS, as GitHub and GitLab read it."""

import pytest

from activities.code_owners import CodeOwners

GITHUB = CodeOwners(
    """
# Everything is theirs unless a later line says otherwise.
* @acme/everybody
*.md @writer docs@acme.example  # a remark
/docs/ docs@acme.example
tests/payments/ @acme/payments @ada
/generated/
[broken @nobody
with\\ space/ @spacer
"""
)


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("a/b.txt", "@acme/everybody"),
        ("README.md", "@writer"),
        ("docs/guide.md", "docs@acme.example"),
        ("sub/docs/guide.txt", "@acme/everybody"),
        ("tests/payments/test_card.py", "@acme/payments"),
        ("generated/x.py", None),
        ("with space/x", "@spacer"),
    ],
)
def test_the_last_line_that_matches_decides_and_the_first_owner_is_named(
    path: str, owner: str | None
) -> None:
    assert GITHUB.owner_of(path) == owner


def test_a_section_gives_its_owners_to_its_lines_that_name_none() -> None:
    owners = CodeOwners("[Payments][2] @acme/payments\n/pay/\n/pay/card/ @ada\n^[Optional]\n/more/\n")
    assert owners.owner_of("pay/x.py") == "@acme/payments"
    assert owners.owner_of("pay/card/x.py") == "@ada"
    assert owners.owner_of("more/x.py") is None


@pytest.mark.parametrize("name", ["@`id`", "@a|b", "@<b>", "@" + "a" * 300, "nobody"])
def test_a_name_that_is_none_owns_nothing(name: str) -> None:
    assert CodeOwners(f"* {name}\n").owner_of("a.py") is None


def test_an_empty_file_gives_nothing_to_anybody() -> None:
    assert CodeOwners("").owner_of("a.py") is None


@pytest.mark.parametrize("pattern", ["a*" * 40 + "b", "**/a/" * 40 + "b", "[" * 5000, "?" * 5000])
def test_a_pattern_that_would_be_tried_for_hours_owns_nothing(pattern: str) -> None:
    owners = CodeOwners(f"* @acme/everybody\n{pattern} @mallory\n")
    assert owners.owner_of("a" * 500) == "@acme/everybody"
    assert owners.owner_of("a/" * 240 + "c") == "@acme/everybody"


def test_patterns_as_people_write_them_are_kept() -> None:
    owners = CodeOwners("**/*test*/**/x_*.py @acme/tests\n")
    assert owners.owner_of("a/my_tests/b/c/x_1.py") == "@acme/tests"
