"""First program inside the jail: limit this process, unpack the tree from stdin, become the command.

Usage: `enter.py ORDER COMMAND...`; ORDER is a JSON object with `tree` (directory to unpack into), `report`
(descriptor to write one line to) and `limits` (the name of a resource limit → its value). With
`bring_out` the command runs as a child, and what that says is taken along when it ends.
The line is `ready` just before the command starts, or `refused: why` when the tar is not acceptable.
"""

import json
import os
import resource
import runpy
import shutil
import sys
import tarfile
from pathlib import Path


class Unacceptable(Exception):
    """A member that no build of ours writes."""


def unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: Path) -> None:
    """Write one regular file, directory or symbolic link below the tree. Raises Unacceptable.

    Not `extractall`: its `data` filter is missing before Python 3.11.4, and Debian 12 ships an older one.
    """
    if member.name.startswith("/") or ".." in member.name.split("/"):
        raise Unacceptable(f"the name {member.name!r} leaves the tree")
    path = tree / member.name
    if not path.parent.resolve().is_relative_to(tree) and path != tree:
        raise Unacceptable(f"{member.name!r} goes through a link that leaves the tree")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member) if member.isreg() else None
    if member.isdir():
        path.mkdir(exist_ok=True)
    elif member.issym():
        if not (path.parent / member.linkname).resolve().is_relative_to(tree):
            raise Unacceptable(f"the link {member.name!r} leaves the tree")
        path.symlink_to(member.linkname)
    elif content is not None:
        # Mode "x" also refuses to write through a link of the same name.
        with path.open("xb") as file:
            shutil.copyfileobj(content, file)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)
    else:
        raise Unacceptable(f"{member.name!r} is neither a file, a directory nor a symbolic link")


def main() -> int:
    order = json.loads(sys.argv[1])
    report = int(order["report"])
    for name, value in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    try:
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as tar:
            for member in tar:
                unpack(tar, member, Path(order["tree"]))
    except (Unacceptable, tarfile.TarError, OSError, EOFError, ValueError, RuntimeError) as error:
        os.write(report, f"refused: {error}".encode(errors="replace")[:500])
        return 1
    os.chdir(order["tree"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.write(report, b"ready")
    os.close(report)
    if order.get("bring_out"):
        beside = runpy.run_path(str(Path(__file__).with_name("bring_out.py")))
        return int(beside["run"](sys.argv[2:], order["bring_out"]))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - replacing this process is the point; no shell
    except OSError as error:
        sys.stderr.write(f"{sys.argv[2]}: {error.strerror}\n")
        return 127


if __name__ == "__main__":
    raise SystemExit(main())
