"""`leverframe`, and `python -m leverframe`."""

import logging
import os
import sys

from leverframe.cli.exits import Exit, exit_code
from leverframe.cli.main import app
from leverframe.cli.output import complain
from leverframe.model.errors import LeverframeError


def main() -> None:
    """Run one command; an error of ours becomes one message and a typed exit code."""
    code: int = Exit.OK
    try:
        app(prog_name="leverframe")
    except LeverframeError as error:
        complain(str(error))
        code = exit_code(error)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else Exit.FAILED if ended.code else Exit.OK
    _leave(code)


def _leave(code: int) -> None:
    """End the process without tearing the interpreter down, once its engine client was loaded.

    The client's native threads may still ask for the interpreter's lock then, which aborts the process
    with a core dump after its work was done.
    """
    if "temporalio.bridge.temporal_sdk_bridge" not in sys.modules:
        sys.exit(code)
    from leverframe import telemetry  # noqa: PLC0415 - the client is loaded, so this is too

    telemetry.finish()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
