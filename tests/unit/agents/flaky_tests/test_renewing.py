"""Quarantines that go on: renewed or begun again by a person only; and entries that hide more failures."""

from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from agents.flaky_tests.plan import Plan, planned
from agents.flaky_tests.quarantine_file import edited, holds, read, rendered
from agents.flaky_tests.renewing import ASKED_AFTER, ASKED_BEFORE
from leverframe.model.errors import Conflict
from leverframe.model.ids import digest
from leverframe.model.proposals import Amending, ChangeQuarantine, Proposal
from leverframe.model.quarantine import EntryStory, FlakyFacts, QuarantineCaps, Quarantined, QuarantineFile
from leverframe.model.untrusted import Untrusted
from policies.explain import amended_words, effect_words
from tests.unit.agents.flaky_tests.lives import AT
from tests.unit.agents.flaky_tests.proposals import CAPS as NO_RENEWALS
from tests.unit.agents.flaky_tests.proposals import entry, facts, flaky
from tests.unit.agents.flaky_tests.test_proposing import HOSTILE, change_of, proposal

CAPS = NO_RENEWALS.model_copy(update={"renewals": True})
TODAY, DAY = AT.date(), timedelta(days=1)
NEW = "1" * 16
"""A way to fail that came later."""


def named(name: str) -> Untrusted:
    return Untrusted(f"tests/test_a.py::{name}")


named.__test__ = False  # type: ignore[attr-defined]  # it is no test


def old(name: str, *, expires: date = TODAY + 2 * DAY, **fields: Any) -> Quarantined:
    return entry(name, **{"since": expires - 30 * DAY, "expires": expires, "owner": "@shop/old", **fields})


def file_of(*entries: Quarantined) -> QuarantineFile:
    return QuarantineFile(entries=entries)


def plan_of(found: FlakyFacts, caps: QuarantineCaps = CAPS) -> Plan:
    return planned(found, caps, AT)


def renewed(found: FlakyFacts, caps: QuarantineCaps = CAPS) -> list[str]:
    return [one.entry.test.stored()[-1] for one in plan_of(found, caps).amended if one.renews]


def left(found: FlakyFacts, caps: QuarantineCaps = CAPS) -> list[str]:
    return [test.stored()[-1] for test, _ in plan_of(found, caps).removed]


@pytest.mark.parametrize(
    ("days", "is_renewed", "leaves"),
    [
        (ASKED_BEFORE.days + 1, False, False),
        (ASKED_BEFORE.days, True, False),
        (0, True, False),
        (1 - ASKED_AFTER.days, True, False),
        (-ASKED_AFTER.days, False, True),
    ],
)
def test_a_still_flaky_test_is_renewed_around_its_day_and_leaves_when_nobody_could_ask(
    days: int, is_renewed: bool, leaves: bool
) -> None:
    found = facts(flaky("a"), file=file_of(old("a", expires=TODAY + days * DAY)))
    assert (bool(renewed(found)), bool(left(found))) == (is_renewed, leaves)


def test_a_renewal_lasts_from_today_on_what_is_known_now_and_keeps_the_rest() -> None:
    was = old("a", masks=("2" * 16,), executions=3)
    found = facts(
        flaky("a", evidence="in 9 of 400 runs", executions=7, link="https://x/1", masks=("2" * 16, NEW)),
        file=file_of(was, entry("b")),
        stories=(EntryStory(test=named("a"), renewed=2),),
    )
    change = change_of(found, CAPS)
    (one,) = change.renewals
    assert (one.was, one.renewed, change.staying, change.enter, change.leave) == (was, 2, 2, (), ())
    assert one.entry == was.model_copy(
        update={
            "expires": TODAY + 30 * DAY,
            "evidence": "in 9 of 400 runs",
            "executions": 7,
            "link": "https://x/1",
        }
    )
    assert change.title == "Renew the quarantine of 1 flaky test"
    assert effect_words(change).endswith(f"renews the quarantine of 1 test until {TODAY + 30 * DAY}")
    row = next(line for line in change.body.splitlines() if line.startswith("| tests"))
    for told in (
        "in 9 of 400 runs",
        f"28 days, since {was.since}",
        "2 times",
        "shop/old",
        f"{one.entry.expires}, not",
    ):
        assert told in row
    answer = proposal(found, CAPS)
    assert isinstance(answer, Proposal)
    assert answer.steps[0].why.startswith(f"the quarantine expires from {was.expires} on")
    words = amended_words(one)
    assert all(told in words for told in ("renewed 2 times", "@shop/old", "https://x/1", "in 9 of 400 runs"))


def test_who_is_healed_asked_already_forbidden_or_not_to_be_renewed_is_not_renewed() -> None:
    file = file_of(old("a"))
    flaky_a = facts(flaky("a"), file=file)
    assert renewed(flaky_a) == ["a"]
    assert renewed(facts(flaky("a", kind="healed", strength=0), file=file)) == []
    assert renewed(facts(file=file)) == []
    asked = (EntryStory(test=named("a"), asked=True),)
    assert renewed(flaky_a.model_copy(update={"stories": asked})) == []
    assert renewed(flaky_a.model_copy(update={"in_flight": (named("a"),)})) == []
    assert renewed(facts(flaky("a", markers=("payment",)), file=file)) == []
    assert renewed(flaky_a, NO_RENEWALS) == []
    assert renewed(flaky_a.model_copy(update={"tests": 40})) == [], "the file is too full as it is"
    short = CAPS.model_copy(update={"days": 2})
    assert renewed(flaky_a, short) == [], "policy would let it end no later"


def test_what_was_asked_and_not_renewed_leaves_on_its_day_and_says_so() -> None:
    asked = (EntryStory(test=named("a"), asked=True),)
    before = facts(flaky("a"), file=file_of(old("a", expires=TODAY + DAY)), stories=asked)
    assert plan_of(before).empty
    on_the_day = facts(flaky("a"), file=file_of(old("a", expires=TODAY)), stories=asked)
    ((_, why),) = plan_of(on_the_day).removed
    assert why == f"expired on {TODAY} and was not healed: people were asked, and did not renew it"


def test_renewals_are_one_question_of_their_own_behind_what_lands_by_itself() -> None:
    file = file_of(old("a"), old("b", expires=TODAY), entry("gone"))
    both = [flaky("a"), flaky("b")]
    first = plan_of(facts(*both, flaky("gone", kind="healed", strength=0), flaky("new"), file=file))
    assert ([one.test.stored()[-3:] for one in first.added], len(first.removed)) == (["new"], 1)
    assert not first.amended
    then = facts(*both, flaky("weak", strength=20_000), file=file)
    assert renewed(then) == ["b", "a"]
    assert not plan_of(then).added, "what a person is asked about besides has no day, and may be asked again"
    many = [old(f"{number}") for number in range(8)]
    crowd = facts(*(flaky(f"{number}") for number in range(8)), file=file_of(*many))
    assert len(renewed(crowd, CAPS.model_copy(update={"per_change": 5}))) == 5
    expired = [old(f"{number}", expires=TODAY) for number in range(8)]
    crowd = crowd.model_copy(update={"file": file_of(*expired)})
    assert left(crowd, CAPS.model_copy(update={"per_change": 5})) == [], "the others are asked about next"


def test_what_has_no_room_does_not_hold_up_a_renewal() -> None:
    full = facts(flaky("a"), flaky("new"), file=file_of(old("a")), added_today=5)
    assert renewed(full) == ["a"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_stay_data_in_a_renewal(hostile: str) -> None:
    test = Untrusted(hostile)
    file = file_of(old("x", test=test, link="https://x/1"))
    change = change_of(facts(flaky("x", test=test), file=file), CAPS)
    text = edited(rendered(file), change)
    assert [(one.test, one.expires) for one in read(text).entries] == [(test, TODAY + 30 * DAY)]
    assert "[a](http" not in change.body
    assert "<script" not in change.body
    words = amended_words(change.amend[0])
    assert "\n" not in words
    assert not {"\u202e", "\x1b"} & set(change.body + words)
    (row,) = [line for line in change.body.splitlines() if "shop/old" in line]
    assert row.count(" | ") == 6


def test_a_renewal_is_made_on_a_file_that_has_moved_and_leaves_alone_what_others_changed() -> None:
    found = facts(flaky("a"), flaky("b"), file=file_of(old("a"), old("b")))
    change = change_of(found, CAPS)
    theirs = old("b", owner="@shop/others")
    moved = edited(rendered(file_of(old("a"), theirs, entry("c"))), change)
    assert [one.expires for one in read(moved).entries] == [
        TODAY + 30 * DAY,
        theirs.expires,
        entry("c").expires,
    ]
    assert read(moved).entries[1] == theirs
    assert holds(moved, change)
    assert not holds(rendered(file_of(old("a"), theirs)), change)
    with pytest.raises(Conflict, match="something else of these tests by now"):
        edited(moved, change)
    with pytest.raises(Conflict, match="something else of these tests by now"):
        edited(None, change)


def test_a_test_whose_quarantine_ended_unhealed_needs_a_person_whatever_its_evidence() -> None:
    again = facts(flaky("a", unhealed=True))
    plan = plan_of(again)
    assert plan.asks == "its quarantine ended though it had not healed"
    assert change_of(again, CAPS).enter[0].unhealed
    assert plan_of(facts(flaky("a", unhealed=True), flaky("b"))).added == (flaky("b"),)
    (never,) = plan_of(again, NO_RENEWALS).left_out
    assert never.why == "its quarantine ended though it had not healed, and policy lets none go on"
    turned_down = again.model_copy(update={"rejected": (named("a"),)})
    assert [one.why for one in plan_of(turned_down).left_out] == ["a person turned it down"]


def test_a_failure_with_evidence_of_its_own_is_hidden_too_and_nothing_else_changes() -> None:
    was = entry("a", masks=("0" * 16, "2" * 16))
    found = facts(flaky("a", masks=("0" * 16, NEW), mask_strength=10_000), file=file_of(was))
    plan = plan_of(found)
    assert plan.asks == "the evidence is not enough to land by itself"
    change = change_of(found, CAPS)
    (one,) = change.amend
    assert one.entry == was.model_copy(update={"masks": ("0" * 16, "2" * 16, NEW)})
    assert (one.hides, one.strength, one.renews) == ((NEW,), 10_000, False)
    assert change.title == "Hide more failures of 1 flaky test"
    assert f"`{NEW}`" in change.body
    assert effect_words(change).endswith("that hides more failures of 1 test")
    eager = CAPS.model_copy(update={"by_itself": 10_000})
    assert not plan_of(found, eager).asks
    strong = plan_of(facts(*found.findings, flaky("b"), file=file_of(was)), eager)
    assert ([one.test.stored()[-1] for one in strong.added], len(strong.amended)) == (["b"], 1)


def test_more_is_hidden_only_within_policy_and_what_people_have_not_turned_down() -> None:
    def reasons(found: FlakyFacts, caps: QuarantineCaps = CAPS) -> list[str]:
        return [one.why for one in plan_of(found, caps).left_out]

    found = facts(flaky("a", masks=("0" * 16, NEW), mask_strength=10_000), file=file_of(entry("a")))
    refused = (EntryStory(test=named("a"), refused=(NEW,)),)
    assert reasons(found.model_copy(update={"stories": refused})) == ["a person turned it down"]
    assert reasons(found.model_copy(update={"in_flight": (named("a"),)})) == [
        "an open change of ours names it"
    ]
    later = facts(flaky("a", masks=("0" * 16, NEW, "3" * 16)), file=file_of(entry("a")), stories=refused)
    assert [one.hides for one in plan_of(later).amended] == [("3" * 16,)], "one that came after it is another"
    marked = facts(flaky("a", masks=(NEW,), markers=("payment",)), file=file_of(entry("a")))
    assert reasons(marked) == ["policy never quarantines tests marked payment"]
    assert reasons(found, CAPS.model_copy(update={"per_change": 0})) == [
        "this change is full: it waits for the next one"
    ]
    assert plan_of(found, CAPS.model_copy(update={"per_day": 0})).amended, "no test enters with it"
    assert plan_of(facts(flaky("a"), file=file_of(entry("a")))).empty
    eight = tuple(f"{number:016x}" for number in range(8))
    crowded = facts(flaky("a", masks=(*eight[1:], NEW)), file=file_of(entry("a", masks=eight)))
    assert plan_of(crowded).amended[0].entry.masks == (*eight[1:], NEW)


def amending(was: Quarantined, **update: Any) -> Amending:
    return Amending(was=was, entry=was.model_copy(update=update), on=TODAY, strength=1)


def change_with(**fields: Any) -> ChangeQuarantine:
    known = {"repository": "shop", "staying": 1, "tests": 9, "title": "x", "body": ""}
    return ChangeQuarantine.model_validate(known | fields)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({}, "to what it says already"),
        ({"owner": "@eve"}, "keeps its test"),
        ({"since": TODAY}, "keeps its test"),
        ({"test": Untrusted("other")}, "keeps its test"),
        ({"expires": TODAY + 9 * DAY, "masks": ("0" * 16, NEW)}, "not both at once"),
    ],
)
def test_an_entry_is_amended_in_one_thing_and_stays_the_tests(update: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        amending(old("a"), **update)


def test_renewals_are_never_mixed_with_anything_else() -> None:
    one, other = amending(old("a"), expires=TODAY + 30 * DAY), amending(entry("b"), masks=("0" * 16, NEW))
    assert change_with(amend=(one, amending(old("b"), expires=TODAY + 30 * DAY))).renewals
    for fields in ({"leave": (named("c"),)}, {"amend": (one, other)}):
        with pytest.raises(ValidationError, match="a change of their own"):
            change_with(**({"amend": (one,)} | fields))
    with pytest.raises(ValidationError, match="named twice"):
        change_with(amend=(other,), leave=(named("b"),))


def test_an_effect_of_before_reads_and_has_the_digest_that_it_had() -> None:
    """What people approved, and reservations that are open, name it across an update."""
    written = (
        '{"lever":"open_merge_request","change":"quarantine","repository":"shop","enter":[{"entry":{"test":'
        '"t","masks":["0000000000000000"],"since":"2026-03-02","expires":"2026-04-01","evidence":"4 of 311 '
        'runs","owner":"@shop/tests","link":"","executions":3},"path":"t.py","markers":[],"strength":9}],'
        '"leave":[],"staying":0,"tests":9,"title":"Quarantine","body":"Because."}'
    )
    effect = ChangeQuarantine.model_validate_json(written)
    assert digest(effect) == ("dc961bc94d0cf7b87d7b025c4c85152e7d0694c31304ce5ca5732cf842cbbd9c")
