"""Identities: a workflow id names the thing it is about, a digest names content."""

import hashlib
import json

from pydantic import BaseModel


def digest(value: BaseModel) -> str:
    """SHA-256 (64 hex digits) of the value's canonical JSON: sorted keys, no spaces, UTF-8."""
    canonical = json.dumps(
        value.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def short_hash(*parts: str) -> str:
    """Twelve hex digits that identify an ordered list of strings."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def watch_id(agent: str, service: str, subject: str) -> str:
    """`watch/sentry_spike/shop/SHOP-1a2b3c4d5e6f`: one watch per agent and subject."""
    return f"watch/{agent}/{service}/{subject}"


def run_id(agent: str, service: str, subject: str, number: int) -> str:
    """`run/sentry_spike/shop/SHOP-1a2b3c4d5e6f/1`: the n-th run that a watch started."""
    return f"run/{agent}/{service}/{subject}/{number}"


def ledger_id(organisation: str) -> str:
    """`ledger/acme`: one policy ledger per organisation."""
    return f"ledger/{organisation}"


def approval_id(proposal_id: str, step: int, asking: int = 1) -> str:
    """`approval/<proposal>/<step>`: one question to people; `/2` when what was asked about has moved."""
    return f"approval/{proposal_id}/{step}" + (f"/{asking}" if asking > 1 else "")


def reservation_id(run: str, step: int, grant: int = 1) -> str:
    """`<run>/<step>`: one effect of a run; `<run>/<step>.2` when a pause took the first grant back."""
    return f"{run}/{step}" + (f".{grant}" if grant > 1 else "")


def step_of(reservation: str) -> int:
    """The step's place in the ladder, whichever of its grants it is. Raises ValueError for another id."""
    return int(reservation.rpartition("/")[2].partition(".")[0])


def housekeeping_id(organisation: str) -> str:
    """`housekeeping/acme`: one housekeeping per organisation."""
    return f"housekeeping/{organisation}"


def train_id(repository: str, target: str) -> str:
    """`train/shop/main`: one train per repository and target branch."""
    return f"train/{repository}/{target}"


def car_test_id(repository: str, sha: str, trial: int) -> str:
    """`car/shop/<short sha>/7`: one test of one car; the train numbers its trials."""
    return f"car/{repository}/{sha[:12]}/{trial}"


def trial_of(car_test: str) -> tuple[str, int] | None:
    """Repository and trial of a car's test; None for another id."""
    kind, _, rest = car_test.partition("/")
    repository, _, trial = rest.partition("/")
    number = trial.rpartition("/")[2]
    return (repository, int(number)) if kind == "car" and number.isdecimal() else None


def executions_id(repository: str) -> str:
    """`executions/shop`: fresh executions of a repository's tests, by one run at a time."""
    return f"executions/{repository}"


def report_fetch_id(repository: str, run: str) -> str:
    """`reports/shop/8841.2`: the test reports of one run of the forge's CI, fetched once."""
    return f"reports/{repository}/{run}"


def release_id(service: str, sha: str) -> str:
    """`release/shop/<sha>`: one release per landed commit."""
    return f"release/{service}/{sha}"


def rollout_id(service: str, flag: str) -> str:
    """`flag/shop/new-pricing`: one rollout of a flag at a time."""
    return f"flag/{service}/{flag}"


def restore_id(service: str, flag: str) -> str:
    """`restore/shop/new-pricing`: a flag is to be switched back once at a time."""
    return f"restore/{service}/{flag}"


def undo_id(reservation: str) -> str:
    """`undo/<reservation>`: the effect of one step is undone once at a time."""
    return f"undo/{reservation}"


def revert_branch(commit: str, reservation: str) -> str:
    """The branch that carries a reserved revert: how its change is found again."""
    return f"leverframe/revert-{commit[:12]}-{short_hash(reservation)}"


QUARANTINE_BRANCHES = "leverframe/quarantine-"
"""How the branches of changes to the quarantine file begin."""


def quarantine_branch(reservation: str) -> str:
    """The branch that carries a reserved change of a quarantine file."""
    return QUARANTINE_BRANCHES + short_hash(reservation)


def overlay_branch(environment: str, sha: str, key: str) -> str:
    """The branch that carries one edit of an overlay; `key` is the reservation's id for a rollback."""
    return f"leverframe/overlay-{environment}-{sha[:12]}-{short_hash(key)}"
