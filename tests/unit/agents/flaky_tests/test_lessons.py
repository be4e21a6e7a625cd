"""What went wrong at other quarantine agents, told again: each must not happen here."""

from dataclasses import replace
from datetime import timedelta

from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.detector import observe_executions
from agents.flaky_tests.history import Verdict
from agents.flaky_tests.masking import hides
from agents.flaky_tests.observation import attempts
from agents.flaky_tests.plan import planned
from agents.flaky_tests.replay import Replay, Row
from leverframe.model.quarantine import QuarantineFile
from tests.unit.agents.flaky_tests.lives import AT, PERSON, Lives, both, only_failed
from tests.unit.agents.flaky_tests.proposals import CAPS, entry, facts, flaky

FLAKY = "B.B.BB.B.BBB.B.B.B.B"


def test_a_consistent_regression_is_never_quarantined_however_long_it_lasts() -> None:
    lives = Lives(PERSON).tell("." * 100).tell("F" * 300).tell("." * 100)
    assert lives.history().quarantines == 0


def test_one_bad_infrastructure_day_on_top_of_a_regression_quarantines_nothing() -> None:
    lives = Lives(PERSON).tell("." * 100).tell("FFFFBFFFFF")
    assert lives.history().quarantine is None


def test_a_month_of_passes_does_not_release_a_test_that_fails_less_than_once_a_month() -> None:
    lives = Lives().tell(("." * 400 + "B") * 2 + "." * 3 + "B")
    quarantine = lives.history().quarantine
    assert quarantine is not None
    lives.tell("." * 30)
    assert lives.verdict() is Verdict.FLAKY


def test_a_test_that_did_not_run_is_not_released() -> None:
    lives = Lives().tell(FLAKY)
    lives.tell(" " * 200)
    assert lives.verdict() is Verdict.FLAKY
    history = lives.history()
    assert observe_executions(history, (0, 0), lives.shelf.seen(0), AT, lives.bounds).quarantine is not None


def test_a_test_that_fails_on_main_is_not_released_and_not_hidden() -> None:
    lives = Lives().tell(FLAKY * 5).tell("F" * 12)
    assert lives.verdict() is Verdict.BROKEN
    assert lives.history().quarantine is not None


def test_a_test_that_came_back_is_released_later_than_the_first_time() -> None:
    lives = Lives().tell(FLAKY)
    first = lives.history().quarantine
    assert first is not None
    lives.tell("." * first.needed).tell(FLAKY)
    again = lives.history().quarantine
    assert again is not None
    lives.tell("." * first.needed)
    assert lives.verdict() is Verdict.FLAKY


def told(*outcomes: tuple[str, str]) -> Replay:
    """Runs in which each named test fails and passes (B) or passes (.), on main, at commits of their own."""
    replay = Replay(Bounds())
    for number, signs in enumerate(zip(*(life for _, life in outcomes), strict=True)):
        for (test, _), sign in zip(outcomes, signs, strict=True):
            for attempt, outcome in enumerate(("fail", "pass") if sign == "B" else ("pass",), start=1):
                at = AT + timedelta(hours=3 * number)
                replay.add(Row(test, f"run {number}", f"{number:040x}", "main", attempt, at, outcome, "boom"))
    replay.finish()
    return replay


def test_a_test_of_the_same_leaf_name_or_another_parameter_is_another_test() -> None:
    quiet = "." * len(FLAKY)
    said = dict(
        told(
            ("unit/test_h2.py::TestFlow::test_close[h2]", FLAKY),
            ("unit/test_h2.py::TestFlow::test_close[h3]", quiet),
            ("unit/test_h3.py::TestFlow::test_close[h2]", quiet),
        ).verdicts()
    )
    assert [one.verdict for one in said.values()] == [Verdict.FLAKY, Verdict.HEALTHY, Verdict.HEALTHY]


def test_failures_of_the_rows_of_one_parametrised_test_do_not_add_up() -> None:
    rows = [(f"t.py::test_theory[{row}]", "." * (40 + row) + "B" + "." * (140 - row)) for row in range(20)]
    assert told(*rows).quarantines == 0


def test_rows_of_one_attempt_that_come_twice_are_one_failure() -> None:
    rows = {1: ("fail", "s"), 2: ("pass", "")}
    assert attempts({**rows, 1: ("fail", "s")}) == attempts(rows) == both()


def test_failures_at_commits_without_the_fix_do_not_count_against_it() -> None:
    lives = Lives().tell(FLAKY)
    history = lives.history()
    assert history.quarantine is not None
    claimed = history.quarantine._replace(fix_claimed=True)
    lives.shelf.keep(0, history._replace(quarantine=claimed))
    for _ in range(5):
        lives.run({0: both()}, branch="old", lacks_fix=frozenset({0}))
    after = lives.history().quarantine
    assert after is not None
    assert after.rate == claimed.rate
    lives.run({0: both()}, branch="new")
    after = lives.history().quarantine
    assert after is not None
    assert after.rate != claimed.rate


def test_a_break_by_the_change_under_test_is_never_hidden_by_a_quarantine() -> None:
    quarantine = Lives().tell(FLAKY).history().quarantine
    broken = only_failed()
    assert not hides(quarantine, replace(broken, failures=18))


def test_each_entry_links_the_issue_of_exactly_its_own_test_and_one_without_links_none() -> None:
    issue = "https://forge/issues/"
    kept = entry("test_same[0]", link=issue + "5")
    found = facts(
        flaky("test_same[1]", link=issue + "7"),
        flaky("test_same[2]"),
        flaky("test_same", link=issue + "9"),
        file=QuarantineFile(entries=(kept,)),
    )
    links = {one.test.stored().partition("::")[2]: one.link for one in planned(found, CAPS, AT).file.entries}
    assert links == {
        "test_same": issue + "9",
        "test_same[0]": issue + "5",
        "test_same[1]": issue + "7",
        "test_same[2]": "",
    }


def test_what_a_person_turned_down_is_not_asked_again_however_strong_its_evidence_becomes() -> None:
    turned_down = (flaky("a").test,)
    plan = planned(facts(flaky("a", strength=10**15), flaky("a[1]"), rejected=turned_down), CAPS, AT)
    assert [one.test.stored() for one in plan.added] == ["tests/test_a.py::a[1]"]


def test_what_an_open_change_of_its_own_already_says_is_not_said_again() -> None:
    open_change = (flaky("a").test, entry("b").test)
    healed = flaky("b", kind="healed", strength=0)
    found = facts(flaky("a"), healed, file=QuarantineFile(entries=(entry("b"),)), in_flight=open_change)
    plan = planned(found, CAPS, AT)
    assert (plan.added, plan.removed, plan.file) == ((), (), found.file)
