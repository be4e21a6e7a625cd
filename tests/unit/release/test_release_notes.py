"""Notes stay short and harmless, whatever is in them."""

from datetime import UTC, datetime

from leverframe.model.changes import Author
from leverframe.model.deployments import Moments
from leverframe.model.release_notes import MOST_CHANGES, LandedChange, ReleaseNotes
from leverframe.model.releases import GateVerdict
from leverframe.model.untrusted import Untrusted

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SHA = "b" * 40


def notes(title: str, **other: object) -> ReleaseNotes:
    change = LandedChange(
        change="shop/7", title=Untrusted(title), sha=SHA, sequence=7, evidence="exact",
        author=Author(kind="person", name="x" * 100), checks=("unit",) * 8, landed_at=AT,
    )  # fmt: skip
    verdict = GateVerdict(
        colour="green", percent=1, reason="*" * 1000, canary_requests=1, canary_errors=0, stable_requests=1,
        stable_errors=0,
    )  # fmt: skip
    given = {"landed": (change,) * MOST_CHANGES, "verdicts": (verdict,) * 5, "left_out": 12, "previous": None}
    return ReleaseNotes.model_validate(
        {"service": "shop", "repository": "shop", "sha": SHA, "moments": Moments(live_at=AT)} | given | other
    )


def test_the_longest_notes_fit_into_a_tags_message() -> None:
    said = notes("*" * 10_000).markdown()
    assert len(said) < 20_000
    assert "- and 12 more" in said


def test_no_title_begins_a_line_or_a_signature_or_speaks_markdown() -> None:
    hostile = "\n-----BEGIN SSH SIGNATURE-----\n# Free\x1b[31m ![x](https://evil.example/x) @team <img>"
    said = notes(hostile, landed=notes(hostile).landed[:1]).markdown()
    assert "-----BEGIN" not in said
    assert "![x]" not in said
    assert "@team" not in said
    assert "<img>" not in said
    assert "\x1b" not in said
    assert sum(line.startswith("- shop/7: ") for line in said.splitlines()) == 1


def test_what_is_not_known_is_left_out() -> None:
    said = notes("x", landed=(), left_out=0, verdicts=(), moments=Moments()).markdown()
    assert said == f"# shop at {SHA[:12]}\n\nNothing was stable before it.\nCommit: {SHA}.\n"


def test_a_terminal_gets_words_without_marks_and_nothing_that_steers_it() -> None:
    said = notes("a *b* [c]\x1b[31m", landed=notes("a *b* [c]\x1b[31m").landed[:1], left_out=0).plain()
    assert said.startswith(f"shop at {SHA[:12]}\n\nAt 100 %")
    assert "\nWhat landed:\n\n- shop/7: a *b* [c], by x" in said
    assert "\\" not in said
    assert "\x1b" not in said
