"""The ledger's core against an independent bookkeeper: any commands in any order, S1 to S12."""

from hypothesis import settings

from tests.fakes.ledger_machine import LedgerMachine


class CoreMachine(LedgerMachine):
    """The pure core."""


TestPolicyLedger = CoreMachine.TestCase
TestPolicyLedger.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
