"""What undoing comes to by now, and each reason for which nothing is undone."""

import re

import pytest
from temporalio.exceptions import ApplicationError

from activities.endings import RECENT_RECEIPTS
from activities.undo import Undoable, UndoActivities, UndoLook
from leverframe.model.proposals import RollBack
from tests.fakes.landings import Landings
from tests.fakes.remediation_world import LANDED, LIVE, PREVIOUS, SHOP

OTHER = "9" * 40
CHANGE = UndoLook(repository="shop", change="shop/9")
ROLL_BACK = CHANGE.model_copy(update={"back_to": PREVIOUS})


@pytest.fixture
def landings() -> Landings:
    """A roll-back from `LIVE` to `PREVIOUS` that landed."""
    landings = Landings()
    landings.land("shop/9", LANDED, overlay={LIVE: PREVIOUS})
    return landings


def looked(landings: Landings, look: UndoLook) -> Undoable:
    return UndoActivities(landings, landings, {"shop": SHOP}).undoable(look)  # type: ignore[arg-type]


def refused(landings: Landings, look: UndoLook, type_: str = "Refused") -> str:
    with pytest.raises(ApplicationError) as caught:
        looked(landings, look)
    assert (caught.value.type, caught.value.non_retryable) == (type_, True)
    return caught.value.message


def test_a_landed_change_is_reverted_and_a_roll_back_is_pointed_forward(landings: Landings) -> None:
    assert looked(landings, CHANGE) == Undoable(landed=LANDED)
    forward = RollBack(service=SHOP.service.name, to=LIVE)
    assert looked(landings, ROLL_BACK) == Undoable(landed=LANDED, forward=forward)


def test_what_was_reverted_already_is_not_reverted_again(landings: Landings) -> None:
    landings.reverted_by = OTHER
    said = f"shop/9, landed as {LANDED[:12]}, was reverted already by {OTHER[:12]}"
    assert refused(landings, CHANGE) == said


def test_production_that_somebody_moved_since_is_left_where_they_put_it(landings: Landings) -> None:
    for named, words in ((OTHER, OTHER[:12]), (None, "no commit")):
        landings.overlay = named
        said = refused(landings, ROLL_BACK)
        assert said.startswith(f"production's overlay names {words} by now, not {PREVIOUS[:12]}")
        assert said.endswith("somebody has decided since")


def test_production_that_is_forward_again_is_undone_already(landings: Landings) -> None:
    landings.overlay = LIVE
    said = f"production's overlay names {LIVE[:12]} again: it was undone already"
    assert refused(landings, ROLL_BACK) == said


def test_a_roll_back_of_the_first_overlay_has_nothing_to_point_forward_to(landings: Landings) -> None:
    landings.before = None
    assert "named no commit before shop/9 landed" in refused(landings, ROLL_BACK)


def test_what_landed_before_the_newest_receipts_is_too_old(landings: Landings) -> None:
    late = Landings()
    for number in range(RECENT_RECEIPTS):
        late.land(f"shop/{100 + number}", f"{number:040x}", overlay={})
    late.land("shop/9", LANDED, overlay={})
    said = f"shop/9 landed too long ago: its receipt is not among the {RECENT_RECEIPTS} newest"
    assert refused(late, CHANGE) == said
    late.known.pop("shop/100")
    assert looked(late, CHANGE).landed == LANDED


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("open", "shop/9 never landed, it is open: there is nothing to undo: close it, and nothing"),
        ("ejected", "shop/9 never landed, it is ejected: there is nothing to undo"),
    ],
)
def test_what_never_landed_can_not_be_undone(landings: Landings, state: str, said: str) -> None:
    landings.state = state  # type: ignore[assignment]
    assert re.match(re.escape(said), refused(landings, CHANGE))


def test_what_nobody_declared_or_opened_is_named(landings: Landings) -> None:
    elsewhere = CHANGE.model_copy(update={"repository": "elsewhere"})
    assert refused(landings, elsewhere, "NotFound") == "repository 'elsewhere' is not declared"
    unknown = CHANGE.model_copy(update={"change": "shop/1"})
    assert refused(landings, unknown, "NotFound") == "no change shop/1"
