"""Flaky tests: a test fails and passes on the same commit; take its failures out of everybody's way."""

from datetime import datetime

from agents.contract import Due, Nothing, RunContext, Wait, of_kind
from agents.flaky_tests import watch
from agents.flaky_tests.proposing import proposed
from agents.flaky_tests.watch import SuiteWatch
from leverframe.model.errors import BadConfiguration
from leverframe.model.facts import Facts, FactsRequest, FlakyFactsRequest
from leverframe.model.proposals import Lever, NoAction, Proposal
from leverframe.model.quarantine import FlakyFacts
from leverframe.model.signals import ReportArrived, Signal


class FlakyTests:
    """Watches the reports of a repository's tests; proposes changes of its quarantine file."""

    name = "flaky_tests"
    watches = ReportArrived
    may_propose = frozenset({Lever.OPEN_MERGE_REQUEST})
    state_type = SuiteWatch

    def initial(self, tuning: dict[str, int]) -> SuiteWatch:
        """Raises BadConfiguration for tuning: what it may quarantine is for policy to say."""
        if tuning:
            raise BadConfiguration(
                f"[agents.{self.name}] has no setting {', '.join(sorted(tuning))}; there are none"
            )
        return SuiteWatch()

    def observe(self, state: SuiteWatch, signal: Signal) -> SuiteWatch:
        """Note that a report is in the store."""
        return watch.observe(state, of_kind(signal, ReportArrived))

    def decide(self, state: SuiteWatch, now: datetime) -> tuple[SuiteWatch, Due | Wait | Nothing]:
        """Due once the first report has waited long enough for those of the same hour."""
        return watch.decide(state, now)

    def settled(self, state: SuiteWatch, now: datetime) -> SuiteWatch:
        """What arrived during the run waits for the next one."""
        return watch.settled(state, now)

    def needs(self, due: Due, context: RunContext) -> FactsRequest:
        """What the reports say of each test, the quarantine file, and what policy and people allow."""
        return FlakyFactsRequest(
            kind="flaky_tests",
            agent=self.name,
            repository=context.repository,
            service=context.service,
            subject=context.subject,
            since=due.since,
        )

    def propose(self, due: Due, facts: Facts, context: RunContext) -> Proposal | NoAction:
        """One change of the quarantine file for every test that enters or leaves it now."""
        return proposed(self.name, due, of_kind(facts, FlakyFacts), context)
