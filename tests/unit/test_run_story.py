"""The story of a run says of every rung what became of it, also of those whose turn never came."""

from datetime import UTC, datetime
from typing import Literal

import pytest

from agents.contract import Due
from leverframe.model.ids import reservation_id
from leverframe.model.outcomes import Outcome, RunReport, StepReport
from leverframe.model.proposals import FlipFlag, Lever, Measurement, Proposal, RevertChange, RollBack, Step
from leverframe.model.untrusted import Untrusted
from workflows.messages import RunRequest
from workflows.run_story import tell

AT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
RUN = "run/sentry_spike/shop/SHOP-1/1"
EVIDENCE = (Measurement(name="errors", observed=33, threshold=5, unit="events"),)
ABOUT = {"agent": "sentry_spike", "repository": "shop", "service": "shop", "subject": "SHOP-1"}
REVERT = RevertChange(repository="shop", commit="b" * 40, title="Revert", body="")
STEPS = (
    Step(purpose="mitigate", effect=FlipFlag(flag="new-pricing", on=False), why="it is on"),
    Step(purpose="mitigate", effect=RollBack(service="shop", to="a" * 40), why="it is live"),
    Step(purpose="repair", effect=REVERT, why="blamed"),
)


def told(outcome: Outcome | None, result: Literal["done", "failed"]) -> list[str]:
    """The ladder's rows after the first rung has ended so."""
    first = StepReport(
        lever=Lever.FLIP_FLAG,
        purpose="mitigate",
        verdict="allow",
        result=result,
        detail="a detail",
        reservation=reservation_id(RUN, 0),
        started_at=AT,
        ended_at=AT,
    )
    proposal = Proposal(
        id=RUN, **ABOUT, summary="off", title=Untrusted("KeyError"), evidence=EVIDENCE, steps=STEPS
    )
    report = RunReport(
        run=RUN, **ABOUT, outcome=outcome, detail="", detected_at=AT, proposal=proposal, steps=(first,)
    )
    request = RunRequest(
        **ABOUT, due=Due(reason="new", evidence=EVIDENCE, since=AT), detected_at=AT, watch="watch"
    )
    page = tell(request, report)
    return [row for row in page.splitlines() if row.startswith(("| mitigate", "| repair"))]


@pytest.mark.parametrize(
    ("outcome", "result", "second", "third"),
    [
        (None, "done", "|  |  |  |", "|  |  |  |"),
        (Outcome.FAILED, "failed", "|  | – not reached |  |", "|  | – not reached |  |"),
        (Outcome.FAILED, "done", "|  | – not needed |  |", "|  | – not reached |  |"),
    ],
    ids=["it goes on", "nothing helped", "the first rung helped"],
)
def test_a_rung_that_was_not_climbed_says_why(
    outcome: Outcome | None, result: Literal["done", "failed"], second: str, third: str
) -> None:
    rows = told(outcome, result)
    assert f"{result}: a detail" in rows[0]
    assert [row.endswith(end) for row, end in zip(rows[1:], (second, third), strict=True)] == [True, True]
