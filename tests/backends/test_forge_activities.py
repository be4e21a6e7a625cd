"""The forge's activities over real git and a real store: who may do what, and doing it twice."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.backends.builder_local import LocalBuilder
from activities.backends.builds_store import StoreBuilds
from activities.backends.changes_store import ChangesStore
from activities.backends.track_git import GitTrack
from activities.build import BuildActivities
from activities.forge import (
    ForgeActivities,
    OverlayRequest,
    RevertRequest,
    RollBackRequest,
)
from activities.overlay_file import point_at
from activities.train import TrainActivities
from leverframe.model.changes import CarEjected, CarLanded, Change, ChangeSpec, Priority
from leverframe.model.checks import Build
from leverframe.model.differences import TreeDifference
from leverframe.model.proposals import Effect, FlipFlag, RevertChange, RollBack
from leverframe.model.releases import Artifact
from policies.decision import Allowed, Reservation, ReserveRequest
from tests.fakes.git_world import AT, FIRST_SHA, OVERLAY, GitWorld, passed
from tests.fakes.rides import composed, landed, looked
from tests.fakes.stores import store_at

RUN = "run/sentry_spike/shop/SHOP-1/1"
NEW_SHA = "b" * 40
FLIP = FlipFlag(flag="checkout", on=False)


def reserved(
    effect: Effect, step: int = 0, repository: str = "shop", difference: TreeDifference | None = None
) -> Reservation:
    """What the ledger would grant for that difference."""
    request = ReserveRequest(
        reservation=f"{RUN}/{step}",
        agent="sentry_spike",
        repository=repository,
        service="shop",
        subject="SHOP-1",
        effect=effect,
        difference=difference,
    )
    lapses = AT + timedelta(minutes=5)
    return Allowed.grant(request, policy_digest="p", now=AT, lapses_at=lapses).reservation


def undo(commit: str, repository: str = "shop") -> RevertChange:
    return RevertChange(repository=repository, commit=commit, title="Undo the bad one", body="**why**")


class Forge:
    """The activities, and what they act on."""

    def __init__(self, root: Path) -> None:
        self.root, self.world = root, GitWorld(root)
        self.engine = store_at(root / "store.db")
        self.changes = ChangesStore(self.engine)
        self.track = GitTrack(mirrors=root / "mirrors", artifacts=root / "artifacts")
        self.builds = StoreBuilds(self.engine)
        self.acts = ForgeActivities(self.changes, self.track, {"shop": self.world.repository}, self.builds)
        self.train = TrainActivities(self.changes, self.track, {"shop": self.world.repository})

    def reserve(self, effect: Effect, step: int = 0) -> Reservation:
        """Preview it as a run does, and get it granted."""
        return reserved(effect, step, difference=self.acts.preview("shop", effect, AT))

    def opened(self) -> list[Change]:
        """Every change; no other branch of ours may be on the remote."""
        changes = self.changes.list_changes("shop")
        branches = self.world.git(
            "for-each-ref", "--format=%(refname:short)", "refs/heads/leverframe"
        ).split()
        assert sorted(branches) == sorted(change.branch for change in changes)
        return changes

    def land(self, change: Change) -> str:
        """Carry a change in, as the train does."""
        car = composed(self.train, change, AT)
        receipt = landed(self.train, change, car, (passed(car.sha),), AT)
        self.acts.settle_change(CarLanded(change=change.id, receipt=receipt))
        return receipt.sha

    def point(self, sha: str, key: str) -> Change | None:
        return self.acts.overlay_change(
            OverlayRequest(
                repository="shop", environment="production", sha=sha, reason="Step on.", key=key, at=AT
            )
        )

    def propose(self, branch: str, files: dict[str, str | None]) -> Change:
        head = self.world.commit(branch, files)
        return self.acts.open_change(
            ChangeSpec.model_validate(
                {
                    "repository": "shop",
                    "branch": branch,
                    "head": head,
                    "title": "Do it",
                    "author": {"kind": "person", "name": "ada"},
                }
            )
        )


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    forge = Forge(tmp_path)
    yield forge
    forge.engine.dispose()


def failure(act: Callable[[], object]) -> str:
    """The type of the final error that an activity raises."""
    with pytest.raises(ApplicationError) as caught:
        act()
    assert caught.value.non_retryable
    return str(caught.value.type)


def test_a_reserved_revert_opens_one_change_by_the_agent_that_names_its_run(forge: Forge) -> None:
    bad = forge.world.commit("main", {"bad.py": "x\n"})
    reservation = forge.reserve(undo(bad))
    opened = [forge.acts.revert(reservation, RevertRequest(at=AT)) for _ in range(2)]
    assert opened[0] == opened[1]
    assert opened[0].branch.startswith(f"leverframe/revert-{bad[:12]}-")
    assert (opened[0].author.kind, opened[0].author.name) == ("agent", "sentry_spike")
    assert (opened[0].title, opened[0].body) == ("Undo the bad one", "**why**")
    trailer = forge.world.git(
        "log", "-1", "--format=%(trailers:key=Leverframe-Run,valueonly)", opened[0].head
    )
    assert trailer.strip() == RUN
    forge.land(opened[0])
    newest, before = forge.track.commits(forge.world.repository, limit=2)
    assert (newest.by_agent, newest.run) == (True, RUN)
    assert (before.by_agent, before.run) == (False, None)
    assert not forge.track.has_file(
        forge.world.repository, sha=forge.world.git("rev-parse", "main"), path="bad.py"
    )


def test_another_reservation_for_the_same_commit_has_its_own_branch(forge: Forge) -> None:
    bad = forge.world.commit("main", {"bad.py": "x\n"})
    one, two = (forge.acts.revert(forge.reserve(undo(bad), step), RevertRequest(at=AT)) for step in (0, 1))
    assert one.branch != two.branch


def test_a_reservation_for_another_effect_or_one_that_was_changed_is_refused(forge: Forge) -> None:
    bad = forge.world.commit("main", {"bad.py": "x\n"})
    revert, back = reserved(undo(bad)), reserved(RollBack(service="shop", to=NEW_SHA))
    changed = revert.model_copy(update={"effect": undo(forge.world.git("rev-parse", "main^"))})
    cases = [
        lambda: forge.acts.revert(reserved(FLIP), RevertRequest(at=AT)),
        lambda: forge.acts.revert(back, RevertRequest(at=AT)),
        lambda: forge.acts.revert(changed, RevertRequest(at=AT)),
        lambda: forge.acts.revert(reserved(undo(bad, "till")), RevertRequest(at=AT)),
        lambda: forge.acts.roll_back(revert, RollBackRequest(at=AT)),
        lambda: forge.acts.roll_back(back.model_copy(update={"effect_digest": "0"}), RollBackRequest(at=AT)),
        lambda: forge.acts.roll_back(reserved(RollBack(service="till", to=NEW_SHA)), RollBackRequest(at=AT)),
    ]
    assert [failure(case) for case in cases] == ["Refused"] * len(cases)
    assert forge.opened() == []


def test_a_revert_that_no_longer_applies_is_a_conflict(forge: Forge) -> None:
    bad = forge.world.commit("main", {"app.py": "bad\n"})
    reservation = forge.reserve(undo(bad))
    forge.world.commit("main", {"app.py": "worse\n"})
    assert failure(lambda: forge.acts.revert(reservation, RevertRequest(at=AT))) == "Conflict"
    assert failure(lambda: forge.acts.preview("shop", undo(bad), AT)) == "Conflict"


def test_a_preview_says_what_would_change_and_a_flag_changes_no_file(forge: Forge) -> None:
    bad = forge.world.commit("main", {"bad.py": "x\n"})
    revert = forge.acts.preview("shop", undo(bad), AT)
    back = forge.acts.preview("shop", RollBack(service="shop", to=NEW_SHA), AT)
    assert revert is not None
    assert back is not None
    assert [(file.path, file.change) for file in revert.files] == [("bad.py", "deleted")]
    assert [file.path for file in back.files] == [OVERLAY]
    assert forge.acts.preview("shop", RollBack(service="shop", to=FIRST_SHA), AT) is None
    assert forge.acts.preview("shop", FLIP, AT) is None
    assert forge.opened() == []


def test_an_effect_of_another_repository_or_service_is_not_previewed(forge: Forge) -> None:
    cases = [
        lambda: forge.acts.preview("shop", undo(NEW_SHA, "till"), AT),
        lambda: forge.acts.preview("shop", RollBack(service="till", to=NEW_SHA), AT),
    ]
    assert [failure(case) for case in cases] == ["Refused", "Refused"]


def test_a_tree_that_was_swapped_between_policy_and_push_opens_nothing(forge: Forge) -> None:
    bad = forge.world.commit("main", {"bad.py": "x\n", "worse.py": "x\n"})
    revert, back = forge.reserve(undo(bad)), forge.reserve(RollBack(service="shop", to=NEW_SHA))
    forge.world.commit(
        "main",
        {"worse.py": None, OVERLAY: forge.world.git("show", f"main:{OVERLAY}").replace("a" * 40, "c" * 40)},
    )
    assert failure(lambda: forge.acts.revert(revert, RevertRequest(at=AT))) == "Refused"
    assert failure(lambda: forge.acts.roll_back(back, RollBackRequest(at=AT))) == "Refused"
    assert forge.opened() == []


def test_a_reservation_for_a_difference_that_nobody_looked_at_opens_nothing(forge: Forge) -> None:
    bad = forge.world.commit("main", {"bad.py": "x\n"})
    cases = [
        lambda: forge.acts.revert(reserved(undo(bad)), RevertRequest(at=AT)),
        lambda: forge.acts.roll_back(reserved(RollBack(service="shop", to=NEW_SHA)), RollBackRequest(at=AT)),
    ]
    assert [failure(case) for case in cases] == ["Refused", "Refused"]
    assert forge.opened() == []


def test_a_roll_back_is_a_hotfix_that_edits_productions_overlay_once(forge: Forge) -> None:
    reservation = forge.reserve(RollBack(service="shop", to=NEW_SHA))
    opened = [forge.acts.roll_back(reservation, RollBackRequest(at=AT)) for _ in range(2)]
    assert opened[0] == opened[1]
    assert opened[0] is not None
    assert (opened[0].priority, opened[0].author.kind) == (Priority.HOTFIX, "agent")
    forge.land(opened[0])
    assert forge.acts.overlay_sha("shop", "production") == NEW_SHA
    assert forge.acts.overlay_sha("shop", "dev") == FIRST_SHA


def test_a_roll_back_to_what_is_live_needs_no_change(forge: Forge) -> None:
    reservation = reserved(RollBack(service="shop", to=FIRST_SHA))
    assert forge.acts.roll_back(reservation, RollBackRequest(at=AT)) is None


def test_forward_back_and_forward_again_are_three_changes(forge: Forge) -> None:
    changes = []
    for sha, key in ((NEW_SHA, "r/1"), (FIRST_SHA, "r/2"), (NEW_SHA, "r/3")):
        change = forge.point(sha, key)
        assert change is not None
        assert forge.point(sha, key) == change
        forge.land(change)
        changes.append(change.branch)
    assert len(set(changes)) == 3
    assert forge.acts.overlay_history("shop", "production") == [NEW_SHA, FIRST_SHA]
    assert forge.point(NEW_SHA, "r/4") is None


def test_a_promotion_never_takes_an_overlay_back_from_a_newer_commit(forge: Forge) -> None:
    older = forge.world.git("rev-parse", "main")
    newer = forge.world.commit("main", {"new.txt": "new"})
    begun = forge.point(older, "r/0")
    change = forge.point(newer, "r/1")
    assert change is not None
    forge.land(change)
    assert forge.point(older, "r/0") == begun, "an earlier attempt has opened it, so the train ends it"
    with pytest.raises(ApplicationError, match=f"names {newer[:12]}, which is newer than") as told:
        forge.point(older, "r/2")
    assert told.value.type == "Conflict"
    assert forge.acts.overlay_sha("shop", "production") == newer


def image(sha: str, digit: str) -> Artifact:
    """An image that a commit was built as."""
    return Artifact(service="shop", sha=sha, digest=f"sha256:{digit * 64}", image="ghcr.io/acme/shop")


def test_an_image_is_pinned_by_its_digest_beside_its_commit_and_so_is_the_way_back(
    forge: Forge,
) -> None:
    for sha, digit in ((FIRST_SHA, "1"), (NEW_SHA, "2")):
        forge.builds.keep("shop", image(sha, digit))
    for number, (sha, digit) in enumerate([(NEW_SHA, "2"), (FIRST_SHA, "1"), (NEW_SHA, "2")]):
        change = forge.point(sha, f"r/{number}")
        assert change is not None
        forge.land(change)
        assert forge.track.overlay(forge.world.repository, "production") == (sha, f"sha256:{digit * 64}")
        assert forge.point(sha, "again") is None
    assert forge.acts.overlay_sha("shop", "production") == NEW_SHA


def test_a_way_back_to_before_images_takes_the_digest_out_and_one_to_the_unknown_is_refused(
    forge: Forge,
) -> None:
    forge.builds.keep("shop", image(NEW_SHA, "2"))
    forward = forge.point(NEW_SHA, "r/1")
    assert forward is not None
    forge.land(forward)
    assert failure(lambda: forge.point("c" * 40, "r/2")) == "Refused"
    reservation = forge.reserve(RollBack(service="shop", to=FIRST_SHA))
    back = forge.acts.roll_back(reservation, RollBackRequest(at=AT))
    assert back is not None
    forge.land(back)
    assert forge.track.overlay(forge.world.repository, "production") == (FIRST_SHA, None)


def test_an_overlay_whose_digest_is_of_another_build_is_refused_in_words(forge: Forge) -> None:
    forge.builds.keep("shop", image(NEW_SHA, "2"))
    text = forge.world.git("show", f"main:{OVERLAY}") + "\n"
    forge.world.commit("main", {OVERLAY: point_at(text, "shop", NEW_SHA, f"sha256:{'9' * 64}")})
    with pytest.raises(ApplicationError, match=f"names {NEW_SHA[:12]} with the digest sha256:999") as told:
        forge.acts.overlay_sha("shop", "production")
    assert told.value.type == "Refused"
    change = forge.point(NEW_SHA, "r/1")
    assert change is not None, "pointing it at the one build is the way out"
    forge.land(change)
    assert forge.acts.overlay_sha("shop", "production") == NEW_SHA


def test_a_commit_is_built_once_and_recorded(forge: Forge) -> None:
    build = BuildActivities(
        forge.track, forge.builds, {"shop": forge.world.repository}, {"local": LocalBuilder()}
    )
    sha = forge.world.commit("main", {"new.py": "x\n"})
    assert build.recorded_build("shop", sha) is None
    built = build.build("shop", sha)
    assert built == build.build("shop", sha) == forge.builds.find("shop", sha) == forge.track.export(
        forge.world.repository, sha
    )  # fmt: skip
    (forge.root / "artifacts" / built.path).unlink()
    assert build.build("shop", sha) == built, "what is recorded is not built again"
    later = forge.world.repository.model_copy(
        update={"build": Build(by="forge", image="ghcr.io/acme/shop", context="image")}
    )
    changed = BuildActivities(forge.track, forge.builds, {"shop": later}, {"local": LocalBuilder()})
    assert failure(lambda: changed.build("shop", sha)) == "Conflict"
    assert failure(lambda: changed.build("shop", FIRST_SHA)) == "BadConfiguration"


def test_a_change_that_has_landed_is_answered_with_its_receipt(forge: Forge) -> None:
    change = forge.propose("work", {"new.py": "x\n"})
    sha = forge.land(change)
    [again] = looked(forge.train, change).ended
    assert isinstance(again, CarLanded)
    assert again.receipt.sha == sha


def test_an_ejection_that_comes_after_the_landing_says_nothing(forge: Forge) -> None:
    change = forge.propose("work", {"new.py": "x\n"})
    forge.land(change)
    before = forge.changes.comments(change.id)
    forge.acts.settle_change(CarEjected(change=change.id, reason="withdrawn", detail="late"))
    assert forge.changes.comments(change.id) == before
    assert forge.changes.change(change.id).state == "landed"


def test_a_branch_that_was_pushed_after_the_enqueue_can_not_ride(forge: Forge) -> None:
    change = forge.propose("work", {"new.py": "x\n"})
    forge.world.commit("work", {"more.py": "x\n"})
    [gone] = looked(forge.train, change).ended
    assert isinstance(gone, CarEjected)
    assert gone.reason == "head_moved"


def test_an_undeclared_repository_and_an_unknown_change_are_not_found(forge: Forge) -> None:
    change = forge.propose("work", {"new.py": "x\n"})
    cases = [
        lambda: forge.acts.describe("till"),
        lambda: forge.acts.export("till", NEW_SHA),
        lambda: forge.acts.get_change("shop/9"),
        lambda: forge.acts.export("shop", NEW_SHA),
        lambda: forge.acts.is_ancestor("shop", NEW_SHA, change.head),
    ]
    assert [failure(case) for case in cases] == ["NotFound"] * len(cases)
