"""What a store keeps comes back as it was, so that a fold over a store is the fold in memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.flaky_tests import stored_form
from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.history import History, Mask
from agents.flaky_tests.shelf import MemoryShelf
from agents.flaky_tests.stored_form import LONGEST, restored, restored_suite, stored, stored_suite
from agents.flaky_tests.suite import Suite
from leverframe.model.errors import BadInput
from tests.unit.agents.flaky_tests.lives import Lives, both, only_failed

SENSITIVE = Bounds(runs_to_false_quarantine=100)
"""Short lives reach every state."""
FLAKY = "B.B.BB.B.BBB.B.B.B.B"
PARTS = st.sampled_from([FLAKY, "FFFF", "F", "B", "...", "." * 30, "   ", "BF.F"])
LIVES = st.lists(PARTS, min_size=1, max_size=8).map("".join)


class TextShelf(MemoryShelf):
    """A shelf that has nothing but texts, as a store has."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[int, str] = {}

    def history(self, test: int) -> History | None:
        text = self.texts.get(test)
        return restored(text) if text is not None else None

    def keep(self, test: int, history: History) -> None:
        super().keep(test, history)
        self.texts[test] = stored(history)


@settings(max_examples=20, deadline=None)
@given(LIVES, LIVES, st.sampled_from(["main", "change"]))
def test_a_fold_over_stored_texts_is_the_fold_in_memory(one: str, other: str, branch: str) -> None:
    length = max(len(one), len(other))
    kept, remembered = Lives(SENSITIVE, TextShelf()), Lives(SENSITIVE)
    for lives in (kept, remembered):
        for signs in zip(one.ljust(length, "."), other.ljust(length, "."), strict=True):
            lives.tell(*signs, branch=branch)
            lives.suite = restored_suite(stored_suite(lives.suite)) if lives is kept else lives.suite
    assert kept.suite == remembered.suite
    for test in (0, 1):
        assert kept.shelf.history(test) == remembered.shelf.history(test)
        assert kept.verdict(test) == remembered.verdict(test)


@pytest.mark.parametrize("life", ["F", ".B", FLAKY, FLAKY * 4 + "FFFFF", FLAKY + "." * 90, FLAKY * 3 + "F.B"])
def test_every_state_of_a_test_comes_back_as_it_was(life: str) -> None:
    lives = Lives().tell(life)
    assert restored(stored(lives.history())) == lives.history()
    assert hash(restored(stored(lives.history()))) == hash(lives.history())
    assert restored_suite(stored_suite(lives.suite)) == lives.suite


def test_a_lifted_mask_and_the_time_of_it_come_back() -> None:
    quarantine = Lives().tell(".........B" * 30 + "F" * 5).history().quarantine
    assert quarantine is not None
    back = restored(stored(History(quarantine=quarantine))).quarantine
    assert back is not None
    assert (back.mask, back.lifted_at) == (Mask.STUCK, quarantine.lifted_at)


def test_the_text_stays_short_whatever_happens() -> None:
    lives, signs = Lives(), ("F", "B", ".", "B", "F", "F", ".")
    for number in range(200):
        many = [f"{number:08x}{place:08x}" for place in range(100)]
        mark = {"F": only_failed(*many), "B": both(*many)}.get(signs[number * number % 7])
        lives.run({0: mark} if mark else {}, () if mark else (0,), branch=f"{number:x>500}")
        if mark:
            assert len(stored(lives.history())) < LONGEST // 2
    assert len(stored_suite(lives.suite)) < 1_500


def test_what_a_later_release_wrote_is_refused_with_what_to_do() -> None:
    with pytest.raises(BadInput, match="stored in form 2, and this release reads form 1: run the release"):
        restored('[2,["unknown"]]')
    with pytest.raises(BadInput, match="a suite's state is stored in form 7"):
        restored_suite('[7,{"noise":1}]')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "text: Invalid JSON"),
        ("[1]", "Field required"),
        ("[1,[1.5]]", "0: Input should be a valid integer"),
        ('[1,[1,["x"]]]', "1.0: Input should be a valid number"),
        ("[1,[1,[NaN,0,0,0,0]]]", "1.0: Input should be a finite number"),
        ("[1,[1,[0.5]]]", "evidence has 1 values, not 5"),
        ("[1,[" + "0," * 30 + "0]]", "should have at most 21 items"),
        ('[1,["' + "x" * LONGEST + '"]]', "characters, more than 16,384"),
        (
            '[1,{"streak":[["a","b",true],["c","d",true],["e","f",true],["g","h",true],["i","j",true]]}]',
            "more than 4",
        ),
        ('[1,{"signatures":["1","2","3","4","5","6","7","8","9"]}]', "more than 8 failures"),
    ],
)
def test_a_damaged_text_is_refused_with_where(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=f"(?s)a test's history can't be read back: .*{why}"):
        restored(text)


def test_a_text_of_the_form_as_it_was_first_released_can_be_read() -> None:
    text = (
        '[1,[8,[0.0,0.0,0.0,0.0,0.0],0,80,0,218,false,[2,5,0],["t"],[["cd",["s"]]],215,[["cd","main",true]],'
        '"2026-03-01T08:00:00Z",19,210,true,0,["2026-03-02T08:00:00Z",["s"],[79,159,0],16,219,'
        "[1e+30,1e+30,1e+30,1e+30,1e+30],219,1e+30,[211,134,57,200,0.778919500673887,0.3685656193789878,"
        '[0.0,0.0,0.0],[10.818854290415564,0.09081402848660572]],"on",null,3,false],1,'
        '"2026-03-02T08:00:00Z",null]]'
    )
    assert stored_form.VERSION == 1
    assert stored(restored(text)) == text
    assert restored_suite(
        '[1,{"noise":{"isolated":0.5,"runs":9.0},"gate":{"both":[1],"failing":[2]},"runs":3}]'
    ).gate.failing == (2,)
    assert restored_suite("[1,{}]") == Suite()
