"""Marker tags: annotated, signed where there is a key, and made again exactly as they were.

A tag is built as an object (`git mktag`) whose content depends on the commit, the name and the message only.
Its signature is the one that `git tag -s` makes with `gpg.format=ssh`: an SSH signature (OpenSSH's
PROTOCOL.sshsig) in the namespace "git" over that content, appended to it.
"""

import os
import subprocess
from pathlib import Path

from activities.backends.git_process import IDENTITY, Git
from activities.backends.track_mirror import Mirror, Push
from activities.backends.track_refs import check_ref, message_of, rejected
from leverframe.model.errors import BadConfiguration, Conflict, Unavailable
from leverframe.model.untrusted import Untrusted

SIGNATURE = "-----BEGIN SSH SIGNATURE-----"
_SECONDS = 20


class SshKey:
    """A private SSH key without a passphrase, or a public one whose private half an agent holds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sign(self, content: bytes) -> bytes:
        """The armoured signature. Raises Unavailable: it can't be made now, with ssh-keygen's words."""
        return self._run("-Y", "sign", "-n", "git", "-f", str(self.path), stdin=content)

    def fingerprint(self) -> str:
        """`SHA256:…`. Raises Unavailable, BadConfiguration."""
        if not self.path.is_file():
            raise BadConfiguration(f"release.signing_key_file: there is no file {self.path}")
        self.sign(b"")
        return self._run("-l", "-f", str(self.path)).decode(errors="replace").split()[1]

    def _run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        kept = ("PATH", "HOME", "SSH_AUTH_SOCK")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        try:
            done = subprocess.run(
                ["ssh-keygen", *arguments], input=stdin, capture_output=True, check=False, timeout=_SECONDS,
                env=environment | {"LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never"}, start_new_session=True,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"ssh-keygen can't be run: {type(error).__name__}; install OpenSSH") from error
        if done.returncode:
            said = Untrusted(done.stderr.decode(errors="replace").strip()[-300:]).for_terminal(300)
            raise Unavailable(f"nothing can be signed with {self.path}: {said}")
        return done.stdout


def pushed(mirror: Mirror, git: Git, *, name: str, sha: str, message: str, key: SshKey | None) -> Push:
    """Push the tag, unless there is one of that name."""
    ref = f"refs/tags/{name}"
    check_ref(git, ref)
    seconds = git.run("log", "--max-count=1", "--format=%ct", sha, "--").text
    tagger = f"{IDENTITY[0]} <{IDENTITY[1]}> {seconds} +0000"
    content = f"object {sha}\ntype commit\ntag {name}\ntagger {tagger}\n\n{message_of(message).rstrip()}\n"
    raw = content.encode()
    made = git.run("mktag", stdin=raw + (key.sign(raw) if key else b"")).text
    return mirror.push(git, [f"{made}:{ref}"], expected={ref: ""})


def found(git: Git, push: Push, *, name: str, sha: str) -> bool:
    """Whether the tag that stands in the way of a push is signed.

    Raises:
        Conflict: it marks another commit.
        Refused, Unavailable: there is none, so the remote did not take ours.
    """
    ref = f"refs/tags/{name}"
    marked = git.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", allow=(0, 1)).text
    if not marked:
        raise rejected(f"the tag {name}", push.told)
    if marked != sha:
        raise Conflict(f"the tag {name} marks {marked[:12]}, not {sha[:12]}")
    return SIGNATURE in git.run("cat-file", "-p", ref).text.splitlines()
