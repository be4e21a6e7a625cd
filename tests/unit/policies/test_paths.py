"""Rules on the final difference: what is protected everywhere, what a file allows, how large it may be."""

import pytest

from leverframe.model.differences import FileDelta, TreeDifference
from leverframe.model.proposals import Effect
from policies.decision import Finding, Verdict
from policies.documents import PolicyDocument, parse
from policies.intent import Intent
from policies.paths import findings, protected, unspecified
from policies.protected import covers_folder
from tests.fakes.asks import BACK, OFF, REVERT, ask, delta, difference, policy


def intent(change: TreeDifference | None, effect: Effect = REVERT) -> Intent:
    """An intent with this difference."""
    return Intent.of(ask(effect=effect, difference=change))


def said(rule: str, change: TreeDifference | None) -> list[Finding]:
    """What one file says whose lever to open merge requests has this rule."""
    head = "version: 1\nlayer: org\nautonomy: act\nkill_switch: false\nlevers:\n  open_merge_request:\n"
    document = parse({"org.yaml": f"{head}    {rule}\n"}).documents[0]
    return list(findings(document, intent(change)))


def guarded(*files: FileDelta | str, omitted: int = 0) -> list[str]:
    """The protections that the difference meets."""
    return [finding.rule for finding in protected(intent(difference(*files, omitted=omitted)))]


def entry(path: str, old: str, new: str) -> FileDelta:
    """One entry of a tree with these modes."""
    return FileDelta.model_validate(
        {"path": path, "change": "modified", "old_mode": old, "new_mode": new, "added": 1, "removed": 0}
    )


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        (".github/workflows/ci.yml", "ci"),
        ("services/api/.github/actions/x/action.yml", "ci"),
        (".gitlab-ci.yml", "ci"),
        ("ci/build.gitlab-ci.yaml", "ci"),
        (".circleci/config.yml", "ci"),
        ("Jenkinsfile", "ci"),
        ("deploy/Jenkinsfile.release", "ci"),
        ("azure-pipelines.yaml", "ci"),
        (".travis.yml", "ci"),
        ("web/.drone.star", "ci"),
        (".drone.jsonnet", "ci"),
        (".cirrus.star", "ci"),
        ("service/.pre-commit-config.yaml", "ci"),
        (".gitattributes", "git"),
        ("vendor/.gitmodules", "git"),
        (".mailmap", "git"),
        (".brand-new/anything", "dot_folder"),
        (".leverframe/other.yaml", "dot_folder"),
        ("packages/x/.husky/pre-commit", "dot_folder"),
        ("shop/.leverframe/quarantine.yaml", "dot_folder"),
        ("apps/web/.storybook/deep/main.js", "dot_folder"),
        ("CODEOWNERS", "owners"),
        ("docs/CODEOWNERS", "owners"),
        ("policies/org.yaml", "policies"),
        ("platform/policies/agents/a.yaml", "policies"),
        ("docs/Policies/review.md", "policies"),
        ("AGENTS.md", "agent_instructions"),
        ("shop/CLAUDE.local.md", "agent_instructions"),
        (".cursorrules", "agent_instructions"),
        ("uv.lock", "lock_file"),
        ("web/package-lock.json", "lock_file"),
        ("web/pnpm-lock.yaml", "lock_file"),
        ("go.sum", "lock_file"),
        ("requirements/runtime.txt", "lock_file"),
        ("web/.npmrc", "lock_file"),
    ],
)
def test_what_is_protected_everywhere_is_found_at_any_depth(path: str, rule: str) -> None:
    assert f"protected.{rule}" in guarded(path)


@pytest.mark.parametrize(
    "path",
    [
        "shop/checkout.py",
        "tests/test_bulk_pricing.py",
        "deploy/overlays/production/kustomization.yaml",
        ".leverframe/quarantine.yaml",
        "docs/policies.md",
        "shop/owners/models.py",
        "shop/agents.py",
        "shop/locks.py",
        "package.json",
        "docs/übersicht.md",
        "docs/тест.py",
        "docs/テスト plan (2).md",
        "web/app/[id]/page.tsx",
        "shop/.keep",
    ],
)
def test_ordinary_names_are_not_protected(path: str) -> None:
    assert guarded(path) == []


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        ("100644", "100644", []),
        ("000000", "100644", []),
        ("100755", "100755", []),
        ("100755", "000000", []),
        ("000000", "100755", ["protected.mode"]),
        ("100644", "100755", ["protected.mode"]),
        ("100755", "100644", ["protected.mode"]),
        ("040000", "100644", ["protected.mode"]),
        ("000000", "000000", ["protected.mode"]),
        ("000000", "120000", ["protected.symlink"]),
        ("120000", "000000", ["protected.symlink"]),
        ("100644", "120000", ["protected.symlink"]),
        ("160000", "160000", ["protected.submodule"]),
        ("000000", "160000", ["protected.submodule"]),
    ],
)
def test_only_plain_files_change_and_none_becomes_executable(old: str, new: str, rules: list[str]) -> None:
    assert guarded(entry("shop/run.sh", old, new)) == rules


def test_files_that_nobody_looked_at_are_denied() -> None:
    (found,) = protected(intent(difference("shop/a.py", omitted=7)))
    assert found == Finding(
        rule="protected.unseen",
        verdict=Verdict.DENY,
        observed="7 more files than are looked at",
        limit="every file of the difference is looked at",
        remedy="Split the change.",
        source="built in",
    )


def test_the_protected_list_holds_for_every_lever_that_changes_files() -> None:
    change = difference(".github/workflows/ci.yml")
    assert [finding.rule for finding in protected(intent(change, BACK))] == [
        "protected.ci",
        "protected.dot_folder",
    ]
    assert list(protected(intent(None, OFF))) == []


def test_a_finding_names_the_first_paths_safely_and_counts_the_rest() -> None:
    hostile = [f"Jenkinsfile{number}\x1b[31m\u202e" for number in range(5)]
    found = next(
        finding for finding in protected(intent(difference(*hostile))) if finding.rule.endswith("ci")
    )
    assert found.observed == "Jenkinsfile0, Jenkinsfile1, Jenkinsfile2 and 2 more"


def test_a_finding_names_no_path_at_length_and_says_so_when_nothing_of_it_can_be_seen() -> None:
    (found,) = said("paths: {allow: []}", difference("a" * 80, "b" * 81, "\u200b\u202e"))
    assert found.observed == f"{'a' * 80}, {'b' * 79}…, (nothing visible)"


@pytest.mark.parametrize(("count", "more"), [(1, ""), (3, ""), (4, " and 1 more")])
def test_only_what_is_not_shown_is_counted(count: int, more: str) -> None:
    (found,) = said("paths: {allow: []}", difference(*[f"a{number}" for number in range(count)]))
    assert found.observed == ", ".join(f"a{number}" for number in range(min(count, 3))) + more


def test_rules_on_merge_requests_say_nothing_about_other_levers() -> None:
    document = policy(levers="levers: {roll_back: {}, open_merge_request: {paths: {allow: []}}}").documents[1]
    assert document.file == "org.yaml"
    assert len(list(findings(document, intent(difference(), REVERT)))) == 1
    assert list(findings(document, intent(difference(), BACK))) == []
    assert list(findings(document, intent(None, REVERT))) == []
    unlisted = policy(levers="levers: {roll_back: {}}").documents[1]
    assert list(findings(unlisted, intent(difference()))) == []


def test_every_path_must_match_what_is_allowed() -> None:
    assert said("paths: {allow: ['shop/**', 'tests/**']}", difference("shop/a.py", "tests/b.py")) == []
    (found,) = said("paths: {allow: ['shop/**']}", difference("shop/a.py", "deploy/base.yaml"))
    assert found.rule == "org.levers.open_merge_request.paths.allow"
    assert (found.verdict, found.source) == (Verdict.DENY, "org.yaml:7")
    assert (found.observed, found.limit) == ("deploy/base.yaml", "only shop/**")


def test_an_empty_list_allows_nothing_and_a_missing_one_says_nothing() -> None:
    (found,) = said("paths: {allow: []}", difference("shop/a.py"))
    assert found.limit == "no path"
    assert said("paths: {}", difference("shop/a.py")) == []


@pytest.mark.parametrize("path", ["shop/payments/fee.py", "Shop/PAYMENTS/fee.py", "shop/pａyments/fee.py"])
def test_a_denied_path_is_denied_in_any_case_and_width(path: str) -> None:
    found = said("paths: {allow: ['**'], deny: ['shop/payments/**']}", difference("shop/a.py", path))
    assert [finding.rule for finding in found] == ["org.levers.open_merge_request.paths.deny"]
    assert found[0].observed == path


def test_a_wildcard_in_a_denied_path_stands_for_what_is_written_there_and_for_what_it_is_read_as() -> None:
    for glob, path in (("stra?e/**", "straße/a.py"), ("stra??e/**", "straße/a.py")):
        (found,) = said(f"paths: {{deny: ['{glob}']}}", difference(path))
        assert found.observed == path


def test_a_path_that_may_not_change_is_told_with_every_pattern_and_where_they_stand() -> None:
    indent = "\n" + 6 * " "
    lists = ("allow:", "- shop/**", "- tests/**", "deny:", "- docs/**", "- shop/fees/**")
    outside, caught = said("paths:" + "".join(indent + line for line in lists), difference("docs/a.md"))
    assert (outside.limit, outside.source) == ("only shop/**, tests/**", "org.yaml:8")
    assert (caught.limit, caught.source) == ("not docs/**, shop/fees/**", "org.yaml:11")
    assert outside.remedy == ("Let a person change these files, or add them to `paths.allow` at org.yaml:8.")
    assert caught.remedy == "Let a person change these files, or narrow `paths.deny` at org.yaml:11."


def test_what_is_allowed_is_spelled_as_it_is_written() -> None:
    assert said("paths: {allow: ['shop/**']}", difference("SHOP/a.py")) != []
    assert said("paths: {allow: ['shop/**']}", difference("ｓhop/a.py")) != []


@pytest.mark.parametrize(
    ("cap", "exceeded"),
    [
        ("{max_files: 2, max_lines: 6}", []),
        ("{max_files: 1, max_lines: 6}", ["max_files"]),
        ("{max_files: 2, max_lines: 5}", ["max_lines"]),
        ("{max_files: 0, max_lines: 0}", ["max_files", "max_lines"]),
        ("{max_files: unlimited, max_lines: unlimited}", []),
    ],
)
def test_files_and_lines_are_counted_against_their_caps(cap: str, exceeded: list[str]) -> None:
    found = said(f"diff: {cap}", difference("shop/a.py", "shop/b.py"))
    assert [finding.rule.rpartition(".")[2] for finding in found] == exceeded
    assert all(finding.verdict is Verdict.DENY for finding in found)


@pytest.mark.parametrize(
    ("more", "tail"), [("", "."), (", on_exceed: escalate", ", or ask a person to approve it.")]
)
def test_a_change_that_is_too_large_is_told_how_large_it_may_be_and_where_that_stands(
    more: str, tail: str
) -> None:
    cap = f"diff:\n      max_files: 1\n      max_lines: 5{more.replace(', ', chr(10) + 6 * ' ')}"
    files, lines = said(cap, difference("shop/a.py", "shop/b.py"))
    assert [each.rule for each in (files, lines)] == [
        "org.levers.open_merge_request.diff.max_files",
        "org.levers.open_merge_request.diff.max_lines",
    ]
    assert (files.observed, files.limit, files.source) == ("2 files", "at most 1 files", "org.yaml:8")
    assert files.remedy == f"Split the change, or raise `max_files` at org.yaml:8{tail}"
    assert (lines.observed, lines.limit, lines.source) == ("6 lines", "at most 5 lines of text", "org.yaml:9")
    assert lines.remedy == f"Split the change, or raise `max_lines` at org.yaml:9{tail}"


def test_files_that_are_not_kept_count_against_the_cap() -> None:
    (found,) = said("diff: {max_files: 5, max_lines: unlimited}", difference("shop/a.py", omitted=5))
    assert found.observed == "6 files"


def test_a_cap_can_ask_people_instead() -> None:
    (found,) = said("diff: {max_files: 0, max_lines: 9, on_exceed: escalate}", difference("shop/a.py"))
    assert found.verdict is Verdict.ESCALATE
    assert "ask a person" in found.remedy


def test_a_binary_file_passes_only_without_a_cap_on_lines() -> None:
    picture = delta("shop/logo.png", added=0, removed=0).model_copy(update={"binary": True})
    (found,) = said("diff: {max_files: 5, max_lines: 100}", difference(picture))
    assert found.observed == "0 lines and 1 binary files"
    assert said("diff: {max_files: 5, max_lines: unlimited}", difference(picture)) == []


def test_a_merge_request_without_its_difference_is_denied() -> None:
    documents = policy().documents
    (found,) = unspecified(documents, intent(None))
    assert found == Finding(
        rule="protected.difference",
        verdict=Verdict.DENY,
        observed="not known what would change",
        limit="the difference between two trees",
        remedy="Ask again with the difference that the merge request would make.",
        source="built in",
    )
    assert list(unspecified(documents, intent(difference()))) == []
    assert list(unspecified(documents, intent(None, OFF))) == []


def _without(levers: str, repos: dict[str, str] | None = None) -> tuple[PolicyDocument, ...]:
    head = "autonomy: act\nkill_switch: false\n"
    files = {
        "org.yaml": f"version: 1\nlayer: org\n{head}{levers}",
        "agents/sentry_spike.yaml": f"version: 1\nlayer: agent\n{head}{levers}",
    }
    for name, lines in (repos or {}).items():
        files[f"repos/{name}.yaml"] = f"version: 1\nlayer: repo\n{head}{lines}"
    return parse(files).documents


def test_what_is_not_bounded_is_named_with_where_it_would_stand() -> None:
    bare = "levers:\n  open_merge_request:\n    paths:\n      deny: [docs/**]\n"
    paths, diff = unspecified(_without(bare), intent(difference()))
    assert paths.observed == "no file says which paths are allowed"
    assert paths.limit == "`paths.allow` of `open_merge_request` in org.yaml or in the agent's file"
    assert (paths.remedy, paths.source) == ("Add `paths.allow` to the lever in org.yaml.", "org.yaml:7")
    assert diff.observed == "no file says how large a change may be"
    assert diff.limit == "`diff` of `open_merge_request` in org.yaml or in the agent's file"
    assert (diff.remedy, diff.source) == ("Add `diff` to the lever in org.yaml.", "org.yaml:6")


@pytest.mark.parametrize(
    ("folder", "covered"),
    [
        ("policies", True),
        ("/policies/", True),
        ("platform/Policies", True),
        (".leverframe", True),
        ("src", False),
        ("policiesX", False),
        ("", False),
        (".", False),
        ("src/../policies", False),
    ],
)
def test_a_folder_is_out_of_reach_when_no_agent_can_change_what_lies_in_it(
    folder: str, covered: bool
) -> None:
    assert covers_folder(folder) is covered


def test_paths_and_size_must_be_bounded_by_the_organisation_or_the_agent() -> None:
    bare = "levers: {open_merge_request: {}}\n"
    full = "levers: {open_merge_request: {paths: {allow: ['**']}, diff: {max_files: 9, max_lines: 9}}}\n"
    missing = [
        "org.levers.open_merge_request.paths.allow",
        "org.levers.open_merge_request.diff",
    ]
    change = intent(difference())
    found = list(unspecified(_without(bare), change))
    assert [finding.rule for finding in found] == missing
    assert {(finding.verdict, finding.source) for finding in found} == {(Verdict.DENY, "org.yaml:5")}
    assert [finding.source for finding in unspecified((), change)] == ["org.yaml", "org.yaml"]
    # A repository's file can only tighten, so it can't open what the other two leave shut.
    assert [finding.rule for finding in unspecified(_without(bare, {"shop": full}), change)] == missing
    assert list(unspecified(_without(full), change)) == []
