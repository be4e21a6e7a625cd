"""The train in words: its board in the Temporal UI, and its Markdown told where none is rendered."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from activities.train import CarFacts, PlannedCheck
from leverframe.model.changes import Author, CheckResult, Enqueue, Priority
from leverframe.model.topology import TrainRules
from leverframe.model.untrusted import Untrusted
from tests.fakes.train_day import HOSTILE, NOW, busy, car, ejected, frozen, rider, view
from workflows.merge_train import state, words
from workflows.merge_train.board import SHOWN, markdown
from workflows.merge_train.queue import Queue, put
from workflows.merge_train.state import TrainState
from workflows.merge_train.view import explain, front
from workflows.merge_train.view import view as view_of

TIP = "9" * 40
GREEN = CheckResult(check="tests", sha="c" * 40, outcome="passed", seconds=1, summary="")
ADA = Author(kind="person", name="ü" * 100)


def test_the_board_says_who_rides_on_what_how_it_stands_and_what_it_waits_for() -> None:
    told = markdown(frozen(busy()))
    for part in (
        "The target is at `9f9f9f9f9f9f`; 6 changes on the train, 3 of 4 runners busy.",
        "**Frozen by ada until somebody thaws it: cars are tested, none lands. Why: incident 42**",
        "1. **shop/41** Undo the new discount (hotfix): **under test** (lint green, tests …) as `0b0b0b",
        r"by sentry\_spike (agent)",
        "2. **shop/42** Show prices with taxes: **green** (lint green, tests green) as `0c0c0c0c0c0c` on",
        "**red, to be confirmed**, run 2 (lint green, tests red) as `0e0e0e0e0e0e` on shop/41, shop/42,",
        "| 5 | shop/45 | Update the frameworks | normal | barbara | It waits for a runner. |",
        "- **shop/38** Round prices half up left (check failed): Check tests failed 2 times on",
    ):
        assert part in told, part
    assert "AssertionError" not in told, "logs are on the page of the ride"


def test_a_crowd_is_cut_and_counted() -> None:
    riding = [rider(at, "green") for at in range(SHOWN + 2)]
    waiting = [car(at) for at in range(SHOWN + 2, 2 * SHOWN + 5)]
    told = markdown(view(*riding, *waiting, queued=100 + len(riding) + len(waiting)))
    assert "… and 2 more." in told
    assert "| … | 103 more |" in told


def test_a_view_of_thousands_is_small_enough_for_one_answer_and_counts_them_all() -> None:
    asked = Enqueue(change="shop/1", head="1" * 40, priority=Priority.NORMAL, author=ADA, title="ü" * 200)
    one = put(Queue(), asked, request="r", at=NOW, rules=TrainRules()).items[0]
    items = [
        one.model_copy(update={"sequence": number, "change": f"shop/{number}", "head": f"{number:040x}"})
        for number in range(1, 2001)
    ]
    crowded = TrainState(queue=Queue(items=tuple(items), next_sequence=2001))
    shown = view_of("shop", crowded, NOW)
    assert (len(shown.cars), shown.queued) == (200, 2000)
    assert len(shown.model_dump_json().encode()) < 300_000
    first = front("shop", crowded, {2: "It waits for a runner."}, most=50)
    assert [car.change for car in first.cars] == [car.change for car in shown.cars[:50]]
    assert (first.cars[1].why, first.queued) == ("It waits for a runner.", 2000)
    assert "| … | 1990 more |" in markdown(first)
    assert explain("shop", crowded, "shop/1999", NOW).words.startswith("shop/1999 is number 1999 in line.")


def test_no_text_from_outside_has_a_meaning_on_the_board() -> None:
    bad = f"{HOSTILE} | [x](http://evil) **b** @all"
    riding = rider(0, "red", title=bad, author=bad, below=(bad,))
    waiting = car(1, title=bad, author=bad)
    told = markdown(view(riding, waiting, ended=(ejected(9, bad, 1, "It left."),)))
    assert "<" not in told
    assert "](http" not in told
    assert all(line.count(" | ") == 5 for line in told.splitlines() if line.startswith("| 2"))


def test_a_change_with_cars_on_two_bases_shows_the_one_that_counts_most_and_names_the_other() -> None:
    items = Queue()
    for number in (1, 2):
        asked = Enqueue(change=f"shop/{number}", head=f"{number}" * 40, priority=Priority.NORMAL, author=ADA)
        items = put(items, asked, request="r", at=NOW, rules=TrainRules())
    below = composed(1, base=TIP, sha="a" * 40, trial=1, running=True, runs=1)
    on_it = composed(2, base="a" * 40, sha="b" * 40, trial=2, running=True, runs=1)
    without = composed(2, base=TIP, sha="c" * 40, trial=3, runs=1, passed=(GREEN,))
    shown = view_of("shop", TrainState(queue=items, tip=TIP, cars=(below, on_it, without)), NOW)
    assert [(one.state, one.car, one.below, one.test) for one in shown.cars] == [
        ("testing", "a" * 40, (), "car/shop/aaaaaaaaaaaa/1"),
        ("green", "c" * 40, (), "car/shop/cccccccccccc/3"),
    ]
    assert shown.cars[0].others == ()
    assert [(one.state, one.car, one.below, one.test) for one in shown.cars[1].others] == [
        ("testing", "b" * 40, ("shop/1",), "car/shop/bbbbbbbbbbbb/2")
    ]


def composed(sequence: int, *, base: str, sha: str, **about: Any) -> state.Testing:
    """A car of one required check."""
    check = PlannedCheck(name="tests", runs_on="sandbox", phase="slow", timeout_seconds=60)
    facts = CarFacts(sha=sha, tree=sha, files=1, required=(check,), dev_seconds=None, lanes=(), releases=None)
    return state.Testing(sequence=sequence, base=base, facts=facts, **about)


def test_the_page_of_a_test_says_what_each_check_said_and_shows_the_log_of_a_red_one() -> None:
    red = CheckResult(
        check="tests", sha="a" * 40, outcome="failed", seconds=15.2, summary="ended with *status* 1",
        log="F...\n```\n<b>boom</b>",
    )  # fmt: skip
    green = red.model_copy(update={"check": "lint", "outcome": "passed", "log": "nothing to see"})
    told = words.trial("shop/15", "a" * 40, ["lint", "tests", "slow"], [green, red])
    assert told == (
        "## shop/15 as `aaaaaaaaaaaa`\n- lint: **passed** in 15 s\n"
        "- tests: **failed** in 15 s: ended with \\*status\\* 1\n- slow: runs\n\n"
        "````text\nF...\n```\n<b>boom</b>\n````"
    )


@given(st.text(max_size=80))
def test_text_that_was_made_safe_for_markdown_is_told_as_it_was_elsewhere(text: str) -> None:
    shown = Untrusted(text).for_terminal(100).strip()
    said, log = words.plain(f"It is {Untrusted(text).for_markdown(100)}.\n\n```text\n{'x'}\n```")
    assert (said, log) == (f"It is {shown}.", "x")
    assert not re.search("\u2060", said)
