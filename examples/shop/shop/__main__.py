"""`python -m shop --port 8000`: serve until SIGTERM."""

import argparse
import os

import uvicorn

from shop import flags, reporting
from shop.app import create_app


def main() -> None:
    parser = argparse.ArgumentParser(prog="shop", description="A small shop.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    reporting.start(os.environ)
    flags.start(os.environ)
    uvicorn.run(
        create_app(),
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
