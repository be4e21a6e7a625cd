"""What became of quarantines before: facts that keep people from being asked twice, or not at all."""

from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from activities.results_port import AmendedEntry, ChangeState, QuarantineNote
from leverframe.model.errors import Unavailable
from leverframe_pytest.quarantine import PLACE
from tests.fakes.flaky_facts_world import FLAKY, HEAD, NOW, OTHER, REQUEST, TIP, TODAY, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def entered_unhealed(world: World) -> list[bool]:
    return [one.unhealed for one in world.gatherer.gather(REQUEST).findings if one.test.stored() == FLAKY]


def test_a_test_whose_entry_is_gone_while_the_detector_holds_on_is_known_as_unhealed(
    world: World,
) -> None:
    """Whether it expired, was undone, or a person took it out: no change of ours need have done it."""
    world.tell(*["F.", "."] * 12)
    assert entered_unhealed(world) == [False]
    world.write(FLAKY)
    assert entered_unhealed(world) == [False]
    del world.trees.files[TIP][PLACE]
    assert entered_unhealed(world) == [True]
    assert entered_unhealed(world) == [True]


def test_housekeeping_sees_what_the_file_named_between_two_runs_of_the_agent(world: World) -> None:
    world.tell(*["F.", "."] * 12)
    world.write(FLAKY, OTHER)
    world.folding.tend_results()
    del world.trees.files[TIP][PLACE]
    world.folding.tend_results()
    assert entered_unhealed(world) == [True]


def test_what_the_detector_released_meanwhile_begins_anew(world: World) -> None:
    """Named before the detector's present quarantine began: it has healed in between."""
    world.store.note_named("shop", [FLAKY], NOW - timedelta(days=200))
    world.tell(*["F.", "."] * 12)
    assert entered_unhealed(world) == [False]


def renewing_note(change: str, state: ChangeState, *, expired: date, expires: date) -> QuarantineNote:
    one = AmendedEntry(test=FLAKY, expired=expired, expires=expires)
    return QuarantineNote(change=change, state=state, enter=(), leave=(), opened_at=NOW, amend=(one,))


def test_what_people_were_asked_of_an_entry_is_its_story(world: World) -> None:
    until, later = TODAY + timedelta(days=30), TODAY + timedelta(days=60)
    world.write(FLAKY, OTHER)
    assert world.gatherer.gather(REQUEST).stories == ()
    before = [TODAY - timedelta(days=30), TODAY, until]
    landed = [
        renewing_note(f"shop/{number}", "over", expired=first, expires=last)
        for number, (first, last) in enumerate(pairwise(before))
    ]
    elsewhen = renewing_note("shop/9", "rejected", expired=TODAY - timedelta(days=90), expires=TODAY)
    world.store.note("shop", [*landed, elsewhen])
    (story,) = world.gatherer.gather(REQUEST).stories
    assert (story.test.stored(), story.renewed, story.asked) == (FLAKY, 2, False)
    world.store.note("shop", [renewing_note("run/1/0", "asked", expired=until, expires=later)])
    assert world.gatherer.gather(REQUEST).stories == (story.model_copy(update={"asked": True}),)


def test_failures_that_a_person_did_not_want_hidden_are_in_the_story(world: World) -> None:
    world.write(FLAKY)
    until = TODAY + timedelta(days=30)
    one = AmendedEntry(test=FLAKY, expired=until, expires=until, masks=("1" * 16,))
    note = QuarantineNote(change="run/1/0", state="rejected", enter=(), leave=(), opened_at=NOW, amend=(one,))
    world.store.note("shop", [note])
    facts = world.gatherer.gather(REQUEST)
    assert [(story.refused, story.asked) for story in facts.stories] == [(("1" * 16,), False)]
    assert facts.rejected == ()


@pytest.mark.parametrize(("state", "asks"), [("rejected", False), ("over", True), ("asked", True)])
def test_who_did_not_let_a_quarantine_go_on_is_not_asked_to_let_it_begin_again(
    world: World, state: ChangeState, asks: bool
) -> None:
    world.tell(*["F.", "."] * 12)
    world.write(FLAKY)
    until = TODAY + timedelta(days=30)
    world.store.note("shop", [renewing_note("run/1/0", state, expired=TODAY, expires=until)])
    assert world.gatherer.gather(REQUEST).rejected == (), "it is in the file still"
    del world.trees.files[TIP][PLACE]
    facts = world.gatherer.gather(REQUEST)
    assert [one.unhealed for one in facts.findings] == [True]
    assert (facts.rejected == ()) == asks
    # What the detector released in between is another quarantine.
    world.store.note_named("shop", [FLAKY], NOW - timedelta(days=200))
    assert world.gatherer.gather(REQUEST).rejected == ()


def test_a_landed_renewal_has_its_issues_brought_up_to_date_once(world: World) -> None:
    def behind() -> list[str]:
        return [one.change for one in world.store.untracked("shop", most_refusals=9, limit=9)]

    world.write(FLAKY)
    until = TODAY + timedelta(days=30)
    world.store.note("shop", [renewing_note("shop/1", "open", expired=TODAY, expires=until)])
    world.record.put(1, "landed")
    world.gatherer.gather(REQUEST)
    assert behind() == ["shop/1"], "its run may be gone"
    world.store.note_tracking("shop", "shop/1", tracked=True)
    world.gatherer.gather(REQUEST)
    assert behind() == []


def test_who_dies_while_noting_that_a_change_landed_has_its_issues_opened_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Unavailable("killed")

    note = QuarantineNote(change="shop/1", state="open", enter=(FLAKY,), leave=(), opened_at=NOW)
    world.store.note("shop", [note])
    world.record.put(1, "landed")
    for step in ("note", "note_tracking"):
        with monkeypatch.context() as patched:
            patched.setattr(world.store, step, killed)
            with pytest.raises(Unavailable):
                world.gatherer.gather(REQUEST)
    world.gatherer.gather(REQUEST)
    assert [one.change for one in world.store.untracked("shop", most_refusals=9, limit=9)] == ["shop/1"]


def test_an_open_renewal_is_in_flight_and_a_closed_one_was_asked(world: World) -> None:
    """Its worker may have died before it could note what it opened: the branch says what it does."""
    world.write(FLAKY, since=TODAY - timedelta(days=29))
    world.write(FLAKY, sha=HEAD, since=TODAY - timedelta(days=29))
    here = world.trees.files[TIP][PLACE]
    expired, expires = TODAY + timedelta(days=1), TODAY + timedelta(days=30)
    world.trees.files[HEAD][PLACE] = here.replace(f'expires: "{expired}"', f'expires: "{expires}"')
    world.record.put(1, "open")
    facts = world.gatherer.gather(REQUEST)
    assert ([test.stored() for test in facts.in_flight], facts.stories) == ([FLAKY], ())
    world.record.put(1, "closed")
    closed = world.gatherer.gather(REQUEST)
    assert (closed.in_flight, [story.asked for story in closed.stories]) == ((), [True])
    assert closed.rejected == (), "the test itself was not turned down"
