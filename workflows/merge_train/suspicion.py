"""Is the target itself red? Asked before a change is blamed for a check that is not proven on the tip."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import CheckResult
    from workflows.merge_train import learning, sighting
    from workflows.merge_train.attribution import RUNS_WITHOUT_WORD
    from workflows.merge_train.book import Book
    from workflows.merge_train.calls import Calls
    from workflows.merge_train.car import DEV, CarReport, CarTest
    from workflows.merge_train.lane import Eject
    from workflows.merge_train.state import Suspicion, Testing


class TipTester:
    """Tests the tip, where no change can be at fault: once for each check that somebody is red on."""

    def __init__(self, book: Book, calls: Calls) -> None:
        self._book = book
        self._calls = calls

    async def suspect(self, said: Eject) -> bool:
        """Whether the target may be to blame, so that the change may not be: it is being seen, or is red."""
        state = self._book.state
        car = sighting.trial_of(state, said.path)
        if said.reason not in ("check_failed", "incompatible") or car is None or car.red is None:
            return False
        check = car.red.check
        if check == DEV or state.tip is None or not learning.tip_is_doubtful(state, check):
            return False
        known = sighting.suspicion(state, check)
        if known is None or self._is_no_verdict(known):
            await self._test(car, check, known)
            return True
        return known.outcome in (None, "failed")

    def heard(self, report: CarReport) -> bool:
        """Fold in what is said of the tip. False for a report about something else."""
        one = next((one for one in self._book.state.suspicions if one.trial == report.trial), None)
        if one is None:
            return False
        if report.finished and one.outcome is None:
            about = (
                result for result in report.results if (result.sha, result.check) == (one.tip, one.check)
            )
            self._answered(one, next(about, None))
        return True

    def forget_lost(self, late: timedelta) -> None:
        """A test of the tip that has been silent for so long past its limit was lost."""
        for one in self._book.state.suspicions:
            silent = self._book.now() - one.began_at
            if one.outcome is None and silent > timedelta(seconds=one.limit_seconds) + late:
                self._answered(one, None)

    def _is_no_verdict(self, one: Suspicion) -> bool:
        """A red may be a flake, and silence says nothing: both are asked again, some times."""
        if one.outcome == "failed":
            return one.failed_runs <= self._book.rules.confirmations
        return one.outcome == "inconclusive" and one.silent_runs < RUNS_WITHOUT_WORD

    def _answered(self, one: Suspicion, result: CheckResult | None) -> None:
        outcome = result.outcome if result else "inconclusive"
        told = {
            "outcome": outcome,
            "detail": result.summary if result else "",
            "failed_runs": one.failed_runs + (outcome == "failed"),
            "silent_runs": one.silent_runs + (outcome == "inconclusive"),
        }
        self._keep(one.model_copy(update=told))

    def _keep(self, one: Suspicion) -> None:
        others = tuple(
            other for other in self._book.state.suspicions if (other.tip, other.check) != (one.tip, one.check)
        )
        self._book.update(suspicions=(*others, one))

    async def _test(self, car: Testing, check: str, known: Suspicion | None) -> None:
        tip = self._book.state.tip
        if tip is None or car.facts is None:
            return
        test = CarTest(
            train=self._book.train,
            trial=self._book.state.next_trial,
            repository=self._book.repository,
            change=f"{self._book.repository}/tip",
            sha=tip,
            checks=tuple(one for one in car.required if one.name == check),
            again=known is not None,
        )
        now = self._book.now()
        self._book.state = self._book.state.with_build(now)
        limit = sum(one.timeout_seconds for one in test.checks)
        begun = known or Suspicion(tip=tip, check=check, trial=test.trial, began_at=now, limit_seconds=limit)
        self._keep(begun.model_copy(update={"trial": test.trial, "outcome": None, "began_at": now}))
        await self._calls.start_test(test)
