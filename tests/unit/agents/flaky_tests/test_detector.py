"""Flaky, broken, healed, healthy: what a test's life says of it."""

import sys

import pytest

from agents.flaky_tests import healing, masking
from agents.flaky_tests.detector import Conditions, caught_up, observe_executions, observe_probe
from agents.flaky_tests.evidence import strength
from agents.flaky_tests.history import History, Mask, Quarantine, Verdict
from agents.flaky_tests.observation import Attempts, attempts
from agents.flaky_tests.probes import EXECUTIONS, FEW_JOBS, MOST_JOBS, probe, recheck, tells
from leverframe_pytest.quarantine import MOST_EXECUTIONS
from tests.unit.agents.flaky_tests.lives import AT, PERSON, Lives, both, only_failed


def quarantined(life: str = ".........B" * 4) -> Lives:
    lives = Lives().tell(life)
    assert lives.history().quarantine is not None
    return lives


def quarantine_of(lives: Lives) -> Quarantine:
    quarantine = lives.history().quarantine
    assert quarantine is not None
    return caught_up(quarantine, lives.shelf.seen(0))


def test_a_test_that_fails_and_passes_at_one_commit_again_and_again_is_flaky() -> None:
    lives = quarantined()
    assert lives.verdict() is Verdict.FLAKY
    assert lives.history().quarantined_at is not None
    assert "of 40 runs; a healthy test shows this at most once in 1,000,000 runs" in lives.words()


def test_one_discordance_quarantines_nothing_and_is_forgotten() -> None:
    lives = Lives(PERSON).tell("." * 600 + "B")
    assert lives.verdict() is Verdict.UNKNOWN
    assert lives.history().quarantine is None
    assert lives.tell("." * 100).verdict() is Verdict.HEALTHY


def test_two_discordances_far_apart_may_be_noise_and_a_third_is_not() -> None:
    lives = Lives(PERSON).tell("." * 1500 + "B" + "." * 800 + "B")
    assert strength(lives.history().evidence) > PERSON.runs_to_false_quarantine
    assert lives.history().quarantine is None
    assert lives.tell("." * 300 + "B").verdict() is Verdict.FLAKY


def test_two_discordances_close_together_are_flakiness() -> None:
    assert Lives(PERSON).tell("." * 1500 + "B" + "." * 20 + "B").verdict() is Verdict.FLAKY


def test_what_only_fails_at_two_commits_of_main_is_broken_and_never_quarantined() -> None:
    lives = Lives().tell("." * 20 + "FF")
    assert lives.verdict() is Verdict.BROKEN
    assert lives.tell("F" * 500).history().quarantines == 0
    assert "has only failed since 2026-03-02 21:00 UTC, at 4 commits or more" in lives.words()
    assert lives.tell(".").verdict() is Verdict.HEALTHY


def test_a_change_that_breaks_a_test_on_its_branch_makes_it_neither_broken_nor_flaky() -> None:
    lives = Lives().tell("." * 20).tell("FFF", branch="change")
    assert lives.verdict() is Verdict.HEALTHY
    lives.tell("F", branch="another")
    assert lives.verdict() is Verdict.BROKEN


def test_a_test_that_never_passed_is_broken_after_two_commits_of_one_branch() -> None:
    assert Lives().tell("FF", branch="change").verdict() is Verdict.BROKEN


def test_a_test_that_is_never_executed_twice_at_a_commit_is_not_called_healthy_while_it_alternates() -> None:
    lives = Lives().tell("....F" * 6 + "....")
    assert lives.verdict() is Verdict.UNKNOWN
    assert "only failed at 6 commits of main and passed at those around" in lives.words()
    assert lives.tell("." * 100).verdict() is Verdict.HEALTHY


def test_a_young_test_is_unknown_and_an_older_one_healthy() -> None:
    assert Lives().tell("." * 9).verdict() is Verdict.UNKNOWN
    assert Lives().tell("." * 10).verdict() is Verdict.HEALTHY


def test_failing_in_one_run_and_passing_in_another_at_one_commit_is_a_discordance() -> None:
    lives = Lives().tell("." * 30).tell("F", sha="a" * 40).tell(".", sha="a" * 40)
    assert lives.history().discordant == 1
    lives.run({0: only_failed()}, sha="b" * 40, passed_before=frozenset({0}))
    assert lives.history().discordant == 2
    lives.tell("F", sha="b" * 40)
    assert lives.history().discordant == 2


def test_a_run_in_which_many_calm_tests_fail_is_no_evidence_against_any() -> None:
    lives = Lives(PERSON).tell("." * 50)
    for _ in range(8):
        lives.run({test: both() for test in range(1_000, 1_040)})
    assert lives.suite.in_trouble == 8
    assert all(lives.history(test).quarantine is None for test in range(1_000, 1_040))
    assert "not counting 8 runs in which the infrastructure was in trouble" in lives.words(1_000)


def test_a_fixed_test_is_released_and_a_frequent_flake_sooner_than_a_rare_one() -> None:
    frequent = quarantined("B.B.BB.B.BBB.B.B.B.B")
    rare = quarantined(("." * 60 + "B") * 6)
    soon, late = quarantine_of(frequent).needed, quarantine_of(rare).needed
    assert soon < 60 < late
    frequent.tell("." * soon)
    assert frequent.verdict() is Verdict.HEALTHY
    assert frequent.history().released_at is not None
    rare.tell("." * soon)
    assert rare.verdict() is Verdict.FLAKY
    assert rare.tell("." * late).verdict() is Verdict.HEALTHY


def test_a_release_needs_more_of_a_test_that_came_back() -> None:
    lives = quarantined("B.B.BB.B.BBB.B.B.B.B")
    first = quarantine_of(lives).needed
    lives.tell("." * first).tell("B.B.BB.B.BBB.B.B.B.B")
    assert lives.history().quarantines == 2
    assert quarantine_of(lives).needed > first


def test_a_claimed_fix_is_verified_by_as_many_executions_as_the_rate_asks_for() -> None:
    lives = quarantined().tell("." * 7)
    claimed = healing.claim_fix(quarantine_of(lives))
    assert claimed.rate.clean == 0
    assert healing.executions_today(claimed) == min(claimed.needed, healing.MOST_A_DAY)
    assert healing.executions_today(quarantine_of(lives)) == healing.A_DAY
    history = lives.history()._replace(quarantine=claimed)
    seen = lives.shelf.seen(0)
    assert observe_executions(history, (1, claimed.needed), seen, AT, lives.bounds).quarantine is not None
    healed = observe_executions(history, (0, claimed.needed), seen, AT, lives.bounds)
    assert (healed.quarantine, healed.released_at) == (None, AT)


def test_executions_that_all_failed_say_nothing_of_flakiness() -> None:
    lives = quarantined()
    history = lives.history()
    assert observe_executions(history, (5, 5), lives.shelf.seen(0), AT, lives.bounds) == history


def test_a_quarantine_hides_only_what_it_was_made_for_and_only_after_a_pass_at_the_commit() -> None:
    quarantine = quarantine_of(quarantined())
    assert masking.hides(quarantine, both())
    assert not masking.hides(quarantine, both("new"))
    assert not masking.hides(quarantine, both("s", "new"))
    assert not masking.hides(quarantine, only_failed())
    assert not masking.hides(None, both())
    assert not masking.hides(quarantine._replace(mask=Mask.SHIFTED), both())


def test_a_new_failure_is_hidden_only_after_evidence_of_its_own() -> None:
    lives = quarantined()
    lives.run({0: both("new")})
    assert "new" not in quarantine_of(lives).masked
    for _ in range(6):
        lives.run({0: both("new")})
    assert set(quarantine_of(lives).masked) == {"s", "new"}


def test_a_new_failure_that_is_seen_once_in_a_long_time_is_never_hidden() -> None:
    lives = Lives(PERSON).tell("....B" * 20)
    for _ in range(3):
        lives.tell("....B" * 420)
        lives.run({0: both("new")})
        assert strength(lives.history().evidence) >= PERSON.runs_to_false_quarantine
        assert "new" not in quarantine_of(lives).masked


def test_a_quarantined_test_that_really_breaks_is_unmasked_within_a_few_runs() -> None:
    lives = quarantined((".........B") * 30)
    lives.tell("F" * 5)
    assert quarantine_of(lives).mask is Mask.STUCK
    assert lives.verdict() is Verdict.BROKEN
    assert lives.history().released_at is not None
    lives.tell(".........B" * 2)
    assert quarantine_of(lives).mask is Mask.ON
    assert lives.verdict() is Verdict.FLAKY


def test_a_failure_rate_that_rises_lifts_the_quarantine_until_people_or_healing_end_it() -> None:
    lives = quarantined((".........B") * 30)
    lives.tell("BB.BBB.BB.BBB.B")
    assert quarantine_of(lives).mask is Mask.SHIFTED
    assert lives.verdict() is Verdict.FLAKY
    assert "a regression may hide in it" in lives.words()
    assert not masking.hides(quarantine_of(lives), both())


def test_a_quarantine_is_not_lifted_while_the_test_is_as_flaky_as_it_was() -> None:
    lives = quarantined("B...B.B....B..F...B.....B.B.F" * 40)
    assert quarantine_of(lives).mask is Mask.ON


def test_how_often_a_test_fails_at_first_is_learned_in_quarantine_before_a_rise_can_lift_it() -> None:
    lives = quarantined()
    assert masking.reexecutions(quarantine_of(lives)) == MOST_EXECUTIONS
    lives.tell("BB.BB.BFB." * 30)
    assert quarantine_of(lives).mask is Mask.ON


def test_probes_are_asked_for_after_a_discordance_until_they_decide_or_are_used_up() -> None:
    lives = Lives().tell("." * 300 + "B")
    history, seen, asked = lives.history(), lives.shelf.seen(0), 0
    conditions = Conditions(noise=lives.suite.noise.bound, bounds=lives.bounds)
    while wanted := probe(history, seen, lives.bounds, budget=10_000):
        asked += len(wanted.kinds)
        history = observe_probe(history, ((EXECUTIONS, 0),) * len(wanted.kinds), seen, AT, conditions)
    assert asked <= FEW_JOBS < MOST_JOBS
    assert history.quarantine is None
    hit = observe_probe(lives.history(), ((EXECUTIONS, 1), (EXECUTIONS, 1)), seen, AT, conditions)
    assert hit.quarantine is not None
    down = observe_probe(lives.history(), ((EXECUTIONS, EXECUTIONS),) * 9, seen, AT, conditions)
    assert down.quarantine is None
    assert probe(hit, seen, lives.bounds, budget=10_000) is None
    assert probe(lives.history(), seen, lives.bounds, budget=EXECUTIONS - 1) is None
    assert probe(lives.tell(".").history(), seen + 1, lives.bounds, budget=10_000) is None


def test_a_calm_test_that_only_failed_is_executed_again_and_a_broken_one_is_not() -> None:
    lives = Lives().tell("." * 30)
    assert recheck(None, 30, only_failed(), 100) == 3
    assert recheck(None, 30, both(), 100) == 0
    assert recheck(lives.tell("F").history(), 30, only_failed(), 100) == 0


def test_attempts_are_read_in_their_order_and_skips_are_none() -> None:
    assert attempts({2: ("pass", ""), 1: ("error", "x")}) == Attempts(1, 1, True, ("x",))
    assert attempts({1: ("skip", "")}) is None


def test_a_history_stays_small_whatever_happens() -> None:
    lives, signs = Lives(), ("F", "B", ".", "B", "F", "F", ".")
    for number in range(600):
        sign = signs[number * number % 7]
        mark = {"F": only_failed(f"{number:016x}"), "B": both(f"{number:016x}")}.get(sign)
        lives.run({0: mark} if mark else {}, () if mark else (0,), branch=f"b{number}")
    assert _size(lives.history()) < 4_500
    assert len(lives.suite.gate.both) <= 102


def _size(value: object) -> int:
    """Bytes of a value and all that it holds: 100,000 of them must stay under 500 MB."""
    inside = value if isinstance(value, tuple) else ()
    return sys.getsizeof(value) + sum(_size(one) for one in inside)


@pytest.mark.parametrize("life", ["F.", "B", "FB.F"])
def test_a_history_is_only_values(life: str) -> None:
    history = Lives().tell(life).history()
    assert hash(history) == hash(History(*history))


def test_a_batch_that_told_nothing_is_no_reason_for_another_one() -> None:
    assert tells([(3, 0)] * 4, 8)
    assert tells([(3, 3)] * 7 + [(3, 2)], 8)
    assert not tells([(3, 0)] * 3, 8)
    assert not tells([(3, 3)] * 8, 8)
    assert not tells([], 8)
