"""`leverframe`, and `python -m leverframe`."""

import sys

from leverframe.cli.exits import exit_code
from leverframe.cli.main import app
from leverframe.cli.output import complain
from leverframe.model.errors import LeverframeError


def main() -> None:
    """Run one command; an error of ours becomes one message and a typed exit code."""
    try:
        app(prog_name="leverframe")
    except LeverframeError as error:
        complain(str(error))
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
