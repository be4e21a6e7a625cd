"""Path globs, and what they decide: which checks a commit needs, and whether anything is to be built."""

import pytest

from leverframe.model.checks import Check
from leverframe.model.paths import all_match, matches
from leverframe.model.topology import CanaryPlan, CanaryStep, Repository, Service


@pytest.mark.parametrize(
    ("path", "glob", "expected"),
    [
        ("README.md", "*.md", True),
        ("docs/a.md", "*.md", False),
        ("docs/a.md", "**/*.md", True),
        ("a.md", "**/*.md", True),
        ("docs/a/b.md", "docs/**", True),
        ("docsx/a", "docs/**", False),
        ("docs", "docs/**", False),
        ("a.py", "?.py", True),
        ("a/py", "a?py", False),
        ("axpy", "a.py", False),
        ("a\nb.md", "*.md", True),
        ("README.md\n", "*.md", False),
        ("", "", True),
    ],
)
def test_a_star_stays_within_a_directory_and_two_stars_cross_them(
    path: str, glob: str, expected: bool
) -> None:
    assert matches(path, glob) is expected


def test_no_paths_match_nothing() -> None:
    assert not all_match((), ("**",))
    assert not all_match(("a",), ())


def test_a_check_is_required_unless_every_changed_path_lets_it_be_skipped() -> None:
    words, always = (
        Check(name="unit", command=("true",), skip_when_only=("*.md", "deploy/**")),
        Check(name="lint", command=("true",)),
    )
    plan = CanaryPlan(steps=(CanaryStep(percent=100, min_requests=0, min_seconds=0, max_seconds=600),))
    overlay = "deploy/production/kustomization.yaml"
    service = Service(
        name="shop", command=("true",), overlays={"production": overlay}, image="shop", canary=plan
    )
    shop = Repository(name="shop", url="x", checks=(words, always), service=service)
    assert shop.required_checks(("README.md", overlay)) == (always,)
    assert shop.required_checks(("README.md", "app.py")) == (words, always)
    assert shop.required_checks(()) == (words, always)
    ours = ".leverframe/quarantine.yaml"
    nothing = ((overlay,), (ours,), (overlay, ours))
    something = ((overlay, "app.py"), (ours, "app.py"), ("sub/.leverframe/x",), ())
    assert all(shop.delivers_nothing(paths) for paths in nothing)
    assert not any(shop.delivers_nothing(paths) for paths in something)
    everything = shop.model_copy(update={"not_delivered": ()})
    assert not everything.delivers_nothing((ours,))
