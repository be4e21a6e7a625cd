"""What went wrong at other quarantine agents, told again: each must not happen here."""

from dataclasses import replace

from agents.flaky_tests.detector import observe_executions
from agents.flaky_tests.history import Verdict
from agents.flaky_tests.masking import hides
from agents.flaky_tests.observation import attempts
from tests.unit.agents.flaky_tests.lives import AT, PERSON, Lives, both, only_failed

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


def test_tests_of_one_leaf_name_are_two_tests() -> None:
    lives = Lives().tell(FLAKY, "." * len(FLAKY))
    assert (lives.verdict(0), lives.verdict(1)) == (Verdict.FLAKY, Verdict.HEALTHY)
    assert lives.shelf.history(1) is None


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
