"""The ledger's state as a value: nothing is lost on the way to the next run, and its order is its own."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from leverframe.model.frozen import Frozen
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Lever
from policies.book import Book
from policies.decision import Finding, Verdict
from policies.events import InstalledEvent
from policies.ledger import Ledger
from policies.reservations import (
    Deferral,
    EndedQuestion,
    LedgerState,
    PauseRequest,
    RefusedPolicy,
    SpentApproval,
)
from policies.usage import Asking, Rejection, Sighting
from tests.fakes.asks import NOON, ON, ask, policy
from tests.fakes.ledgers import approved, settled, under

TIMES = (NOON, NOON + timedelta(seconds=1))
NAMES = ("a", "b")
LEVERS = (Lever.FLIP_FLAG, Lever.ROLL_BACK)

Column = Sequence[object]


def asking(at: object, approval: object, group: object) -> Asking:
    return Asking.model_validate(
        {
            "approval": approval,
            "agent": "one",
            "repository": "shop",
            "service": "shop",
            "subject": "S",
            "lever": Lever.FLIP_FLAG,
            "group": group,
            "at": at,
        }
    )


def deferral(at: object, approval: object, group: object) -> Deferral:
    full = Finding(
        rule="org.limits.nights",
        verdict=Verdict.DENY,
        observed="2",
        limit="1",
        remedy="Wait.",
        source="org.yaml:1",
    )
    return Deferral(question=asking(at, approval, group), findings=(full,))


def of(kind: type[Frozen], *names: str) -> Callable[..., Frozen]:
    return lambda *values: kind.model_validate(dict(zip(names, values, strict=True)))


KEPT: dict[str, tuple[Callable[..., Frozen], Sequence[Column]]] = {
    "spent_approvals": (of(SpentApproval, "expires_at", "approval"), (TIMES, NAMES)),
    "rejections": (
        of(Rejection, "at", "repository", "service", "subject", "lever"),
        (TIMES, NAMES, NAMES, NAMES, LEVERS),
    ),
    "sightings": (of(Sighting, "at", "repository", "service", "subject"), (TIMES, NAMES, NAMES, NAMES)),
    "questions": (asking, (TIMES, NAMES, NAMES)),
    "deferrals": (deferral, (TIMES, NAMES, NAMES)),
    "ended_questions": (of(EndedQuestion, "at", "approval"), (TIMES, NAMES)),
}
"""What a state lists: how one is made, and two values for each column, the lesser first."""


@pytest.mark.parametrize(
    ("field", "decides"),
    [(field, column) for field, (_, columns) in KEPT.items() for column in range(len(columns))],
)
def test_the_order_of_a_state_is_that_of_its_columns_and_not_of_what_came_first(
    field: str, decides: int
) -> None:
    make, columns = KEPT[field]
    before = make(*(column[position > decides] for position, column in enumerate(columns)))
    after = make(*(column[position == decides] for position, column in enumerate(columns)))
    for kept in ((before, after), (after, before)):
        state = Book(LedgerState.model_validate({field: kept})).state()
        assert getattr(state, field) == (before, after)


def test_everything_that_a_ledger_knows_reaches_its_next_run() -> None:
    snapshot = policy(
        org="storm: {window: 1h, max_subjects: 9}\nbreaker: {bad: 1, of_last: 1, open_for: 1h}\n"
    )
    ledger = under(snapshot)
    ledger.reserve(approved(ask("run/1", effect=ON), policy_digest=snapshot.digest), NOON)
    ledger.reserve(ask("run/2"), NOON)
    ledger.pause(PauseRequest(by="ada", reason="incident", agent="sentry_spike"), NOON)
    ledger.reserve(ask("run/3/0"), NOON)
    ledger.settle(settled("run/2", Outcome.FAILED), NOON)
    refused = RefusedPolicy(revision="abc", problems=("org.yaml:1: no",), since=NOON)
    ledger.refuse_policy(refused, NOON)
    state = ledger.state
    assert [pause.agent for pause in state.pauses] == ["sentry_spike"]
    assert [demotion.agent for demotion in state.demotions] == ["sentry_spike"]
    assert [parked.run for parked in state.parked] == ["run/3"]
    assert [seen.subject for seen in state.sightings] == ["SHOP-1"]
    assert (len(state.entries), len(state.spent_approvals), state.refused_policy) == (2, 1, refused)
    assert Ledger(state).state == state


def test_a_pause_of_one_agent_leaves_the_others_alone() -> None:
    ledger = under(policy())
    ledger.pause(PauseRequest(by="ada", reason="incident", agent="other"), NOON)
    assert ledger.reserve(ask(), NOON).kind == "allow"
    ledger.pause(PauseRequest(by="ada", reason="incident", agent="sentry_spike"), NOON)
    assert ledger.reserve(ask("run/2"), NOON).kind == "deny"


def test_an_installed_event_is_applied_with_the_policy_that_its_record_only_names() -> None:
    event = InstalledEvent(policy_digest="0" * 64, files=())
    with pytest.raises(ValueError, match=r"^an `installed` event is applied with its snapshot$"):
        Book(LedgerState()).apply(event, NOON)
