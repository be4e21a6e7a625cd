"""What no policy file can allow an agent to change, and the tricks by which a path pretends to be another.

| name | what |
|---|---|
| `path` | names that a file system or a reader takes for another: `..`, `\\`, control characters, … |
| `lookalike` | words of mixed alphabets: `СODEOWNERS` with a Cyrillic С |
| `ci` | what the forge runs by itself |
| `git` | what git itself obeys: `.git*` |
| `dot_folder` | what lies in a folder whose name begins with a dot, known or new, at any depth |
| `owners` | who must review what |
| `policies` | what lies in a folder `policies`, at any depth |
| `agent_instructions` | what coding agents obey |
| `lock_file` | which packages are installed, and from where |
| `symlink`, `submodule`, `mode` | entries that are no plain file, and files that become executable |

Names are compared in their normal form, so case, width and ligatures don't matter.
"""

import functools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from leverframe.model.differences import FileDelta
from leverframe.model.paths import matches

MAX_PATH = 400
"""Characters. No repository needs a longer path, and patterns stay quick on shorter ones."""

QUARANTINE = ".leverframe/quarantine.yaml"
"""The one file below a dot-folder that is ours to edit: other rules bound what may be written there."""


_REMEMBERED = 1024
"""Paths: a difference is judged when it is reserved and again when it is committed."""


@functools.lru_cache(maxsize=_REMEMBERED)
def forms(path: str) -> tuple[str, str, str]:
    """The path as it is written, in its compatible composition (NFKC), and that without its case.

    Upper case comes first because `ı` and `ſ` have a plain capital, which a file system without case finds.
    A form that is too long is cut just beyond the bound: it is refused for its length, whatever it matches.
    """
    normal = unicodedata.normalize("NFKC", path[: MAX_PATH + 1])
    folded = unicodedata.normalize("NFKC", normal.upper().casefold()).replace("i\u0307", "i")
    return path[: MAX_PATH + 1], normal[: MAX_PATH + 1], folded[: MAX_PATH + 1]


@dataclass(frozen=True)
class Protection:
    """One reason why a file can't be changed."""

    name: str
    covers: Callable[[FileDelta], bool]
    limit: str
    remedy: str = "Let a person change these files."


# Characters that are invisible and yet letters, marks or symbols, and characters that look like a separator.
_HIDDEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_SEPARATOR = re.compile("[\\\\\u2044\u2215\u2571\u2572\u29f5\u29f8\u29f9\ufe68]")
_SHORT_NAME = re.compile(r"~[0-9]")
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_WORD = re.compile(r"[^\W\d_]+")
_CONFUSABLE = ("ARMENIAN", "CHEROKEE", "COPTIC", "CYRILLIC", "GREEK", "LISU")


@functools.lru_cache(maxsize=_REMEMBERED)
def _malformed(path: str) -> bool:
    return any(_is_malformed(form) for form in set(forms(path)))


def _is_malformed(form: str) -> bool:
    """Names that some file system, shell or reader takes for another path, or for none.

    Windows drops a trailing dot or space, reads `:` as a stream, and knows `.github` as `GITHUB~1`.
    """
    parts = form.split("/")
    return (
        len(form) > MAX_PATH
        or form.startswith("-")
        or any(not part or part != part.strip() or part.endswith(".") for part in parts)
        or ":" in form
        or _SEPARATOR.search(form) is not None
        or _HIDDEN.search(form) is not None
        or _SHORT_NAME.search(form) is not None
        or any(
            unicodedata.category(char) in _UNSEEN or (char.isspace() and char != " ")
            for char in form
            if not char.isalnum()
        )
    )


def _mixed(path: str) -> bool:
    """Whether a word of the path mixes Latin letters with those of an alphabet that looks alike."""
    if path.isascii():
        return False
    for word in _WORD.findall(forms(path)[1]):
        alphabets = {unicodedata.name(char, char).partition(" ")[0] for char in word}
        if "LATIN" in alphabets and not alphabets.isdisjoint(_CONFUSABLE):
            return True
    return False


@functools.lru_cache(maxsize=8 * _REMEMBERED)
def _named(path: str, *globs: str) -> bool:
    """Whether the path's normal form matches one of the globs, which are lower case and write `.yml` only."""
    form = forms(path)[2]
    form = form.removesuffix(".yaml") + ".yml" if form.endswith(".yaml") else form
    return any(matches(form, glob) for glob in globs)


def _in_dot_folder(file: FileDelta) -> bool:
    folders = forms(file.path)[2].split("/")[:-1]
    return any(folder.startswith(".") for folder in folders) and file.path != QUARANTINE


def _mode_changes(file: FileDelta) -> bool:
    """A plain file stays plain, an executable stays executable or goes, and nothing becomes executable.

    Read from the modes alone: they are git's, and the word for the change follows from them.
    """
    pair = (file.old_mode, file.new_mode)
    return pair not in {
        ("000000", "100644"),
        ("100644", "100644"),
        ("100755", "100755"),
        ("100644", "000000"),
        ("100755", "000000"),
    } and not {"120000", "160000"} & set(pair)


PROTECTED = (
    Protection(
        "path", lambda file: _malformed(file.path), "plain paths", "Let a person look at these names."
    ),
    Protection(
        "lookalike",
        lambda file: _mixed(file.path),
        "words of one alphabet",
        "Let a person look at these names.",
    ),
    Protection(
        "ci",
        lambda file: _named(
            file.path,
            "**/.github/**",
            "**/.gitlab/**",
            "**/*.gitlab-ci.yml",
            "**/.circleci/**",
            "**/.buildkite/**",
            "**/.woodpecker/**",
            "**/.semaphore/**",
            "**/.tekton/**",
            "**/.teamcity/**",
            "**/.azuredevops/**",
            "**/.azure-pipelines/**",
            "**/.gitea/**",
            "**/.forgejo/**",
            "**/.harness/**",
            "**/*jenkinsfile*",
            "**/azure-pipelines*.yml",
            "**/bitbucket-pipelines.yml",
            "**/appveyor.yml",
            "**/cloudbuild*.yml",
            "**/buildspec*.yml",
            "**/codefresh*.yml",
            "**/wercker.yml",
            "**/.drone.*",
            "**/.cirrus.*",
            "**/.*.yml",
        ),
        "no CI configuration",
    ),
    Protection(
        "git",
        lambda file: _named(file.path, "**/.git*", "**/.git/**", "**/.lfsconfig", "**/.mailmap"),
        "nothing git obeys",
    ),
    Protection("dot_folder", _in_dot_folder, "no folder whose name begins with a dot"),
    Protection(
        "owners",
        lambda file: _named(file.path, "**/codeowners", "**/owners", "**/owners_aliases"),
        "no ownership",
    ),
    Protection("policies", lambda file: _named(file.path, "policies", "**/policies/**"), "no policies"),
    Protection(
        "agent_instructions",
        lambda file: _named(
            file.path,
            "**/agents*.md",
            "**/claude*.md",
            "**/gemini*.md",
            "**/skill.md",
            "**/copilot-instructions.md",
            "**/*.instructions.md",
            "**/*.prompt.md",
            "**/.cursorrules",
            "**/.windsurfrules",
            "**/.clinerules",
            "**/.roorules",
            "**/.goosehints",
            "**/.aider*",
            "**/.mcp.json",
            "**/mcp.json",
            "**/.cursor/**",
            "**/.claude/**",
            "**/.codex/**",
            "**/.gemini/**",
            "**/.windsurf/**",
        ),
        "no instructions for agents",
    ),
    Protection(
        "lock_file",
        lambda file: _named(
            file.path,
            "**/*.lock",
            "**/*.lockb",
            "**/*.lockfile",
            "**/*-lock.json",
            "**/*.lock.json",
            "**/*-lock.yml",
            "**/*.lock.hcl",
            "**/npm-shrinkwrap.json",
            "**/go.sum",
            "**/go.work.sum",
            "**/package.resolved",
            "**/gradle/verification-metadata.xml",
            "**/requirements*.txt",
            "**/requirements/**",
            "**/constraints*.txt",
            "**/.npmrc",
            "**/.yarnrc*",
            "**/.pnpmfile.*",
            "**/.pypirc",
            "**/pip.conf",
        ),
        "no lock files, and no file that says where packages come from",
    ),
    Protection("symlink", lambda file: "120000" in (file.old_mode, file.new_mode), "no symbolic links"),
    Protection("submodule", lambda file: "160000" in (file.old_mode, file.new_mode), "no submodules"),
    Protection("mode", _mode_changes, "no mode changes and no new executables"),
)
"""Asked one by one for each file of a difference."""


def covers_folder(folder: str) -> bool:
    """Whether no agent can change what lies in this folder of a repository, such as `platform/policies`.

    False for what names no folder plainly, such as `.`: it could be any.
    """
    within = f"{folder.strip('/')}/org.yaml"
    plain = FileDelta(
        path=within, change="modified", old_mode="100644", new_mode="100644", added=1, removed=1
    )
    return not _malformed(within) and any(protection.covers(plain) for protection in PROTECTED)
