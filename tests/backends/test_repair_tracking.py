"""Issues that the forge does not take: what is tried again, in which order, and for how long."""

import pytest
from sqlalchemy import Engine

from activities import repair_tracking
from activities.backends.results_store import ResultsStore
from activities.repair_tracking import MOST_REFUSALS, catch_up
from activities.results_port import QuarantineNote
from agents.flaky_tests import tracking
from leverframe.model.errors import BadConfiguration, LeverframeError, Refused, Unavailable
from leverframe.model.quarantine import QuarantineFile
from leverframe.model.untrusted import Untrusted
from tests.fakes.git_world import AT
from tests.fakes.quarantine_yard import Issues
from tests.unit.agents.flaky_tests.proposals import entry

FILE = QuarantineFile(entries=tuple(entry(name) for name in "abc"))


class Choosy(Issues):
    """Refuses one test's issue only."""

    locked = ""

    def track(self, repository: str, *, key: str, title: str, body: str) -> str:
        if key == self.locked:
            raise Refused("it is locked")
        return super().track(repository, key=key, title=title, body=body)


@pytest.fixture
def results(engine: Engine) -> ResultsStore:
    """Three landed changes, each with a test whose issue is still to be opened."""
    store = ResultsStore(engine)
    for number, one in enumerate(FILE.entries, 7):
        note = QuarantineNote(
            change=f"shop/{number}", state="over", enter=(one.test.stored(),), leave=(), opened_at=AT
        )
        store.note("shop", [note])
        store.note_tracking("shop", note.change, tracked=False)
    return store


def _behind(results: ResultsStore) -> list[str]:
    return [one.change for one in results.untracked("shop", most_refusals=MOST_REFUSALS, limit=9)]


def test_a_change_whose_issue_is_refused_lets_the_others_go_first_and_is_given_up_in_the_end(
    results: ResultsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    issues, first = Choosy(), tracking.key_of(Untrusted("tests/test_a.py::a"))
    issues.locked = first
    with pytest.raises(Refused, match="shop/7 is refused, 1 times so far; others go first: it is locked"):
        catch_up(issues, results, "shop", FILE)
    assert _behind(results) == ["shop/8", "shop/9", "shop/7"]
    assert [catch_up(issues, results, "shop", FILE) for _ in range(2)] == [1, 1]
    assert len(issues.open) == 2
    monkeypatch.setattr(repair_tracking, "MOST_REFUSALS", 2)
    with pytest.raises(Refused, match="2 times so far; it is given up: open its issues by hand"):
        catch_up(issues, results, "shop", FILE)
    issues.locked = ""
    assert catch_up(issues, results, "shop", FILE) == 0
    # When it is noted as landed once more, it begins anew.
    results.note_tracking("shop", "shop/7", tracked=False)
    assert catch_up(issues, results, "shop", FILE) == 1
    assert first in issues.open


@pytest.mark.parametrize("error", [Unavailable("no answer"), BadConfiguration("the token has expired")])
def test_a_forge_that_is_away_or_does_not_know_us_has_refused_nothing(
    results: ResultsStore, error: LeverframeError
) -> None:
    issues = Choosy(error=error)
    with pytest.raises(type(error)):
        catch_up(issues, results, "shop", FILE)
    assert _behind(results) == ["shop/7", "shop/8", "shop/9"]
    issues.error = None
    assert [catch_up(issues, results, "shop", FILE) for _ in range(4)] == [1, 1, 1, 0]
