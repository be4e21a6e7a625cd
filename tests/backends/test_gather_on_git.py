"""Facts gathered from real git: live and previous from the overlay, blame from the first-parent line."""

from pathlib import Path

from activities.backends.track_git import GitTrack
from activities.investigate import InvestigateActivities
from leverframe.model.facts import ErrorFactsRequest
from tests.fakes.git_world import FIRST_SHA, KUSTOMIZATION, OVERLAY, GitWorld
from tests.fakes.remediation_world import BEGAN, FLAG, MemoryFlags
from tests.unit.test_investigate import OneChange, OneGroup


def test_a_crash_in_a_deployed_file_is_blamed_on_the_commit_that_changed_its_line(tmp_path: Path) -> None:
    world = GitWorld(tmp_path)
    before = world.git("rev-parse", "main")
    world.commit("main", {OVERLAY: KUSTOMIZATION.replace(FIRST_SHA, before)}, message="promote")
    suspect = world.commit("main", {"app.py": "one\nTWO\nthree\n"}, message="change the second line")
    world.commit("main", {OVERLAY: KUSTOMIZATION.replace(FIRST_SHA, suspect)}, message="promote")
    investigate = InvestigateActivities(
        OneGroup([("/srv/current/app.py", 2), ("/srv/../app.py", 1), ("/srv/current/gone.py", 1)]),
        GitTrack(mirrors=tmp_path / "mirrors", artifacts=tmp_path / "artifacts"),
        OneChange(),  # type: ignore[arg-type]  # only the reading half of the port
        MemoryFlags({FLAG: True}),
        {"shop": world.repository},
    )
    facts = investigate.gather(
        ErrorFactsRequest(repository="shop", service="shop", subject="SHOP-1", since=BEGAN)
    )
    assert (facts.live, facts.previous) == (suspect, before)
    assert [(frame.path, frame.line, frame.blamed) for frame in facts.frames] == [("app.py", 2, suspect)]
    assert [commit.sha for commit in facts.commits][1] == suspect
