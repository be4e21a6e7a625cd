"""Attack: a git tree that is made by hand, with entries that no editor would write.

Each tree lies on a real remote, is compared by the real track, and is put to a policy that allows every path
and every size. What git reports must be what is in the tree, and the policy must deny it.
"""

import subprocess
from pathlib import Path

import pytest

from activities.backends.track_git import GitTrack
from leverframe.model.differences import MAX_FILES, TreeDifference
from policies.decision import Verdict
from policies.evaluate import Evaluation, evaluate
from policies.intent import Intent
from policies.usage import Usage
from tests.fakes.asks import NOON, REVERT, ask, policy
from tests.fakes.git_world import GitWorld
from tests.fakes.tracks import track_at

OPEN = policy()
FILE, PROGRAM, LINK, SUBMODULE, FOLDER = "100644", "100755", "120000", "160000", "40000"

Entry = tuple[str, bytes]
"""Mode and the name exactly as it stands in the tree: `/` only parts folders when `nested` says so."""


class Forger:
    """Writes objects into a bare repository that git's own commands would refuse to make."""

    def __init__(self, root: Path) -> None:
        self.world = GitWorld(root)
        self.track: GitTrack = track_at(root)
        self.blob = self._write("blob", b"harmless\n")
        self.base = self._commit(self._tree([(FILE, b"app.py", self.blob)]))

    def flat(self, *entries: Entry) -> TreeDifference:
        """What is reported when these entries stand beside the one file, in one tree."""
        return self._compared([(mode, name, self._object(mode)) for mode, name in entries])

    def nested(self, mode: str, *names: bytes) -> TreeDifference:
        """What is reported when one entry lies in folders with these names."""
        *folders, last = names
        entry = (mode, last, self._object(mode))
        for folder in reversed(folders):
            entry = (FOLDER, folder, self._tree([entry]))
        return self._compared([entry])

    def _compared(self, entries: list[tuple[str, bytes, str]]) -> TreeDifference:
        head = self._commit(self._tree([(FILE, b"app.py", self.blob), *entries]), self.base)
        self.world.git("update-ref", "refs/heads/main", head)
        return self.track.difference(self.world.repository, base=self.base, head=head)

    def _object(self, mode: str) -> str:
        return self.base if mode == SUBMODULE else self.blob

    def _tree(self, entries: list[tuple[str, bytes, str]]) -> str:
        ordered = sorted(entries, key=lambda entry: entry[1] + (b"/" if entry[0] == FOLDER else b""))
        raw = b"".join(
            mode.encode() + b" " + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in ordered
        )
        return self._write("tree", raw)

    def _commit(self, tree: str, *parents: str) -> str:
        who = "Mallory <m@example.com> 1772366400 +0000"
        before = "".join(f"parent {parent}\n" for parent in parents)
        return self._write("commit", f"tree {tree}\n{before}author {who}\ncommitter {who}\n\nx\n".encode())

    def _write(self, kind: str, raw: bytes) -> str:
        command = ["git", "hash-object", "-w", "--literally", "-t", kind, "--stdin"]
        done = subprocess.run(command, cwd=self.world.remote, input=raw, capture_output=True, check=True)
        return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def forger(tmp_path_factory: pytest.TempPathFactory) -> Forger:
    """One for all: each tree is a commit of its own on the same base."""
    return Forger(tmp_path_factory.mktemp("forger"))


def asked(found: TreeDifference) -> Evaluation:
    intent = Intent.of(ask(effect=REVERT, difference=found))
    return evaluate(OPEN, intent, Usage(OPEN), NOON)


def assert_denied(found: TreeDifference, *rules: str) -> None:
    """Denied by these rules of the list that no file can open, and told in visible characters."""
    told = asked(found)
    assert told.verdict is Verdict.DENY
    assert set(rules) <= {finding.rule for finding in told.findings}
    assert all(finding.observed.isprintable() for finding in told.findings)


def test_an_ordinary_file_passes_so_what_follows_is_denied_for_its_own_sake(forger: Forger) -> None:
    found = forger.nested(FILE, b"shop", b"checkout.py")
    assert [(file.path, file.change) for file in found.files] == [("shop/checkout.py", "added")]
    assert asked(found).verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("mode", "rule"),
    [(LINK, "protected.symlink"), (SUBMODULE, "protected.submodule"), (PROGRAM, "protected.mode")],
)
def test_an_entry_that_is_no_plain_file_shows_its_mode_and_is_denied(
    forger: Forger, mode: str, rule: str
) -> None:
    found = forger.flat((mode, b"shop.py"))
    assert [(file.path, file.old_mode, file.new_mode) for file in found.files] == [
        ("shop.py", "000000", mode)
    ]
    assert_denied(found, rule)


def test_a_mode_that_git_does_not_write_is_shown_as_what_it_would_become(forger: Forger) -> None:
    found = forger.flat(("100777", b"a.py"), ("100664", b"b.py"), ("170000", b"c.py"))
    assert [(file.path, file.new_mode) for file in found.files] == [
        ("a.py", PROGRAM),
        ("b.py", FILE),
        ("c.py", SUBMODULE),
    ]
    assert_denied(found, "protected.mode", "protected.submodule")


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        ((b".GITHUB", b"workflows", b"x.yml"), "protected.ci"),
        ((b".github", b"workflows", b"x.yml"), "protected.ci"),
        ((".ｇithub".encode(), b"workflows", b"x.yml"), "protected.ci"),
        ((b".g\xc4\xb1thub", b"workflows", b"x.yml"), "protected.ci"),
        (("CODEOWNERſ".encode(),), "protected.owners"),
        (("СODEOWNERS".encode(),), "protected.lookalike"),
        ((b"docs", b"CodeOwners"), "protected.owners"),
        ((b".new-folder", b"run"), "protected.dot_folder"),
        ((b"POLICIES", b"org.yaml"), "protected.policies"),
        ((b"shop", b".git", b"config"), "protected.git"),
        ((b"..", b"..", b"etc", b"passwd"), "protected.path"),
        ((b".", b"app.py"), "protected.path"),
        ((b"shop/../../etc/passwd",), "protected.path"),
        ((b"/etc/passwd",), "protected.path"),
        ((b"shop\\..\\..\\x",), "protected.path"),
        ((b"shop\n.github", b"x.yml"), "protected.path"),
        ((b"a\r\x1b[2Kb.py",), "protected.path"),
        ((b"a\x01\x7f.py",), "protected.path"),
        (("gnp.\u202eyp".encode(),), "protected.path"),
        (("app\u200b.py".encode(),), "protected.path"),
        ((b"caf\xff.py",), "protected.path"),
        ((b"\xed\xb3\xbf.py",), "protected.path"),
        ((b"C:", b"x.py"), "protected.path"),
        ((b"x" * 5000,), "protected.unseen"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(b"/".join(value))[:40],
)
def test_a_name_that_pretends_to_be_another_is_denied(
    forger: Forger, names: tuple[bytes, ...], rule: str
) -> None:
    found = forger.nested(FILE, *names)
    assert found.total_files == 1
    assert_denied(found, rule)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b'a\nb\t".py', 'a\nb\t".py'),
        (b"caf\xc3\xa9.py", "café.py"),
        (b"caf\xff\xfe.py", "caf\\udcff\\udcfe.py"),
        (b"\xed\xb3\xbf.py", "\\udced\\udcb3\\udcbf.py"),
        (b":000000 100644 0 0 A", ":000000 100644 0 0 A"),
        (b"1\t1\tapp.py", "1\t1\tapp.py"),
        (b"-", "-"),
    ],
)
def test_a_path_is_reported_as_it_stands_and_is_text_that_any_store_takes(
    forger: Forger, name: bytes, path: str
) -> None:
    found = forger.flat((FILE, name))
    assert [(file.path, file.added) for file in found.files] == [(path, 1)]
    assert TreeDifference.model_validate_json(found.model_dump_json()) == found


def test_two_entries_of_one_name_are_both_reported(forger: Forger) -> None:
    found = forger.flat((FILE, b"b.py"), (LINK, b"b.py"))
    assert sorted(file.new_mode for file in found.files) == [FILE, LINK]
    assert_denied(found, "protected.symlink")


def test_one_bad_file_behind_more_files_than_are_kept_is_denied_unseen(forger: Forger) -> None:
    entries = [(FILE, f"a{number:04}.py".encode()) for number in range(MAX_FILES)]
    found = forger.flat(*entries, (LINK, b"zz.py"))
    assert (len(found.files), found.omitted) == (MAX_FILES, 1)
    assert not any(file.path == "zz.py" for file in found.files)
    assert_denied(found, "protected.unseen")


def test_a_bad_file_that_is_deleted_or_turned_back_is_denied_too(forger: Forger) -> None:
    bad = forger.flat((LINK, b"b.py"), (FILE, b".gitlab-ci.yml"))
    undone = forger.track.difference(forger.world.repository, base=bad.head, head=bad.base)
    assert {(file.path, file.change) for file in undone.files} == {
        (".gitlab-ci.yml", "deleted"),
        ("b.py", "deleted"),
    }
    assert_denied(undone, "protected.symlink", "protected.ci")
