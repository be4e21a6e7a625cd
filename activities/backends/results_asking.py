"""Asking for fresh executions, in the transaction that finds out what is worth it.

Whoever asks holds the lock of the repository's suite: what is left of the day is known, and spent at once.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, update

from activities.backends.results_gathering import Gathered, day_of
from activities.backends.results_late import Late
from activities.backends.results_shelf import StoreShelf
from activities.backends.results_tables import test_attempts, test_causes, test_executions
from activities.backends.store_sql import to_micros
from activities.executions_port import PATIENCE, Asking
from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.causes import Jobs, Tally, naming
from agents.flaky_tests.observation import Run
from agents.flaky_tests.probes import EXECUTIONS, probe, recheck
from agents.flaky_tests.suite import Folded, Suite, in_trouble
from leverframe.model.executions import ExecutionPurpose, Kind

MOST_TESTS = 10
"""Of one run: where more only fail, the change broke something; where more are discordant, a machine did."""
FOR_PROBES = 4
"""One part in so many of a day's executions is not for rechecks."""
ANOTHER_FLAKE = timedelta(days=90)
CAUSE = "cause"
"""The series of jobs that only look for a cause."""
GIVEN_UP = "no sandbox executed it in time"
FIX_CLAIMED = "not counted: a commit claims to fix the test"

_SHA = re.compile(r"[0-9a-f]{40}")
_e = test_executions.c


@dataclass(frozen=True, slots=True)
class Settled:
    """All that came of one run, put together."""

    name: str
    reports: Sequence[Row[Any]]
    gathered: Gathered
    passed_there: bytes
    run: Run
    shelf: StoreShelf
    late: Late | None = None
    """The run that was folded before, of which this is a further part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Jobs of one test, with what they are asked for."""

    number: int
    purpose: ExecutionPurpose
    series: str
    sha: str
    check: str
    kinds: Sequence[Kind]
    executions: int
    noise: float
    until_pass: bool = False


class Asker:
    """One transaction's orders."""

    def __init__(self, connection: Connection, repository: str, asking: Asking, at: datetime) -> None:
        self.connection, self.repository, self.at = connection, repository, at
        self._asking = asking
        self.asked = 0
        """Orders of this transaction."""
        spent = select(func.sum(_e.spent)).where(_e.repository == repository, _e.day == day_of(at))
        used = (connection.execute(spent).scalar() or 0) if asking.a_day else 0
        self.left = max(asking.a_day - int(used), 0) if asking.checks else 0
        """Executions that policy still allows today."""

    @property
    def left_for_rechecks(self) -> int:
        """Without what is kept for probes: breaks are many, and a discordance can't be probed tomorrow."""
        return max(self.left - self._asking.a_day // FOR_PROBES, 0)

    def may_ask(self, sha: str) -> bool:
        """Whether there is something left, and the commit may be had."""
        if not self.left or not _SHA.fullmatch(sha):
            return False
        unfit = select(_e.id).where(_e.repository == self.repository, _e.sha == sha, _e.outcome == "unfit")
        return self.connection.execute(unfit.limit(1)).first() is None

    def is_check(self, job: str) -> bool:
        """Whether the job was a check that selects tests: what passes there passes where it failed."""
        return job in self._asking.checks

    def check_of(self, job: str) -> str:
        """The check that the job was, or the first one that selects tests."""
        return job if self.is_check(job) else self._asking.checks[0]

    def ask(self, wish: Wish) -> None:
        """Put its jobs down; the caller has looked at what is left."""
        before = select(func.count()).where(*self.of(wish.purpose, wish.series, wish.number))
        first = self.connection.execute(before).scalar_one()
        rows = [
            {
                "id": self._id(wish, place),
                "repository": self.repository,
                "number": wish.number,
                "purpose": wish.purpose,
                "series": wish.series,
                "place": place,
                "sha": wish.sha,
                "check_name": wish.check,
                "kind": kind.value,
                "executions": wish.executions,
                "until_pass": wish.until_pass,
                "noise": wish.noise,
                "asked_at": to_micros(self.at),
                "day": day_of(self.at),
                "spent": wish.executions,
                "passes": 0,
                "failures": 0,
                "fingerprints": "[]",
                "milliseconds": 0,
                "why": "",
            }
            for place, kind in enumerate(wish.kinds, first)
        ]
        if rows:
            self.connection.execute(test_executions.insert(), rows)
        self.asked += len(rows)
        self.left -= len(rows) * wish.executions

    def of(self, purpose: str, series: str, number: int) -> tuple[ColumnElement[bool], ...]:
        """What finds a series of one test."""
        ours = _e.repository == self.repository
        return ours, _e.purpose == purpose, _e.series == series, _e.number == number

    def open_series(self, number: int) -> bool:
        """Whether a probe of the test is under way."""
        ours = _e.repository == self.repository, _e.number == number, _e.purpose == "probe"
        under_way = select(_e.id).where(*ours, _e.folded_at.is_(None), _e.series != CAUSE)
        return self.connection.execute(under_way.limit(1)).first() is not None

    def last_job(self, number: int) -> str:
        """The job in which the test was last executed, as far as that is kept."""
        a = test_attempts.c
        newest = (
            select(a.job)
            .where(a.repository == self.repository, a.number == number)
            .order_by(a.at.desc(), a.run_number.desc(), a.attempt)
            .limit(1)
        )
        return self.connection.execute(newest).scalar() or ""

    def _id(self, wish: Wish, place: int) -> str:
        named = [self.repository, wish.purpose, wish.series, wish.sha, wish.number, place]
        return sha256(json.dumps(named).encode()).hexdigest()[:16]


def give_up(connection: Connection, repository: str, at: datetime) -> None:
    """Orders that waited for too long. What they were to take stays spent: somebody may be at it."""
    too_old = [
        and_(_e.purpose == purpose, _e.asked_at <= to_micros(at - patience))
        for purpose, patience in PATIENCE.items()
    ]
    connection.execute(
        update(test_executions)
        .where(_e.repository == repository, _e.folded_at.is_(None), _e.outcome.is_(None), or_(*too_old))
        .values(outcome="expired", done_at=to_micros(at), why=GIVEN_UP)
    )


def end_night(connection: Connection, repository: str, number: int) -> None:
    """Count no more of a test's night that is under way: its commit is out of date."""
    under_way = (
        _e.repository == repository,
        _e.number == number,
        _e.purpose == "night",
        _e.folded_at.is_(None),
    )
    ended = {"outcome": func.coalesce(_e.outcome, "expired"), "folded_at": _e.asked_at, "why": FIX_CLAIMED}
    connection.execute(update(test_executions).where(*under_way).values(**ended))


def waits(run: Any, sha: Any, repository: str) -> ColumnElement[bool]:
    """Whether rechecks of a run have no answer yet."""
    return (
        select(_e.id)
        .where(
            _e.repository == repository,
            _e.purpose == "recheck",
            _e.series == run,
            _e.sha == sha,
            _e.outcome.is_(None),
        )
        .exists()
    )


def rechecks(connection: Connection, repository: str, name: tuple[str, str]) -> Sequence[Row[Any]]:
    """All rechecks of a run, in the order in which they were asked."""
    of_run = _e.repository == repository, _e.purpose == "recheck", _e.series == name[0], _e.sha == name[1]
    return connection.execute(select(test_executions).where(*of_run).order_by(_e.number, _e.place)).all()


def mark_rechecked(connection: Connection, repository: str, name: tuple[str, str], at: int) -> None:
    """The rechecks of a run are in its fold."""
    of_run = _e.repository == repository, _e.purpose == "recheck", _e.series == name[0], _e.sha == name[1]
    connection.execute(update(test_executions).where(*of_run).values(folded_at=at))


def ask_rechecks(asker: Asker, settled: Settled, suite: Suite) -> bool:
    """Ask for executions of calm tests that only failed in the run; whether there are any.

    A run in trouble says nothing of them, one is asked for once, and nobody waits for more of a late part.
    Only a check is executed again: a pass of the sandbox says nothing of what fails on another machine.
    """
    run, shelf, name = settled.run, settled.shelf, (settled.name, settled.run.sha)
    if settled.late or not asker.may_ask(run.sha) or rechecks(asker.connection, asker.repository, name):
        return False
    failed = [
        test
        for test, one in sorted(run.others.items())
        if one.only_failed and test not in run.passed_before and asker.is_check(settled.gathered.job_of(test))
    ]
    if not failed or in_trouble(suite, run, shelf):
        return False
    for test in failed:
        count = recheck(shelf.history(test), shelf.seen(test), run.of(test), asker.left_for_rechecks)
        if count and asker.asked < MOST_TESTS:
            asker.ask(
                Wish(
                    number=test,
                    purpose="recheck",
                    series=settled.name,
                    sha=run.sha,
                    check=asker.check_of(settled.gathered.job_of(test)),
                    kinds=(Kind.AS_IT_RAN,),
                    executions=count,
                    noise=suite.noise.bound,
                    until_pass=True,
                )
            )
    return asker.asked > 0


def tally_of(connection: Connection, repository: str, number: int, at: datetime) -> Tally:
    """What the kinds of jobs of a test came to so far; what is long ago was another flake."""
    c = test_causes.c
    recent = c.repository == repository, c.number == number, c.at >= to_micros(at - ANOTHER_FLAKE)
    kept = connection.execute(select(c.tally).where(*recent)).scalar()
    return {Kind(kind): Jobs(*counts) for kind, counts in json.loads(kept or "{}").items()}


def kinds_to_name(asker: Asker, number: int) -> Sequence[Kind]:
    """Jobs that would tell the cause of a quarantined test, within what is left."""
    asked = select(func.count()).where(*asker.of("probe", CAUSE, number))
    tally = tally_of(asker.connection, asker.repository, number, asker.at)
    kinds = naming(tally, asker.connection.execute(asked).scalar_one())
    return kinds[: asker.left // EXECUTIONS]


def ask_probes(asker: Asker, settled: Settled, folded: Folded, noise: float, bounds: Bounds) -> None:
    """Ask for the first jobs after the discordances of a run that was folded."""
    run, seen = settled.run, settled.shelf.seen
    if folded.in_trouble or not asker.may_ask(run.sha):
        return
    probed = 0
    for change in folded.changes:
        test = change.test
        if test not in run.others or probed >= MOST_TESTS:
            continue
        kinds: Sequence[Kind] = ()
        if change.quarantined:
            kinds = kinds_to_name(asker, test)
        elif not asker.open_series(test):
            wanted = probe(change.after, seen(test), bounds, asker.left)
            kinds = wanted.kinds if wanted else ()
        if kinds:
            probed += 1
            asker.ask(
                Wish(
                    number=test,
                    purpose="probe",
                    series=CAUSE if change.quarantined else str(folded.suite.runs),
                    sha=run.sha,
                    check=asker.check_of(settled.gathered.job_of(test)),
                    kinds=kinds,
                    executions=EXECUTIONS,
                    noise=noise,
                )
            )
