"""First program inside the jail: limit this process, unpack the tree from stdin, become the command.

Usage: `enter.py ORDER COMMAND...`; ORDER is a JSON object with `tree` (directory to unpack into), `report`
(descriptor to write one line to) and `limits` (the name of a resource limit → its value).
The line is `ready` just before the command starts, or `refused: why` when the tar is not acceptable.
"""

import json
import os
import resource
import sys
import tarfile


def main() -> int:
    order = json.loads(sys.argv[1])
    report = int(order["report"])
    for name, value in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    try:
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as tar:
            # The `data` filter refuses absolute names, `..`, links that leave the tree and devices.
            tar.extractall(order["tree"], filter="data")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        os.write(report, f"refused: {error}".encode(errors="replace")[:500])
        return 1
    os.chdir(order["tree"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.write(report, b"ready")
    os.close(report)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - replacing this process is the point; no shell
    except OSError as error:
        sys.stderr.write(f"{sys.argv[2]}: {error.strerror}\n")
        return 127


if __name__ == "__main__":
    raise SystemExit(main())
