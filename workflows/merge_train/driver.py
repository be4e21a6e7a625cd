"""Drives one train: looks, plans from one snapshot, and carries the plan out, one step at a time."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.train import LOOKED_AT, Sight, Waiting
    from leverframe.model.topology import TrainRules
    from leverframe.model.trains import AuditFinding, AuditReport, Freeze
    from workflows.merge_train import learning, sighting, words
    from workflows.merge_train.book import Book
    from workflows.merge_train.calls import Calls
    from workflows.merge_train.car import CarReport
    from workflows.merge_train.inquiring import Inquirer
    from workflows.merge_train.landing import Lander
    from workflows.merge_train.lane import Eject
    from workflows.merge_train.native import PATIENCE, Native
    from workflows.merge_train.planning import plan
    from workflows.merge_train.queue import Queued
    from workflows.merge_train.state import MAX_FINDINGS, Testing
    from workflows.merge_train.testing import Tester
    from workflows.merge_train.view import is_native

TIDY_AFTER = 20
"""So many changes end before the refs of their cars are taken away together."""

UNTOLD = timedelta(minutes=5)
"""So long the forge's queue may take to say that it has landed what is on the target already."""

AUDIT_AFTER = 10
"""So many landings at the most go by before the target is audited, however busy the train is."""

RECONCILE = timedelta(minutes=5)
"""How often the train looks at the world although nobody told it to: messages get lost."""

STUCK = timedelta(hours=2)
"""A test that has said nothing for so long is counted as one without a verdict."""


class Driver:
    """The steps of one train."""

    def __init__(self, book: Book, calls: Calls) -> None:
        """`calls` is everything outside; a test may give another world."""
        self._book = book
        self._calls = calls
        self.tester = Tester(book, calls)
        self._lander = Lander(book, calls, self.tester)
        self._native = Native(book, calls, self._lander)
        self._inquirer = Inquirer(book, calls)
        self._look_why = "the train begins"
        self._untold_since: datetime | None = None
        self.waits: Mapping[int, str] = {}
        """What the last plan that carried no verdict said of those who wait."""

    def look_soon(self, why: str) -> None:
        """Look at the world in the next step."""
        self._look_why = why
        self._book.heard += 1

    def heard(self, report: CarReport) -> None:
        """A car's test has something to say."""
        self._inquirer.heard(report)
        self.tester.heard(report)

    async def tidy(self) -> None:
        """Take the refs of cars away that nobody needs any more."""
        book = self._book
        book.update(loose=0)
        try:
            await self._calls.drop_cars(sighting.cars_in_use(book.state), book.now())
        except ActivityError as error:
            self._calls.note(f"the refs of cars stay: {words.cause_of(error)[1]}")

    def patience(self, most: timedelta) -> timedelta:
        """How long nothing may happen before it is looked again."""
        freeze = self._book.state.freeze
        most = self.tester.dev.wakes_in(most)
        if is_native(self._book.state) and any(item.native for item in self._book.state.queue.items):
            most = min(most, PATIENCE)
        if freeze is None or freeze.until is None:
            return most
        return min(most, max(timedelta(seconds=1), freeze.until - self._book.now()))

    async def step(self) -> bool:
        """Do the next thing. False when there is nothing to do until somebody says something."""
        state, now = self._book.state, self._book.now()
        if state.looked_at is not None and now - state.looked_at >= RECONCILE:
            # A train that always has news never rests, and still has to look.
            self._look_why = self._look_why or "it is time"
        if state.letters:
            await self._calls.tell(state.letters[0].to, state.letters[0].outcome)
            self._book.update(letters=self._book.state.letters[1:])
        elif state.freeze and state.freeze.until and state.freeze.until <= now:
            self._book.update(freeze=None)
        elif leaving := next((item for item in state.queue.items if item.leaving), None):
            if leaving.native:
                await self._native.take_back((leaving,))
            if (
                self._book.state.queue.get(leaving.sequence) is not None
            ):  # A landing that was under way has won.
                await self._lander.settle(leaving, words.left(leaving, leaving.leaving or "withdrawn"))
        elif self._look_why or any(not item.looked for item in state.queue.items):
            await self._look()
        elif is_native(state):
            return await self._handed_over()
        else:
            return await self._planned(now)
        return True

    async def _handed_over(self) -> bool:
        """One look at the forge's queue; then it is waited for. True while the target is to be audited."""
        before = self._book.state
        await self.tester.drop(before.cars)
        tended = await self.tester.dev.tend()
        await self._native.step()
        await self._found_in_the_queue()
        handed = any(item.native for item in self._book.state.queue.items)
        if self._book.state.unaudited and not self._native.uncertain and await self._audit(patient=handed):
            return True
        return tended or self._book.state.queue != before.queue or await self._tidied()

    async def _planned(self, now: datetime) -> bool:
        """Carry out the plan: verdicts first, one at a time; then tests, all at once."""
        book = self._book
        if handed := tuple(item for item in book.state.queue.items if item.native):
            await self._native.take_back(handed)
            await self._found_in_the_queue()
            return True
        await self.tester.drop(sighting.stale(book.state))
        tended = await self.tester.dev.tend()
        planned = plan(sighting.snapshot(book.state, now), book.rules, book.state.record)
        if planned.land is not None:
            self._look_why = await self._lander.land(planned.land)
            if book.state.unaudited >= AUDIT_AFTER:
                await self._audit()
            return True
        for said in planned.ejected:
            if not await self.tester.tip.suspect(said) and not await self._inquirer.looks(said):
                await self._lander.eject(said)
                return True
        if await self._red_main(planned.ejected):
            return True
        if planned.ejected:
            # Nobody may be blamed yet: the others, a hotfix among them, ride without the suspects meanwhile.
            suspects = frozenset(said.sequence for said in planned.ejected)
            rest = sighting.without(sighting.snapshot(book.state, book.now()), suspects)
            planned = plan(rest, self._rules_for_others(), book.state.record)
            if planned.land is not None:
                self._look_why = await self._lander.land(planned.land)
                return True
        self.waits = planned.waits
        busy = await self.tester.carry_out(planned) or tended
        while self.tester.ended:
            await self._lander.settle(*self.tester.ended.pop())
            busy = True
        if busy:
            return True
        if book.state.unaudited:
            await self._audit()
            return True
        return await self._tidied()

    async def _tidied(self) -> bool:
        due = self._book.state.loose >= TIDY_AFTER
        if due:
            await self.tidy()
        return due

    def _rules_for_others(self) -> TrainRules:
        """The rules while a partner is looked for: that takes one of the runners."""
        rules, inquiry = self._book.rules, self._book.state.inquiry
        if inquiry is None or not inquiry.trial:
            return rules
        return rules.model_copy(update={"runners": rules.runners - 1})

    async def _look(self) -> None:
        """See the tip and the changes in front; whatever has ended there is settled here."""
        book, why = self._book, self._look_why or "a change was enqueued"
        self._look_why = ""
        if why != "a change was enqueued":
            book.update(looked_at=book.now())
        new = [item for item in book.state.queue.items if not item.looked]
        others = [
            item
            for item in book.state.queue.items
            # What the forge's queue has is looked at there: only it knows how that has ended.
            if item.looked and not item.native and why != "a change was enqueued"
        ]
        asked = [*new, *others][:LOOKED_AT]
        try:
            sight = await self._calls.look(
                tuple(Waiting(change=item.change, head=item.head) for item in asked), why
            )
        except ActivityError as error:
            await self._strange(asked, error)
            return
        self._saw(sight, asked)
        await self._heed(sight.declared)
        await self._native.ask()
        for ended in sight.ended:
            item = next((one for one in asked if one.change == ended.change), None)
            if item is None or book.state.queue.get(item.sequence) is None:
                continue
            await self._lander.settle(item, ended)
        await self._forget_lost_tests()

    async def _heed(self, declared: str) -> None:
        """When other checks are required now, cars are composed anew; what was proven of them stays so."""
        before = self._book.state.declared
        if before and declared not in ("", before):
            await self.tester.drop(self._book.state.cars)
        self._book.update(declared=declared or before)

    def _saw(self, sight: Sight, asked: list[Queued]) -> None:
        book = self._book
        lanes = {(of.change, of.head): of.lanes for of in sight.lanes}
        for item in asked:
            current = book.state.queue.get(item.sequence)
            if current is not None:
                found = lanes.get((item.change, item.head), current.lanes)
                book.keep_item(current.model_copy(update={"looked": True, "lanes": found}))
        moved = book.state.tip not in (None, sight.tip)
        if moved:
            book.update(queue=sighting.with_green(book.state), landings=(), suspicions=())
            if book.state.freeze and book.state.freeze.owner == learning.RED_MAIN:
                book.update(freeze=None)  # Whether the new tip is red is found out anew.
        first = book.state.audited is None
        book.update(
            tip=sight.tip,
            rules=sight.rules,
            # What was there before this train is nobody's receipt: the proof begins here.
            audited=sight.tip if first else book.state.audited,
            unaudited=book.state.unaudited + moved,
        )

    async def _strange(self, asked: list[Queued], error: ActivityError) -> None:
        """The forge does not know something: ask for each change alone, so that one can't hold up all."""
        if len(asked) == 1:
            await self._lander.settle(asked[0], words.refused(asked[0], error))
            return
        for item in asked:
            try:
                sight = await self._calls.look((Waiting(change=item.change, head=item.head),), "one by one")
            except ActivityError as one:
                await self._lander.settle(item, words.refused(item, one))
            else:
                self._saw(sight, [item])
                for ended in sight.ended:
                    await self._lander.settle(item, ended)

    async def _forget_lost_tests(self) -> None:
        """A test that has been silent for very long was lost: it counts as one without a verdict.

        It is stopped, too: one whose worker comes back would hold a runner, and nobody would listen.
        """
        for car in self._book.state.cars:
            limit = sum(check.timeout_seconds for check in (car.facts.required if car.facts else ()))
            late = timedelta(seconds=limit) + STUCK
            waits = car.running and not self.tester.dev.holds(car)
            if waits and car.began_at and self._book.now() - car.began_at > late:
                await self._stop_lost(car)
        self.tester.tip.forget_lost(STUCK)

    async def _stop_lost(self, car: Testing) -> None:
        if car.facts is not None:
            await self._calls.cancel_test(car.facts.sha, car.trial)
        now = self._book.state.car(car.sequence, car.base)
        if now is not None and now.running and now.trial == car.trial:
            silent = learning.lost(now)
            self._book.keep(learning.folded(now, (silent,) if silent else ()))

    async def _red_main(self, ejected: tuple[Eject, ...]) -> bool:
        """Freeze for everything but hotfixes when the target itself is seen red. True if it did."""
        book = self._book
        cars = (sighting.trial_of(book.state, said.path) for said in ejected)
        found = (sighting.suspicion(book.state, car.red.check) for car in cars if car and car.red)
        suspicion = next((one for one in found if one is not None and one.outcome == "failed"), None)
        if suspicion is None or book.state.freeze:
            return False
        reason = f"{suspicion.check} is red on the target itself ({suspicion.tip[:12]}): {suspicion.detail}"
        freeze = Freeze(
            mode="hotfix_only", owner=learning.RED_MAIN, reason=reason[:500], since=self._book.now()
        )
        book.update(freeze=freeze)
        text = f"The train of {book.repository} carries only hotfixes. {reason}. Nobody was taken off for it."
        await self._calls.page(f"red/{book.repository}/{suspicion.tip}/{suspicion.check}", text)
        return True

    async def _audit(self, *, patient: bool = False) -> bool:
        """Prove what came to the target since the last audit; freeze and page where that fails.

        `patient`: the forge's queue may have landed what it has not told yet. A commit that no receipt knows
        is then asked about again for a while, before anybody is told. False while that is so.
        """
        book = self._book
        try:
            report = await self._calls.audit(book.state.audited)
        except ActivityError as error:
            kind, message = words.cause_of(error)
            await self._alarm((), f"The target could not be audited ({kind}): {message}")
            book.update(unaudited=0)
            return True
        untold = patient and {finding.kind for finding in report.findings} == {"foreign_commit"}
        if untold and book.now() - (self._untold_since or book.now()) < UNTOLD:
            self._untold_since = self._untold_since or book.now()
            return False
        self._untold_since = None
        book.update(audited=report.tip, unaudited=0)
        if not report.whole:
            await self._found(report)
        return True

    async def _found_in_the_queue(self) -> None:
        for report in self._native.strange():
            await self._found(report)

    async def _found(self, report: AuditReport) -> None:
        """The target is not what the receipts say: remember, freeze where it is grave, and tell people."""
        book = self._book
        grave = tuple(one for one in report.findings if one.kind != "foreign_commit")
        frozen = grave or (report.findings if book.rules.foreign_commits == "freeze" else ())
        await self._alarm(frozen, words.audit_alarm(book.repository, report))
        book.update(findings=(*book.state.findings, *report.findings)[-MAX_FINDINGS:])

    async def _alarm(self, grave: tuple[AuditFinding, ...], text: str) -> None:
        book = self._book
        if grave:
            reason = f"the audit found {', '.join(sorted({one.kind for one in grave}))}; see `train audit`"
            book.update(
                freeze=Freeze(
                    mode="hold_landing", owner=learning.AUDIT, reason=reason[:500], since=self._book.now()
                )
            )
        await self._calls.page(f"audit/{book.repository}/{book.state.tip}", text)
