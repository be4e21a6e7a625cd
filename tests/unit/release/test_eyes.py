"""What a difference in a page's look does to a move."""

from datetime import timedelta

from leverframe.model.eyes import EyesPlan, EyesReport, PageLook, Viewport
from leverframe.model.releases import GateVerdict
from tests.unit.release.test_canary import CANARY, PLAN, T0
from workflows.release.canary import Ladder, Move
from workflows.release.eyes import minded

WINDOW = Viewport(width=200, height=200)
HOLD = EyesPlan(pages=("/",))
OVER = timedelta(seconds=PLAN.steps[0].max_seconds + PLAN.hold_seconds)


def move(kind: str, colour: str = "green") -> Move:
    verdict = GateVerdict.model_validate(
        {
            "colour": colour, "percent": 5, "reason": "so it is", "canary_requests": 9, "canary_errors": 0,
            "stable_requests": 9, "stable_errors": 0,
        }
    )  # fmt: skip
    return Move.model_validate({"kind": kind, "verdict": verdict})


def seen(finding: str) -> EyesReport:
    look = {"page": "/", "viewport": WINDOW, "finding": finding, "differing_ppm": 5000}
    return EyesReport(looks=(PageLook.model_validate(look),))


def ladder(rung: int = 0) -> Ladder:
    return Ladder.at_the_foot(CANARY, PLAN, T0).model_copy(update={"rung": rung})


def test_only_leaving_the_first_step_is_held_and_red_is_red() -> None:
    held = minded(seen("differs"), HOLD, ladder(), move("advance"), T0)
    assert (held.kind, held.verdict.colour) == ("hold", "hold")
    assert "so it is; but it looks different" in held.verdict.reason
    red = move("take_back", "red")
    assert minded(seen("differs"), HOLD, ladder(), red, T0) == red
    assert minded(seen("differs"), HOLD, ladder(1), move("promote"), T0) == move("promote")


def test_what_is_the_same_unstable_or_unseen_changes_no_move() -> None:
    for finding in ("same", "unstable", "unseen"):
        assert minded(seen(finding), HOLD, ladder(), move("advance"), T0) == move("advance")


def test_after_the_time_of_a_hold_it_goes_back_by_itself_unless_a_person_holds_it() -> None:
    late = T0 + OVER + timedelta(seconds=1)
    assert minded(seen("differs"), HOLD, ladder(), move("advance"), T0 + OVER).kind == "hold"
    back = minded(seen("differs"), HOLD, ladder(), move("advance"), late)
    assert (back.kind, "nobody has for 1100 seconds" in back.verdict.reason) == ("take_back", True)
    paused = ladder().model_copy(update={"held_since": T0})
    assert minded(seen("differs"), HOLD, paused, move("advance"), late).kind == "hold"
