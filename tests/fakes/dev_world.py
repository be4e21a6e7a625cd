"""Dev with its Terraform and its service: what was applied last decides how the service fares."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from activities.ports import Health
from leverframe.model.changes import CheckResult
from leverframe.model.releases import DeliveryState, Environment
from leverframe.model.topology import Infrastructure, Probe, Repository

PLACE = Infrastructure(paths=("infra/**",), directory="infra")
MAIN = "infra/main.tf"


def with_dev(repository: Repository) -> Repository:
    """The repository with infrastructure, whose dev has no time to become healthy later."""
    at_once = PLACE.model_copy(update={"healthy_within_seconds": 0})
    return repository.model_copy(update={"infrastructure": at_once})


@dataclass
class FakeDev:
    """The ports Terraform and Delivery of dev. A tree with the word `broken` breaks its service."""

    script: list[str] = field(default_factory=list)
    """How the next applies go, first to last: `passed`, `failed`, `inconclusive`; `lost` was applied and its
    worker died before it could say so."""
    during: Callable[[str], None] = lambda sha: None
    """Called with the commit while it is applied."""
    sick: bool = False
    """The service fails for a reason of its own."""
    applied: list[str] = field(default_factory=list)
    """Every commit that was applied, also one that changed nothing."""
    files: dict[str, str] = field(default_factory=dict)
    """What dev has."""
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def apply(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> CheckResult:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            outcome = self.script.pop(0) if self.script else "passed"
        try:
            self.during(sha)
            self.applied.append(sha)
            if outcome in ("passed", "lost"):
                self.files = {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*.tf")}
            if outcome == "lost":
                raise RuntimeError("the worker is lost")
        finally:
            with self._lock:
                self._at_once -= 1
        said = {"check": "dev", "sha": sha, "outcome": outcome, "seconds": 0, "summary": "said", "log": "log"}
        return CheckResult.model_validate(said)

    def drift(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> tuple[str, ...]:
        return ()

    def state(self, service: str, environment: Environment) -> DeliveryState:
        sha = "a" * 40
        return DeliveryState(
            environment="dev", wanted=sha, stable=sha, canary=None, ready=True, detail="serves"
        )

    def probe(self, service: str, environment: Environment, probes: Sequence[Probe]) -> list[str]:
        broken = self.sick or any("broken" in text for text in self.files.values())
        return ["checkout: POST /checkout answered 500"] if broken else []

    def health(self) -> Health:
        return Health(ok=True, detail="remembers")

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the check of an infrastructure car has no business with {name}")
