"""Looks for the one landed change that a red change does not go together with, on runners that are idle."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from workflows.merge_train import sighting
    from workflows.merge_train.book import Book
    from workflows.merge_train.calls import Calls
    from workflows.merge_train.car import CarReport, CarTest
    from workflows.merge_train.lane import Eject
    from workflows.merge_train.partner import Inquiry, Landed
    from workflows.merge_train.queue import Queued
    from workflows.merge_train.testing import rider_of

_SILENT = timedelta(hours=4)
"""A test that has said nothing for so long tells nothing any more."""


class Inquirer:
    """Carries out one inquiry at a time."""

    def __init__(self, book: Book, calls: Calls) -> None:
        self._book = book
        self._calls = calls

    async def looks(self, said: Eject) -> bool:
        """Whether the partner of this change is still looked for; if so it is not blamed yet."""
        item = self._book.state.queue.get(said.sequence)
        if said.reason != "incompatible" or item is None:
            return False
        other = self._book.state.inquiry
        if other is not None and other.sequence != item.sequence and self._waits_for(other):
            return True
        inquiry = self._begun(item, said)
        while not inquiry.over:
            if self._waits_for(inquiry):
                return True
            if inquiry.trial:
                inquiry = self._keep(inquiry.answered("inconclusive"))
            else:
                inquiry = await self._probe(inquiry, item)
        return False

    def heard(self, report: CarReport) -> None:
        """Fold in what a test of this inquiry says."""
        inquiry = self._book.state.inquiry
        if inquiry is None or report.trial != inquiry.trial or not report.finished:
            return
        said = next((one for one in report.results if one.check == inquiry.check), None)
        self._keep(inquiry.answered(said.outcome if said else "inconclusive"))

    def _waits_for(self, inquiry: Inquiry) -> bool:
        """Whether its test may still say something."""
        silent = self._book.now() - inquiry.began_at if inquiry.began_at else timedelta()
        return inquiry.trial > 0 and silent < _SILENT

    def _begun(self, item: Queued, said: Eject) -> Inquiry:
        """The inquiry about this change, begun if there is none."""
        known = self._book.state.inquiry
        if known is not None and known.sequence == item.sequence:
            return known
        car = sighting.trial_of(self._book.state, said.path)
        among = tuple(
            Landed(change=landing.change, tip=landing.landed)
            for landing in sighting.landed_since_green(self._book.state, item)
        )
        check = car.red.check if car and car.red else ""
        return self._keep(Inquiry(sequence=item.sequence, check=check, among=among, red=len(among)))

    async def _probe(self, inquiry: Inquiry, item: Queued) -> Inquiry:
        """Test the red check on half of what is left, if a runner is idle."""
        state = self._book.state
        busy = sighting.runners_in_use(state) >= self._book.rules.runners
        if busy or state.builds_left(self._book.now()) == 0:
            return self._keep(inquiry.answered("inconclusive"))
        try:
            [one] = await self._calls.compose(inquiry.base, (rider_of(item),))
        except ActivityError:
            return self._keep(inquiry.answered("inconclusive"))
        checks = (
            tuple(check for check in one.facts.required if check.name == inquiry.check) if one.facts else ()
        )
        if one.facts is None or not checks:
            return self._keep(inquiry.answered("inconclusive"))
        if any(result.check == inquiry.check for result in one.facts.proven):
            return self._keep(inquiry.answered("passed"))
        test = CarTest(
            train=self._book.train,
            trial=self._book.state.next_trial,
            repository=self._book.repository,
            change=item.change,
            sha=one.facts.sha,
            checks=checks,
        )
        self._book.state = self._book.state.with_build(self._book.now())
        began = {"trial": test.trial, "sha": test.sha, "began_at": self._book.now()}
        kept = self._keep(inquiry.model_copy(update={**began, "probes": inquiry.probes + 1}))
        await self._calls.start_test(test)
        return self._book.state.inquiry or kept

    def _keep(self, inquiry: Inquiry) -> Inquiry:
        self._book.update(inquiry=inquiry)
        return inquiry
