"""Each recipe forgives a flaky test once it passes, and nothing else, with the runner itself."""

import os
from pathlib import Path

import pytest

from tests.recipes.world import Recipe, World, jest, maven, programs, rspec

pytestmark = [
    pytest.mark.recipes,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "LEVERFRAME_TEST_RECIPES" not in os.environ,
        reason="LEVERFRAME_TEST_RECIPES is not set: make test-recipes",
    ),
]

JEST = Recipe(
    section="jest", project="jest", missing=jest, flaky="src/cart.test.js::cart pays", attempts=1,
)  # fmt: skip
MAVEN = Recipe(
    section="JUnit with Maven", project="maven", missing=maven, flaky="com.acme.CartTest::pays", attempts=3,
)  # fmt: skip
JUNIT5 = Recipe(
    section="JUnit with Maven", project="junit5", missing=maven, flaky=MAVEN.flaky, attempts=1,
)  # fmt: skip
GO = Recipe(
    section="Go", project="go", missing=lambda: programs("go", "gotestsum"),
    flaky="example.com/shop/cart::TestPays", attempts=3,
)  # fmt: skip
RSPEC = Recipe(
    section="RSpec", project="rspec", missing=rspec, flaky="spec/cart_spec.rb::Cart pays", attempts=1,
)  # fmt: skip
RSPEC_ONLY = Recipe(
    section="RSpec", project="rspec", missing=rspec, flaky=RSPEC.flaky, attempts=1, block=1,
)  # fmt: skip

RED = [
    (JEST, "BROKEN", "src/cart.test.js::cart ships"),
    (JEST, "SLOW", "src/cart.test.js::cart waits"),
    (JEST, "NO_SETUP", "src/store.test.js::reads"),
    (JEST, "UNLOADABLE", "src/store.test.js::(the file itself)"),
    (JEST, "BAIL", "the command wrote no report"),
    (JEST, "DIES", "the command wrote no report"),
    (MAVEN, "BROKEN", "com.acme.CartTest::ships"),
    (MAVEN, "SLOW", "com.acme.CartTest::waits"),
    (MAVEN, "NO_SETUP", "com.acme.StoreTest ["),
    (JUNIT5, "BROKEN", "com.acme.CartTest$Abroad::ships"),
    (MAVEN, "DIES", "no test of the reports failed"),
    (GO, "BROKEN", "example.com/shop/cart::TestShips/abroad"),
    (GO, "SLOW", "the command ended with 3"),
    (GO, "NO_SETUP", "example.com/shop/store::TestMain"),
    (GO, "DIES", "the command ended with 3"),
    (GO, "EXITS", "example.com/shop/store::TestReads"),
    (RSPEC, "BROKEN", "spec/cart_spec.rb::Cart ships"),
    (RSPEC, "SLOW", "spec/cart_spec.rb::Cart waits"),
    (RSPEC, "NO_SETUP", "spec/store_spec.rb::Store reads"),
    (RSPEC, "UNLOADABLE", "the command ended with 2"),
    (RSPEC, "DIES", "the command ended with 137"),
    (RSPEC, "EXITS", "the command ended with 1,"),
    (RSPEC_ONLY, "BROKEN", "spec/cart_spec.rb::Cart ships"),
    (RSPEC_ONLY, "EXITS", "the command ended with 1,"),
]
BROKEN_SOURCES = [
    (MAVEN, "src/test/java/com/acme/StoreTest.java", "the command wrote no report"),
    (GO, "store/store_test.go", "store_test.go"),
    (RSPEC, "spec/store_spec.rb", "the command ended with 2"),
]
_SIGNATURES: dict[str, str] = {}
"""Project → how its flaky test fails; it is the same in every checkout."""


def world(recipe: Recipe, directory: Path) -> World:
    """A checkout whose flaky test is quarantined for how it fails."""
    if lacking := recipe.missing():
        pytest.skip(lacking)
    made = World(recipe, directory)
    if recipe.project in _SIGNATURES:
        made.quarantine(_SIGNATURES[recipe.project])
    else:
        _SIGNATURES[recipe.project] = made.learn()
    return made


def name(recipe: Recipe) -> str:
    return recipe.project + "-only" * recipe.block


@pytest.mark.parametrize("recipe", [JEST, MAVEN, JUNIT5, GO, RSPEC, RSPEC_ONLY], ids=name)
def test_a_flaky_test_is_forgiven_once_it_passes_and_one_that_never_does_is_not(
    recipe: Recipe, tmp_path: Path
) -> None:
    made = world(recipe, tmp_path)
    signature = _SIGNATURES[recipe.project]
    ran = made.run(FAILURES=str(recipe.attempts))
    assert ran.code == 0, ran.said
    assert f"AGAIN, execution 2: {recipe.flaky}" in ran.said
    assert f"FORGIVEN {recipe.flaky} [{signature}] until " in ran.said
    failed = "error" if recipe.section == MAVEN.section else "fail"
    assert ran.of(recipe.flaky) == [(failed, signature)] * recipe.attempts + [("pass", "")]

    made.quarantine(signature, executions=1)
    ran = made.run(FAILURES="99")
    assert ran.code in (1, 10), ran.said
    assert f"COUNTED {recipe.flaky} [{signature}]: it never passed at this commit" in ran.said
    assert {fingerprint for _, fingerprint in ran.of(recipe.flaky)} == {signature}
    assert len(ran.of(recipe.flaky)) == 2 * recipe.attempts


@pytest.mark.parametrize(
    ("recipe", "trouble", "why"), RED, ids=lambda one: name(one) if isinstance(one, Recipe) else one
)
def test_all_else_beside_it_stays_red(recipe: Recipe, trouble: str, why: str, tmp_path: Path) -> None:
    ran = world(recipe, tmp_path).run(FAILURES=str(recipe.attempts), **{trouble: "1"})
    assert ran.code != 0, ran.said
    ours = [line for line in ran.said.splitlines() if "leverframe: " in line]
    assert any(why in line for line in ours), ran.said


@pytest.mark.parametrize(
    ("recipe", "path", "why"), BROKEN_SOURCES, ids=lambda one: name(one) if isinstance(one, Recipe) else None
)
def test_source_that_does_not_compile_stays_red(recipe: Recipe, path: str, why: str, tmp_path: Path) -> None:
    made = world(recipe, tmp_path)
    with (made.checkout / path).open("a") as opened:
        opened.write("\n}}} (\n")
    ran = made.run(FAILURES=str(recipe.attempts))
    assert ran.code != 0, ran.said
    assert why in ran.said


@pytest.mark.parametrize("recipe", [JEST, MAVEN, GO], ids=name)
def test_retries_of_the_runner_are_attempts_that_failed_alike(recipe: Recipe, tmp_path: Path) -> None:
    ran = world(recipe, tmp_path).run(FAILURES="2", RETRIES="1")
    assert ran.code == 0, ran.said
    assert "FORGIVEN" not in ran.said
    signature = _SIGNATURES[recipe.project]
    assert [fingerprint for _, fingerprint in ran.of(recipe.flaky)] == [signature, signature, ""]


def test_rspec_retry_tells_only_of_the_last_attempt(tmp_path: Path) -> None:
    ran = world(RSPEC, tmp_path).run(FAILURES="2", RETRIES="1")
    assert ran.code == 0, ran.said
    assert ran.of(RSPEC.flaky) == [("pass", "")]
