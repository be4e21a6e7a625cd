"""The sample service `examples/shop` as a git repository, and as it is declared to Leverframe."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from leverframe.model.checks import Check
from leverframe.model.topology import CanaryPlan, CanaryStep, GateRules, Probe, Repository, Service

SHOP = Path(__file__).resolve().parents[2] / "examples" / "shop"
IGNORED = ("__pycache__", "*.pyc", ".pytest_cache", ".ruff_cache")

_TARGET = "main"
_AUTHOR = "Shop"
_DATE = "2026-01-01T09:00:00+00:00"

_STEPS: tuple[tuple[int, int, float | Literal["nothing"]], ...] = (
    (1, 8, "nothing"),
    (5, 60, "nothing"),
    (25, 150, 10.0),
    (50, 200, 10.0),
    (100, 200, 10.0),
)
"""Share of the traffic in per cent, and before the next step: canary requests to see, harm to exclude."""


def create_repository(remote: Path) -> str:
    """Make a bare repository with the shop as its first commit; returns the text of its `flags.json`.

    Author and dates are fixed, so the same files give the same commit. Raises FileExistsError when
    `remote` exists.
    """
    remote.mkdir(parents=True, exist_ok=False)
    _git(["init", "--quiet", "--bare", f"--initial-branch={_TARGET}"], directory=remote)
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
        # Not `git add`: its ignore rules come from the machine, and this commit must not.
        lines = []
        for path in _files():
            blob = _git(["hash-object", "-w", "--no-filters", str(path)], directory=remote).strip()
            lines.append(f"100644 {blob}\t{path.relative_to(SHOP).as_posix()}\n")
        _git(["update-index", "--index-info"], directory=remote, extra=index, text="".join(lines))
        tree = _git(["write-tree"], directory=remote, extra=index).strip()
    commit = _git(["commit-tree", tree, "-m", "Start the shop"], directory=remote).strip()
    _git(["update-ref", f"refs/heads/{_TARGET}", commit], directory=remote)
    return (SHOP / "flags.json").read_text()


def shop_repository(url: str) -> Repository:
    """The shop as a platform team declares it, with a canary ladder short enough to watch."""
    return Repository(
        name="shop",
        url=url,
        target=_TARGET,
        checks=(
            Check(
                name="tests",
                command=("{python}", "-m", "pytest", "-q"),
                timeout_seconds=60,
                skip_when_only=("deploy/overlays/**",),
            ),
        ),
        service=Service(
            name="shop",
            command=("{python}", "-m", "shop", "--port", "{port}"),
            overlays={
                "dev": "deploy/overlays/dev/kustomization.yaml",
                "production": "deploy/overlays/production/kustomization.yaml",
            },
            image="shop",
            probes=_PROBES,
            canary=CanaryPlan(
                steps=tuple(
                    CanaryStep(
                        percent=percent,
                        min_requests=requests,
                        min_seconds=2,
                        max_seconds=90,
                        excludes=excludes,
                    )
                    for percent, requests, excludes in _STEPS
                ),
                poll_seconds=0.3,
                hold_seconds=60,
                gate=GateRules(
                    alpha=0.001,
                    at_once=0.8,
                    warm_up=1,
                    cold_seconds=0,
                    burst_seconds=0,
                    negligible=0.02,
                ),
            ),
        ),
    )


_PROBES = (
    Probe(name="catalogue", path="/catalogue"),
    Probe(
        name="checkout",
        method="POST",
        path="/checkout",
        body='{"lines": [{"sku": "mug", "quantity": 2}, {"sku": "green-tea", "quantity": 6}]}',
    ),
    Probe(
        name="checkout-with-extras",
        method="POST",
        path="/checkout",
        body='{"lines": [{"sku": "teapot", "quantity": 1}, {"sku": "sample"}, {"sku": "gift-card"}]}',
    ),
    Probe(name="order", path="/orders/1007"),
)


def _files() -> list[Path]:
    """Every file of the shop in a fixed order, without what running it leaves behind."""
    return sorted(
        path
        for path in SHOP.rglob("*")
        if path.is_file() and not any(part.match(name) for part in _parts(path) for name in IGNORED)
    )


def _parts(path: Path) -> list[Path]:
    return [Path(part) for part in path.relative_to(SHOP).parts]


def _git(
    arguments: Sequence[str], *, directory: Path, extra: dict[str, str] | None = None, text: str = ""
) -> str:
    """Run git on the bare repository, with nothing of the machine's or the user's configuration."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_DIR": str(directory),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": _AUTHOR,
        "GIT_AUTHOR_EMAIL": "shop@shop.example",
        "GIT_AUTHOR_DATE": _DATE,
        "GIT_COMMITTER_NAME": _AUTHOR,
        "GIT_COMMITTER_EMAIL": "shop@shop.example",
        "GIT_COMMITTER_DATE": _DATE,
    }
    done = subprocess.run(
        ["git", *arguments],
        env=environment | (extra or {}),
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
