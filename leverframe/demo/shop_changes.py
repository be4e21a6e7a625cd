"""The changes that people make to the shop in the story, kept as patches in `examples/shop-changes/`.

| name | what it is |
|---|---|
| `open-the-shop` | a text: harmless |
| `kinder-words` | another text: harmless |
| `bulk-pricing` | a feature behind a flag, with a bug that its tests miss |
| `faster-lookup` | green tests, and errors after some real traffic |

The patches touch different files, so each applies to the baseline and on top of any of the others.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from leverframe.demo.shop_repository import IGNORED, SHOP
from leverframe.model.errors import NotFound

CHANGES = SHOP.parent / "shop-changes"


def first_change() -> dict[str, str]:
    """The harmless change that becomes the shop's first release."""
    return shop_change("open-the-shop")


def shop_change(name: str) -> dict[str, str]:
    """The files that a change writes: path in the shop's repository → new content. Raises NotFound."""
    patch = CHANGES / f"{name}.patch"
    if not patch.is_file():
        known = ", ".join(sorted(path.stem for path in CHANGES.glob("*.patch")))
        raise NotFound(f"there is no change {name!r} to the shop; known: {known}")
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory, "shop")
        shutil.copytree(SHOP, tree, ignore=shutil.ignore_patterns(*IGNORED))
        # Outside a repository git applies a patch to plain files; the ceiling keeps it outside one.
        environment = os.environ | {"GIT_CEILING_DIRECTORIES": directory}
        for arguments in (["--numstat", "-z"], []):
            done = subprocess.run(
                ["git", "apply", *arguments, str(patch)],
                cwd=tree,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            if arguments:
                paths = [entry.split("\t")[2] for entry in done.stdout.split("\0") if entry]
        return {path: (tree / path).read_text() for path in paths}
