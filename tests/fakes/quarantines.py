"""Changes of a quarantine file, and policies about them, in few words."""

from datetime import date, timedelta
from typing import Any

from leverframe.model.proposals import Amending, ChangeQuarantine, Entering
from leverframe.model.untrusted import Untrusted
from policies.documents import PolicySnapshot, parse
from tests.fakes.asks import ESCALATION, PEOPLE

RULE = "max_share_ppm: 20000, max_per_change: 3, max_days: 30, by_itself: 1000000"
DAILY = (
    "limits: [{id: tests, scope: [repo], levers: [open_merge_request], unit: tests, max: 4, window: 1d}]\n"
)
MERGE = "open_merge_request: {paths: {allow: ['**']}, diff: {max_files: 1, max_lines: 800}"
TODAY = date(2026, 3, 2)


def entering(name: str, *, days: int = 30, **fields: Any) -> Entering:
    entry = {
        "test": Untrusted(f"tests/test_a.py::{name}"),
        "masks": ("0" * 16,),
        "since": TODAY,
        "expires": TODAY + timedelta(days=days),
        "owner": "@shop/tests",
        "evidence": "4 of 311 runs",
    }
    return Entering.model_validate(
        {"entry": entry, "path": "tests/test_a.py", "markers": (), "strength": 2_000_000, **fields}
    )


def change(
    *enter: Entering,
    leave: tuple[str, ...] = (),
    amend: tuple[Amending, ...] = (),
    staying: int = 0,
    tests: int = 1_000,
) -> ChangeQuarantine:
    return ChangeQuarantine(
        repository="shop",
        enter=enter,
        leave=tuple(map(Untrusted, leave)),
        amend=amend,
        staying=staying,
        tests=tests,
        title="Quarantine",
        body="Because.",
    )


def ruled(
    *, org: str = "", agent: str | None = RULE, repo: str | None = None, limits: str = DAILY
) -> PolicySnapshot:
    """A policy with these rules of a quarantine in its files."""
    return parse(policy_files(org=org, agent=agent, repo=repo, limits=limits))


def policy_files(
    *, org: str = "", agent: str | None = RULE, repo: str | None = None, limits: str = DAILY
) -> dict[str, str]:
    """The texts of that policy, by their places."""

    def levers(rule: str | None) -> str:
        return f"levers: {{{MERGE}{f', quarantine: {{{rule}}}' if rule else ''}}}}}\n"

    head = "autonomy: act\nkill_switch: false\n"
    files = {
        "org.yaml": f"version: 1\nlayer: org\n{head}{levers(org or None)}{ESCALATION}\n",
        "agents/flaky_tests.yaml": f"version: 1\nlayer: agent\n{head}{levers(agent)}{limits}",
        "people.yaml": PEOPLE,
    }
    if repo is not None:
        files["repos/shop.yaml"] = f"version: 1\nlayer: repo\n{head}{levers(repo)}"
    return files
