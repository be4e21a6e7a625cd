"""What enters and leaves the quarantine file, within what policy allows, and the text that people review."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.contract import Due, Nothing, RunContext, Wait
from agents.flaky_tests import watch
from agents.flaky_tests.causes import Cause, Named
from agents.flaky_tests.findings import finding
from agents.flaky_tests.plan import planned
from agents.flaky_tests.proposing import proposed
from agents.flaky_tests.quarantine_file import edited, holds, read, rendered
from agents.flaky_tests.watch import MOST_PENDING, SuiteWatch
from leverframe.model.errors import BadInput, Conflict
from leverframe.model.proposals import Affected, ChangeQuarantine, Measurement, NoAction, Proposal
from leverframe.model.quarantine import (
    FlakyFacts,
    FlakyFinding,
    QuarantineCaps,
    QuarantineFile,
)
from leverframe.model.signals import ReportArrived
from leverframe.model.untrusted import Untrusted
from tests.unit.agents.flaky_tests.lives import AT, Lives, both
from tests.unit.agents.flaky_tests.proposals import CAPS, entry, facts, flaky

CONTEXT = RunContext(
    run="run/x/shop/suite/1",
    run_url="http://ui/run",
    repository="shop",
    service="shop",
    subject="suite",
    now=AT,
)


DUE = Due(
    reason="3 test reports arrived since the last look",
    evidence=(Measurement(name="test reports", observed=3, threshold=1, unit="reports"),),
    since=AT,
)


def proposal(found: FlakyFacts, caps: QuarantineCaps = CAPS) -> Proposal | NoAction:
    known = found.model_copy(update={"caps": caps})
    return proposed("flaky_tests", DUE, known, CONTEXT)


def change_of(found: FlakyFacts, caps: QuarantineCaps = CAPS) -> ChangeQuarantine:
    answer = proposal(found, caps)
    assert isinstance(answer, Proposal)
    (step,) = answer.steps
    assert isinstance(step.effect, ChangeQuarantine)
    return step.effect


def reasons(found: FlakyFacts, caps: QuarantineCaps = CAPS) -> list[str]:
    return [one.why for one in planned(found, caps, AT).left_out]


def test_flaky_tests_enter_in_one_change_that_people_can_read() -> None:
    found = facts(flaky("b", owner="@shop/core"), flaky("a", executions=9))
    answer, change = proposal(found), change_of(found)
    assert isinstance(answer, Proposal)
    assert answer.affected == Affected(count=2, of=1_000)
    assert answer.title.stored() == "tests/test_a.py::a, tests/test_a.py::b"
    assert change.title == "Quarantine 2 flaky tests"
    assert [one.test.stored() for one in read(edited(None, change)).entries] == [
        "tests/test_a.py::a",
        "tests/test_a.py::b",
    ]
    assert read(edited(None, change)).entries[0].expires == AT.date() + timedelta(days=30)
    assert [one.executions for one in read(edited(None, change)).entries] == [9, 3]
    assert r"4 of 311 runs | @⁠shop/core" in change.body


HOSTILE = (
    'x"}\n  - {"test": "y <!channel> [a](http://evil) @everyone\u202e',
    "a\n- test: b\n  masks: []\nversion: 2",
    "a | b | <script>alert(1)</script> ![x](http://evil/x.png) `c`",
    "../../.github/workflows/ci.yml::x",
    "# Heading\n\nClose this and approve \x1b[2J &amp; !!python/object:os.system",
)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_test_names_stay_data_in_the_proposal_the_file_and_the_review(hostile: str) -> None:
    old = Untrusted(hostile + " old")
    found = facts(
        flaky("x", test=Untrusted(hostile)),
        flaky("y", test=old, kind="healed", strength=0),
        file=QuarantineFile(entries=(entry("y", test=old), entry("z"))),
    )
    change = change_of(found)
    text = edited(rendered(found.file), change)
    assert sorted(one.test.stored() for one in read(text).entries) == sorted([hostile, "tests/test_a.py::z"])
    assert "[a](http" not in change.body
    assert "![x](http" not in change.body
    assert "<script" not in change.body
    assert not any(line.startswith(("# ", "- test", "!!")) for line in change.body.splitlines())
    assert all(line.count(" | ") == 2 for line in change.body.splitlines() if line.startswith("| tests"))
    assert not {"\u202e", "\x1b"} & set(change.body + change.title + text)
    answer = proposal(found)
    assert isinstance(answer, Proposal)
    assert "\n" not in answer.summary + answer.steps[0].why


def test_a_review_of_a_hundred_hostile_tests_fits_into_a_merge_request() -> None:
    many = [
        flaky(str(number), test=Untrusted(f"{number}{'<@&' * 600}"), evidence="<" * 1_000)
        for number in range(100)
    ]
    change = change_of(
        facts(*many, tests=100_000), CAPS.model_copy(update={"per_change": 100, "per_day": 100})
    )
    assert len(change.enter) == 100
    assert len(change.body) <= 60_000
    assert "more" in change.body


def test_the_same_change_applies_to_a_file_that_has_moved() -> None:
    file = QuarantineFile(entries=(entry("old"), entry("stays")))
    change = change_of(facts(flaky("a"), flaky("old", kind="healed", strength=0), file=file))
    moved = rendered(QuarantineFile(entries=(entry("old"), entry("stays", owner="@shop/moved"))))
    after = edited(moved, change)
    assert [(one.test.stored()[-5:], one.owner) for one in read(after).entries] == [
        ("py::a", "@shop/tests"),
        ("stays", "@shop/moved"),
    ]
    assert holds(after, change)
    assert not holds(moved, change)
    assert not holds(None, change)
    with pytest.raises(Conflict, match="exactly these tests already"):
        edited(after, change)
    more = rendered(QuarantineFile(entries=(entry("old"), entry("stays"), entry("one_more"))))
    with pytest.raises(Conflict, match="would name 3 tests, and policy was asked about 2"):
        edited(more, change)


def test_a_test_is_left_alone_that_policy_people_or_an_open_change_speak_for() -> None:
    assert reasons(facts(flaky("a", path="tests/security/t.py"))) == [
        "policy never quarantines tests in tests/security/*"
    ]
    assert reasons(facts(flaky("a", markers=("payment",)))) == [
        "policy never quarantines tests marked payment"
    ]
    assert "its file is not known" in reasons(facts(flaky("a", path="")))[0]
    one = Untrusted("tests/test_a.py::a")
    assert reasons(facts(flaky("a"), rejected=(one,))) == ["a person turned it down"]
    assert reasons(facts(flaky("a"), in_flight=(one,))) == ["an open change of ours names it"]
    assert reasons(facts(flaky("a", masks=()))) == ["no failure of it is known that could be hidden"]
    assert "gives its file to nobody" in reasons(facts(flaky("a", owner=None)))[0]
    assert isinstance(proposal(facts(flaky("a"), rejected=(one,))), NoAction)


def test_caps_hold_for_the_day_the_suite_and_the_change_and_missing_ones_allow_nothing() -> None:
    many = [flaky(f"t{number}", strength=10**7 - number) for number in range(8)]
    plan = planned(facts(*many), CAPS, AT)
    assert [one.test.stored()[-2:] for one in plan.added] == ["t0", "t1", "t2", "t3", "t4"]
    assert len(plan.left_out) == 3
    assert reasons(facts(flaky("a"), added_today=5)) == ["policy allows 5 a day, and 5 entered today"]
    assert reasons(facts(flaky("a"), tests=40)) == ["policy allows 0 of 40 tests in quarantine, and 0 are"]
    assert not planned(facts(*many), QuarantineCaps(), AT).added


def test_what_a_person_must_approve_never_holds_up_what_lands_by_itself() -> None:
    weak, strong = flaky("weak", strength=20_000), flaky("strong")
    first = planned(facts(weak, strong), CAPS, AT)
    assert (first.added, first.asks) == ((strong,), "")
    alone = planned(facts(weak), CAPS, AT)
    assert (alone.added, alone.asks) == ((weak,), "the evidence is not enough to land by itself")


def test_a_test_whose_marks_nobody_told_needs_a_person_where_policy_forbids_marks() -> None:
    untold = flaky("a", markers=None)
    plan = planned(facts(untold), CAPS, AT)
    assert (plan.added, plan.asks) == (
        (untold,),
        "its reports do not tell its marks, and policy forbids some",
    )
    assert "You are asked, since its reports do not tell its marks" in change_of(facts(untold)).body
    assert not planned(facts(untold), CAPS.model_copy(update={"deny_markers": ()}), AT).asks


def test_healed_broken_deleted_and_expired_tests_leave_whatever_the_caps_say() -> None:
    file = QuarantineFile(
        entries=(
            entry("a"),
            entry("b"),
            entry("c"),
            entry("d", since=AT.date() - timedelta(days=30), expires=AT.date()),
            entry("e"),
        )
    )
    said = [
        flaky("a", kind="healed", strength=0, evidence="500 clean runs"),
        flaky("b", kind="broken", strength=0),
        flaky("c", kind="deleted", strength=0),
        flaky("e"),
    ]
    change = change_of(facts(*said, file=file), QuarantineCaps())
    assert [one.stored()[-1] for one in change.leave] == ["a", "b", "c", "d"]
    assert change.title == "Release 4 flaky tests"
    assert "500 clean runs" in change.body
    assert [one.test.stored()[-1] for one in read(edited(rendered(file), change)).entries] == ["e"]
    assert proposal(facts(*said, file=file, in_flight=tuple(file.tests()))) == NoAction(
        why="no test has to enter or leave the quarantine"
    )


@given(st.lists(st.text(min_size=1), unique=True, max_size=6), st.randoms(use_true_random=False))
def test_the_file_reads_back_as_it_was_written_in_whatever_order(names: list[str], dice: Any) -> None:
    entries = [entry("x", test=Untrusted(name), owner="@a/b", link="https://x/1") for name in names]
    text = rendered(QuarantineFile(entries=tuple(entries)))
    dice.shuffle(entries)
    assert rendered(QuarantineFile(entries=tuple(entries))) == text
    assert rendered(read(text)) == text
    assert set(read(text).entries) == set(entries)


GOOD = rendered(QuarantineFile(entries=(entry("a"),)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not begin with"),
        (GOOD.replace("version: 1", "version: 2"), "does not begin with"),
        (GOOD + "nonsense\n", "is not `key: value`"),
        (GOOD.replace("0000", "000x"), "masks"),
        (GOOD.replace("@shop/tests", "<!channel>"), "owner"),
    ],
)
def test_a_file_of_another_form_hides_nothing(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(text)


def test_a_finding_says_what_the_history_says() -> None:
    lives = Lives()
    for sign in "." * 60 + "B" + "." * 20 + "B" + "." * 9 + "B":
        lives.run({0: both("0" * 16)} if sign == "B" else {}, (0,) if sign == "." else ())

    def found() -> FlakyFinding:
        one = finding("t", lives.history(), lives.shelf.seen(0), AT, lives.bounds)
        assert one is not None
        return one

    assert (found().kind, found().masks, found().executions) == ("flaky", ("0" * 16,), 15)
    ordered = Named(Cause.ORDER, "it failed in 3 of 3 jobs in another order and in 0 of 21 others")
    for cause, words in ((ordered, ordered.why), (Named(Cause.UNKNOWN, ""), "heal it"), (None, "heal it")):
        named = finding("t", lives.history(), lives.shelf.seen(0), AT, lives.bounds, cause=cause)
        assert named is not None
        assert named.evidence.endswith(words)
    before = found().strength
    assert before >= 1_000_000
    later = "1" * 16
    for _ in range(3):
        lives.run({0: both(later)})
    assert found().masks == ("0" * 16, later)
    assert found().mask_strength == lives.bounds.runs_to_false_quarantine
    lives.run({0: both("0" * 16)})
    assert found().strength > before
    lives.tell("F" * 30)
    assert (found().kind, found().strength) == ("broken", 0)
    lives.tell("." * 3_000)
    assert found().kind == "healed"
    assert finding("t", Lives().tell("F").history(), 1, AT, lives.bounds) is None


def arrived(name: str, at: datetime = AT) -> ReportArrived:
    return ReportArrived(
        id=name, repository="shop", service="shop", title=Untrusted("tests of main"), received_at=at
    )


def test_reports_are_gathered_for_a_while_and_a_run_is_due_then() -> None:
    state = SuiteWatch()
    assert watch.decide(state, AT)[1] == Nothing()
    for number in range(3 * MOST_PENDING):
        state = watch.observe(state, arrived(str(number // 2)))
    assert len(state.model_dump_json()) < 20_000
    assert watch.decide(state, AT)[1] == Wait(until=AT + watch.SETTLE)
    state, due = watch.decide(state, AT + watch.SETTLE)
    assert isinstance(due, Due)
    assert due.since == AT


def test_a_report_that_arrives_during_a_run_waits_for_the_next_one() -> None:
    now = AT + watch.SETTLE
    state = watch.observe(SuiteWatch(), arrived("a"))
    state, _ = watch.decide(state, now)
    state = watch.observe(state, arrived("b", at=now))
    state = watch.settled(state, now)
    assert state.pending == ("b",)
    assert watch.decide(state, now)[1] == Wait(until=now + watch.AFTERWARDS)
    state, due = watch.decide(state, now + watch.AFTERWARDS)
    assert isinstance(due, Due)
    assert watch.decide(watch.settled(state, now), now)[1] == Nothing()
