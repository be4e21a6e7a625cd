"""Attack: a file name that pretends to be another, so that a path rule looks past what it should stop.

The policy here allows every path and every size. What is denied is denied by the list that no file can open.
"""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverframe.model.differences import FileDelta
from policies.decision import Verdict
from policies.documents import PolicySnapshot
from policies.evaluate import Evaluation, evaluate
from policies.intent import Intent
from policies.usage import Usage
from tests.fakes.asks import NOON, REVERT, ask, delta, difference, policy

TARGETS = (
    ".github/workflows/release.yml",
    ".gitlab-ci.yml",
    ".circleci/config.yml",
    "Jenkinsfile",
    "CODEOWNERS",
    "docs/CODEOWNERS",
    "policies/org.yaml",
    "AGENTS.md",
    "CLAUDE.md",
    ".gitmodules",
    "poetry.lock",
    "web/package-lock.json",
    ".quite-new/run",
)
SWAPS = {
    "s": "sSſｓＳ",
    "k": "kKKｋ",
    "i": "iIıİｉ",
    "o": "oOｏº",
    "c": "cCｃⅽ",
    "e": "eEｅℯ",
    "l": "lLｌⅼ",
    "a": "aAａª",
    ".": ".․．",
}
"""Characters that a file system without case, or a reader, takes for the first."""
HIDDEN = "\u200b\u200d\u2060\ufeff\u00ad\u202e\u202d\u2066\u200f\u034f\ufe0f\u3164\u0000\n\r\t\x1b\u2028"
OPEN = policy()


def asked(*files: FileDelta | str, snapshot: PolicySnapshot = OPEN, omitted: int = 0) -> Evaluation:
    """What a policy says about a merge request with these files."""
    intent = Intent.of(ask(effect=REVERT, difference=difference(*files, omitted=omitted)))
    return evaluate(snapshot, intent, Usage(snapshot), NOON)


def assert_protected(path: str) -> None:
    """Denied by the built-in list, and told without a character that could do anything."""
    told = asked("shop/checkout.py", path)
    assert told.verdict is Verdict.DENY, repr(path)
    assert all(finding.rule.startswith("protected.") for finding in told.findings), repr(path)
    assert all(finding.observed.isprintable() for finding in told.findings), repr(path)


def test_an_ordinary_path_passes_so_the_denials_below_mean_something() -> None:
    assert asked("shop/checkout.py", "tests/test_checkout.py").verdict is Verdict.ALLOW


@given(target=st.sampled_from(TARGETS), data=st.data())
@settings(deadline=None, max_examples=60)
def test_case_width_and_ligatures_hide_no_protected_name(target: str, data: st.DataObject) -> None:
    disguised = "".join(
        data.draw(st.sampled_from(SWAPS[char.lower()])) if char.lower() in SWAPS else char for char in target
    )
    assert_protected(disguised)


@given(
    target=st.sampled_from((*TARGETS, "shop/checkout.py")),
    hidden=st.sampled_from(HIDDEN),
    at=st.integers(0, 40),
)
@settings(deadline=None, max_examples=60)
def test_no_invisible_character_passes_anywhere_in_a_path(target: str, hidden: str, at: int) -> None:
    at = min(at, len(target))
    assert_protected(target[:at] + hidden + target[at:])


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "shop/../.github/workflows/ci.yml",
        "shop/./checkout.py",
        "/etc/passwd",
        "shop//checkout.py",
        "shop/",
        "",
        ".",
        "C:/Windows/win.ini",
        "shop\\..\\.github\\ci.yml",
        "shop/‥/checkout.py",
        "．．／etc／passwd",
        "shop∕checkout.py",
        "shop⁄checkout.py",
        "shop/checkout.py.",
        "shop/checkout.py ",
        " shop/checkout.py",
        "CODEOWNERS::$DATA",
        "GITHUB~1/workflows/ci.yml",
        "shop/\\udcff.py",
        "shop/\ud800.py",
        "shop/\ue000.py",
        "-rf",
        "shop/" + "x" * 400,
        "\ufdfa" * 60,
    ],
)
def test_a_path_that_could_mean_another_is_denied(path: str) -> None:
    assert_protected(path)


@pytest.mark.parametrize(
    "path", ["СODEOWNERS", "docs/CОDEOWNERS", "Јenkinsfile", "shop/pаyments.py", "pοlicies/org.yaml"]
)
def test_a_word_of_two_alphabets_is_denied(path: str) -> None:
    assert not path.isascii()
    assert "protected.lookalike" in [finding.rule for finding in asked(path).findings]


@pytest.mark.parametrize("path", ["shop/café.py", "shop/straße.py", "docs/überblick.md", "i18n/Übersicht.md"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_honest_names_in_other_languages_pass_in_both_compositions(path: str, form: str) -> None:
    told = asked(unicodedata.normalize("NFD" if form == "NFD" else "NFC", path))
    assert told.verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("000000", "120000"),
        ("100644", "120000"),
        ("000000", "160000"),
        ("160000", "160000"),
        ("100644", "100755"),
        ("000000", "100755"),
    ],
)
def test_links_submodules_and_new_executables_are_denied_below_an_allowed_path(old: str, new: str) -> None:
    entry = delta("shop/checkout.py").model_copy(update={"old_mode": old, "new_mode": new})
    told = asked(entry)
    assert told.verdict is Verdict.DENY
    assert [finding.rule.partition(".")[0] for finding in told.findings] == ["protected"]


def test_what_does_not_fit_into_the_difference_is_denied() -> None:
    assert "protected.unseen" in [finding.rule for finding in asked("shop/a.py", omitted=1).findings]


@given(data=st.data(), allow=st.sampled_from(["**", "policies/**", ".github/**", "CODEOWNERS", "**/*.lock"]))
@settings(deadline=None, max_examples=30)
def test_no_file_can_allow_what_is_protected(data: st.DataObject, allow: str) -> None:
    levers = (
        f"levers: {{open_merge_request: {{paths: {{allow: ['{allow}', '**']}},"
        " diff: {max_files: unlimited, max_lines: unlimited}}}"
    )
    told = asked(data.draw(st.sampled_from(TARGETS)), snapshot=policy(levers=levers))
    assert told.verdict is Verdict.DENY


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_no_disguise_gets_past_what_a_file_denies(data: st.DataObject) -> None:
    levers = (
        "levers: {open_merge_request: {paths: {allow: ['**'], deny: ['shop/secrets/**']},"
        " diff: {max_files: unlimited, max_lines: unlimited}}}"
    )
    disguised = "".join(
        data.draw(st.sampled_from(SWAPS[char] + char.upper())) if char in SWAPS else char
        for char in "shop/secrets/key"
    )
    told = asked(disguised, snapshot=policy(levers=levers))
    assert told.verdict is Verdict.DENY


def test_names_made_to_be_slow_are_judged_without_delay() -> None:
    """Three hundred of the worst names: a pattern that backtracks without end would never come back."""
    hostile = [f"{'.y' * 100}{number:03d}{'a/' * 90}x" for number in range(150)]
    hostile += [f"{number:03d}" + "*a" * 5_000 for number in range(150)]
    levers = (
        "levers: {open_merge_request: {paths: {allow: ['**/*a*b'], deny: ['**/a/**/*a*c']},"
        " diff: {max_files: unlimited, max_lines: unlimited}}}"
    )
    assert asked(*hostile, snapshot=policy(levers=levers)).verdict is Verdict.DENY
