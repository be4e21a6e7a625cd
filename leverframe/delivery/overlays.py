"""Overlays: what the target branch says should run, read from the git remote."""

import asyncio
import re
import shutil
from pathlib import Path

from activities.git_environment import git_environment
from activities.overlay_file import NOTHING, Named, named
from leverframe.model.errors import BadInput, Unavailable
from leverframe.model.releases import Environment
from leverframe.model.topology import Repository

_SHA = re.compile(r"[0-9a-f]{40}")
_TIMEOUT_SECONDS = 20


def named_or_nothing(overlay: str, image: str) -> Named:
    """What the overlay names; nothing when it names no SHA or is no overlay: what runs goes on running."""
    try:
        return named(overlay, image)
    except BadInput:
        return NOTHING


class Overlays:
    """Reads overlays through a small bare clone of its own, fetched only when the target has moved.

    One reader at a time for each repository.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tips: dict[str, str] = {}
        self._named: dict[str, dict[Environment, Named]] = {}

    def revision(self, repository: Repository) -> str | None:
        """The target's tip when it was read last."""
        return self._tips.get(repository.name)

    async def read(self, repository: Repository) -> dict[Environment, Named]:
        """What each environment's overlay names on the target's tip. Raises Unavailable."""
        tip = await self._tip(repository)
        if self._tips.get(repository.name) != tip:
            self._named[repository.name] = await self._at(repository, tip)
            self._tips[repository.name] = tip
        return self._named[repository.name]

    async def _tip(self, repository: Repository) -> str:
        answer = await _git("ls-remote", "--", repository.url, f"refs/heads/{repository.target}")
        tip = answer.partition("\t")[0].strip()
        if not _SHA.fullmatch(tip):
            raise Unavailable(f"{repository.name} has no branch {repository.target}")
        return tip

    async def _at(self, repository: Repository, tip: str) -> dict[Environment, Named]:
        mirror = self._root / f"{repository.name}.git"
        try:
            return await self._fetched(repository, tip, mirror)
        except Unavailable:
            # A lock, or half a clone, that a killed git left behind would be in the way for ever.
            await asyncio.to_thread(shutil.rmtree, mirror, ignore_errors=True)
            raise

    async def _fetched(self, repository: Repository, tip: str, mirror: Path) -> dict[Environment, Named]:
        if not (mirror / "HEAD").is_file():
            await _git("init", "--quiet", "--bare", str(mirror))
        branch = f"+refs/heads/{repository.target}:refs/heads/{repository.target}"
        await _git(
            "--git-dir",
            str(mirror),
            "fetch",
            "--quiet",
            "--no-tags",
            "--depth=1",
            "--",
            repository.url,
            branch,
        )
        found: dict[Environment, Named] = {}
        for environment, path in repository.service.overlays.items():
            try:
                text = await _git("--git-dir", str(mirror), "show", f"{tip}:{path}")
            except Unavailable:
                await _git("--git-dir", str(mirror), "cat-file", "-e", f"{tip}^{{commit}}")
                text = ""  # the commit is there, so the file is not
            found[environment] = named_or_nothing(text, repository.service.image)
        return found


async def _git(*arguments: str) -> str:
    """Run git without anything of the machine's configuration. Raises Unavailable with git's last line."""
    process = await asyncio.create_subprocess_exec(
        "git", *arguments, env=git_environment(),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise Unavailable(f"git {arguments[0]} took more than {_TIMEOUT_SECONDS} seconds") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise Unavailable(f"git {arguments[0]} failed: {last[0]}")
    return out.decode(errors="replace")
