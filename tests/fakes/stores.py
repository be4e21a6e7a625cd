"""A store on SQLite that is new: a copy of one that was made once, which is quicker than its migrations."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from activities.backends.store_sql import open_store


def store_at(path: Path) -> Engine:
    """The store in that file, which is there afterwards; one that is there already stays as it is."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_begun(), path)
    return open_store(f"sqlite:///{path}")


@cache
def _begun() -> Path:
    home = tempfile.mkdtemp(prefix="leverframe-store-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    made = Path(home) / "store.db"
    open_store(f"sqlite:///{made}").dispose()
    return made
