"""The train of one busy day, as its page sees it, and what could go wrong with it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from leverframe.model.topology import Lane, TrainRules
from leverframe.model.trains import Freeze
from workflows.merge_train import learning, words
from workflows.merge_train.view import CarView, CheckView, EndedView, OtherCar, TrainView

NOW = datetime.now(UTC)
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>\u202egnp.exe"


def car(position: int, **about: Any) -> CarView:
    """One in line; its number is its place and 40 more."""
    number = position + 41
    known: dict[str, Any] = {
        "position": position,
        "change": f"shop/{number}",
        "title": "Show prices with taxes",
        "head": f"{number:02x}" * 20,
        "author": "ada",
        "author_kind": "person",
        "priority": "normal",
        "state": "waiting",
        "enqueued_at": NOW - timedelta(minutes=number),
    }
    return CarView.model_validate(known | about)


def rider(position: int, state: str, *checks: tuple[str, str], **about: Any) -> CarView:
    """One with a car of its own."""
    sha = f"{position + 11:02x}" * 20
    known: dict[str, Any] = {
        "state": state,
        "car": sha,
        "test": f"car/shop/{sha[:12]}/{position + 1}",
        "runs": 1,
        "checks": tuple(CheckView.model_validate({"name": name, "state": told}) for name, told in checks),
        "testing_since": NOW - timedelta(seconds=34) if state == "testing" else None,
    }
    return car(position, **(known | about))


def landed(number: int, title: str, minutes: int) -> EndedView:
    """A ride that ended well."""
    sha = f"{number:02x}" * 20
    return EndedView(
        change=f"shop/{number}", title=title, head=sha, outcome="landed", reason="exact", sha=sha,
        receipt=number, detail=f"Landed as {sha[:12]} with receipt {number}: {words.EVIDENCE['exact']}.",
        at=NOW - timedelta(minutes=minutes),
    )  # fmt: skip


def ejected(number: int, title: str, minutes: int, detail: str, reason: str = "check_failed") -> EndedView:
    """A ride that ended otherwise."""
    return EndedView(
        change=f"shop/{number}", title=title, head=f"{number:02x}" * 20, outcome="ejected", reason=reason,
        detail=detail, next_action="push_fix", at=NOW - timedelta(minutes=minutes),
    )  # fmt: skip


def view(*cars: CarView, **about: Any) -> TrainView:
    """A train with these cars."""
    rules = TrainRules(lanes=(Lane(name="web", paths=("web/**",)), Lane(name="api", paths=("api/**",))))
    known: dict[str, Any] = {
        "repository": "shop",
        "tip": "9f" * 20,
        "mode": "open",
        "freeze": None,
        "track": "built_in",
        "track_why": "There is no forge with a queue of its own.",
        "rules": rules,
        "runners_busy": sum(one.state == "testing" for one in cars),
        "window": 20,
        "cars": cars,
        "queued": len(cars),
        "ended": (),
        "findings": (),
        "audited": "9f" * 20,
        "looked_at": NOW - timedelta(seconds=12),
    }
    return TrainView.model_validate(known | about)


def busy() -> TrainView:
    """Some of everything."""
    red = (
        "Check tests failed 2 times on 2b2b2b2b2b2b (5c5c composed onto 9f9f): assert 19\\.0 == 23\\.8. "
        "Push a fix and enqueue the new head.\n\n"
        "```text\ntests/test_prices.py F\n<b>AssertionError</b>: 19.0 != 23.8\n```"
    )
    return view(
        rider(
            0, "testing", ("lint", "passed"), ("tests", "missing"), title="Undo the new discount",
            author="sentry_spike", author_kind="agent", priority="hotfix", lanes=("api",),
        ),
        rider(
            1, "green", ("lint", "passed"), ("tests", "passed"), below=("shop/41",),
            why="Its car is green and waits for shop/41.",
        ),
        rider(
            2, "testing", ("lint", "passed"), ("tests", "missing"), title="Let orders be cancelled",
            author="grace", below=("shop/41", "shop/42"),
            others=(OtherCar(car="1f" * 20, below=("shop/41",), state="green", test="car/shop/1f/9"),),
        ),
        rider(
            3, "red", ("lint", "passed"), ("tests", "failed"), title="Tidy the cart", author="edsger",
            below=("shop/41", "shop/42", "shop/43"), lanes=("web",), runs=2, overtaken=1,
            why="Its red counts for nothing before those below it are decided.",
        ),
        car(4, title="Update the frameworks", author="barbara", why="It waits for a runner."),
        car(5, title="Write the README anew", author="margaret", why="It is behind the window."),
        window=5,
        runners_busy=3,
        ended=(
            landed(40, "Make the basket remember", 3),
            ejected(38, "Round prices half up", 11, red),
            landed(39, "Answer with 404 where nothing is", 26),
        ),
    )  # fmt: skip


def frozen(
    shown: TrainView, *, owner: str = "ada", mode: str = "hold_landing", reason: str = "incident 42"
) -> TrainView:
    """The same train, stopped."""
    freeze = Freeze.model_validate(
        {"mode": mode, "owner": owner, "reason": reason, "since": NOW - timedelta(minutes=7), "until": None}
    )
    return shown.model_copy(update={"mode": mode, "freeze": freeze})


def red_target(shown: TrainView) -> TrainView:
    """The same train on a target that is red itself."""
    reason = "tests is red on the target itself (9f9f9f9f9f9f): assert 19.0 == 23.8"
    return frozen(shown, owner=learning.RED_MAIN, mode="hotfix_only", reason=reason)
