"""A repository whose tests really run: one depends on their order, one is broken on a branch, one has healed.

One more is as flaky, and marked so that policy never lets it be quarantined.

Git, pytest with our plugin, the store, the fold, the facts, the quarantine file and the train are the real
ones; the ledger has its real rules in memory, and no service is delivered.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from temporalio import activity
from temporalio.client import Client

from activities.backends.issues_none import NoIssues
from activities.backends.results_store import ResultsStore
from activities.car_reports import CarReportActivities
from activities.engine import EngineActivities
from activities.flaky_facts import FlakyFactsGatherer
from activities.forge import ForgeActivities
from activities.investigate import InvestigateActivities
from activities.native import NativeActivities
from activities.ports import Errors, Flags, PolicyFiles, PolicySource
from activities.quarantining import QuarantineActivities
from activities.sandbox import CheckRequest
from activities.test_results import Keeping, ResultActivities
from activities.train import TrainActivities
from activities.undo import UndoActivities
from agents.flaky_tests.quarantine_file import read as entries_of
from leverframe.model.changes import CheckResult
from leverframe.model.quarantine import Quarantined
from leverframe.reports.facts import Facts
from leverframe.reports.reading import read
from leverframe_pytest.quarantine import PLACE
from policies.documents import parse
from tests.fakes.quarantines import RULE, policy_files
from tests.fakes.remediation_world import World as People
from tests.fakes.train_world import Yard

FILES: dict[str, str | None] = {
    "CODEOWNERS": "tests/ @shop/tests\n",
    "cart.py": "ITEMS = []\n\n\ndef total(prices):\n    return sum(prices)\n",
    "conftest.py": """\
import os
import random


def pytest_collection_modifyitems(items):
    seed = os.environ["ORDER"]
    items.sort(key=lambda item: random.Random(seed + item.name).random())
""",
    "tests/test_cart.py": """\
import os

import cart
import pytest

LOOKS, SIGNED = [], []


def test_adds():
    cart.ITEMS.append("mug")
    assert cart.ITEMS


def test_pays():
    left, cart.ITEMS[:] = list(cart.ITEMS), []
    assert left == []


def test_total():
    assert cart.total([2, 3]) == 5


def test_ships():
    LOOKS.append(1)
    assert len(LOOKS) > 1 or not os.environ["SLOW"], "the parcel service is slow"


@pytest.mark.security
def test_signs():
    SIGNED.append(1)
    assert len(SIGNED) > 1 or os.environ["ORDER"] not in ("3", "5", "7", "9"), "no key yet"
""",
}
FIXED = str(FILES["tests/test_cart.py"]).replace(
    "    assert cart.ITEMS\n", "    assert cart.ITEMS\n    cart.ITEMS.clear()\n"
)
BROKEN = str(FILES["cart.py"]).replace("sum(prices)", "max(prices)")
BAD_ORDER = "2"
"""`test_adds` comes before `test_pays`."""

_UNDO = Path(__file__).parents[2] / "policies" / "defaults" / "agents" / "undo.yaml"
RULES = {
    **policy_files(agent=f"{RULE.replace('20000', '500000')}, deny_markers: [security]"),
    "agents/undo.yaml": _UNDO.read_text(),
}
"""Half of a suite so small may be quarantined; what people want undone is as the product ships it."""

_RUNS = """\
import json, os, sys
import pytest
sys.path.insert(0, os.getcwd())
for run in json.load(sys.stdin):
    child = os.fork()
    if not child:
        os.environ.update(run["environment"])
        os.dup2(os.open(run["output"], os.O_WRONLY | os.O_CREAT), 1)
        os._exit(pytest.main(run["arguments"]))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(code)
"""


@dataclass(frozen=True)
class OneRun:
    """One run of the suite at a commit."""

    name: str
    order: str
    slow: bool = False


class FlakyHouse:
    """The repository, its CI, and the activities of one worker that does everything."""

    def __init__(self, client: Client, root: Path) -> None:
        self.yard = Yard(client, root, name="shop")
        self.root, self.git = root, self.yard.world
        self.people = People(client, parse(RULES))
        self.results = ResultsStore(self.yard.engine)
        self.car_order = BAD_ORDER
        self.checked: dict[str, str] = {}
        """Commit → how its check ended."""
        self._clone = root / "ci"
        self._began = datetime.now(UTC) - timedelta(days=2)
        self._runs = 0
        self.git.commit("main", FILES)

    def tip(self) -> str:
        return self.git.git("rev-parse", "main")

    def quarantined(self) -> list[str]:
        """The tests that main's file names."""
        return [one.test.stored() for one in self.entries()]

    def entries(self) -> tuple[Quarantined, ...]:
        """Of main's file."""
        if PLACE not in self.git.git("ls-tree", "-r", "--name-only", "main").splitlines():
            return ()
        return entries_of(self.git.git("show", f"main:{PLACE}") + "\n").entries

    def ci_runs(self, sha: str, branch: str, runs: Sequence[OneRun]) -> None:
        """Run the suite for real, with reruns; each report comes half an hour after the last one."""
        self._pytest(sha, branch, runs, "--reruns", "2")
        for one in runs:
            self._runs += 1
            at = self._began + timedelta(minutes=30 * self._runs)
            body = (self.root / f"{one.name}.jsonl").read_bytes()
            self.results.keep(read(body, Facts(repository="shop", source="upload"), now=at), at=at)

    @activity.defn(name="run_check")
    def run_check(self, request: CheckRequest) -> CheckResult:
        """The car's tests, once each, at first in the order that the flaky one can't bear."""
        code = self._pytest(request.sha, "train/main", [OneRun(f"car-{request.sha[:12]}", self.car_order)])
        outcome = "passed" if code == 0 else "failed"
        self.checked[request.sha] = outcome
        told = {"check": request.check, "sha": request.sha, "outcome": outcome, "seconds": 1, "summary": ""}
        return CheckResult.model_validate(told)

    @property
    def hands(self) -> list[Callable[..., Any]]:
        """The activities of the hands queue."""
        yard, declared = self.yard, {"shop": self.yard.repository}
        forge = ForgeActivities(yard.changes, yard.track, declared)
        train = TrainActivities(yard.changes, yard.track, declared)
        native = NativeActivities(yard.changes, yard.track, declared, queue=yard.queue)
        folding = ResultActivities(self.results, yard.track, declared, Keeping())
        gathering = InvestigateActivities(
            cast(Errors, None), yard.track, yard.changes, cast(Flags, None), declared,
            tests=FlakyFactsGatherer(self.results, folding, yard.track, yard.changes, declared),
            policies=cast(PolicySource, _Policies()),
        )  # fmt: skip
        acts = QuarantineActivities(yard.changes, yard.track, declared, self.results, NoIssues())
        reports = CarReportActivities(yard.reports, declared, yard.left_reports)
        undoing = UndoActivities(yard.changes, yard.track, declared)
        book, people = self.people.ledger, self.people
        return [
            forge.describe, forge.export, forge.record_check, forge.settle_change, forge.get_change,
            forge.preview, train.look, train.compose, train.land, train.audit, train.drop_cars,
            native.capability, native.enqueue, native.dequeue, native.look, native.receive,
            EngineActivities(yard.client).enqueue, gathering.gather, acts.change, acts.holds, acts.ended,
            reports.take_in_reports, book.reserve, book.commit, book.release, book.settle, book.attend,
            book.answered, undoing.undoable, people.ask, people.remind, people.hold, people.tell,
            people.close,
        ]  # fmt: skip

    def _pytest(self, sha: str, branch: str, runs: Sequence[OneRun], *options: str) -> int:
        """The exit code of the last run. One process imports pytest, and a child of it makes each run."""
        if not self._clone.exists():
            subprocess.run(["git", "clone", "-q", str(self.git.remote), str(self._clone)], check=True)
        for command in (["fetch", "-q", "origin", "+refs/*:refs/all/*"], ["checkout", "-q", "--force", sha]):
            subprocess.run(["git", *command], cwd=self._clone, check=True)
        plugins = ("leverframe_pytest.plugin", "pytest_rerunfailures", "no:cacheprovider")
        asked = [
            {
                "environment": {
                    "LEVERFRAME_RUN": one.name, "LEVERFRAME_SHA": sha, "LEVERFRAME_BRANCH": branch,
                    "ORDER": one.order, "SLOW": "1" if one.slow else "",
                },
                "arguments": [
                    *(part for name in plugins for part in ("-p", name)), "-q", "--rootdir", ".",
                    "--leverframe-results", str(self.root / f"{one.name}.jsonl"), *options, "tests",
                ],
                "output": str(self.root / f"{one.name}.log"),
            }
            for one in runs
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", _RUNS],
            cwd=self._clone, input=json.dumps(asked), text=True, check=False,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        return done.returncode


class _Policies:
    """The policy files of the house."""

    def read(self) -> PolicyFiles:
        return PolicyFiles(revision="1", files=RULES)
