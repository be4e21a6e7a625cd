"""How a change leaves a merge train: landed, as which commit, or taken off, and why."""

from pathlib import Path

import pytest

from leverframe.model.errors import Unavailable
from leverframe.model.trains import NativeLanded
from tests.fakes.gitlab_yard import Yard

VERSIONS = ("16.11.4-ee", "17.11.2-ee", "19.1.0-ee")


@pytest.fixture
def yard() -> Yard:
    return Yard()


@pytest.fixture(params=VERSIONS)
def any_yard(request: pytest.FixtureRequest) -> Yard:
    return Yard(version=request.param)


class TestLanded:
    """Which commit of the target has the change."""

    @pytest.mark.parametrize(("method", "squash"), [("merge", False), ("rebase_merge", False), ("ff", True)])
    def test_the_landed_commit_is_told_under_every_method(
        self, tmp_path: Path, method: str, squash: bool
    ) -> None:
        yard = Yard(tmp_path)
        yard.gitlab.shop.settings["merge_method"] = method
        rules = yard.shop.train.model_copy(update={"method": "squash"}) if squash else yard.shop.train
        yard.shop = yard.shop.model_copy(update={"train": rules})
        first, second = yard.change("one"), yard.change("two")
        tested = [yard.pipeline(yard.ride(change)) for change in (first, second)]
        assert yard.queue.ending(yard.shop, first) is None
        for pipeline, change in zip(tested, (first, second), strict=True):
            yard.gitlab.finish(pipeline)
            tip, tree = yard.git("log", "-1", "--format=%H %T", "main").split()
            assert yard.queue.ending(yard.shop, change) == NativeLanded(
                change=change.id, head=change.head, sha=tip
            )
            assert (tip == pipeline.sha) is (method != "merge")
            assert tree == yard.git("log", "-1", "--format=%T", pipeline.sha)
        assert isinstance(yard.queue.ending(yard.shop, first), NativeLanded)

    def test_a_change_that_has_landed_is_not_put_on_again(self, yard: Yard) -> None:
        change = yard.ride(yard.change())
        yard.gitlab.finish(yard.pipeline(change))
        yard.ride(change)
        assert yard.boardings() == 1

    def test_a_merge_that_the_target_does_not_show_yet_is_waited_for(self, yard: Yard) -> None:
        change = yard.change()
        yard.gitlab.shop.merge_request(1).state = "merged"
        with pytest.raises(Unavailable, match="does not show it yet"):
            yard.queue.ending(yard.shop, change)

    def test_a_merge_under_way_is_no_ending(self, yard: Yard) -> None:
        change = yard.ride(yard.change())
        yard.gitlab.shop.cars[0].status = "merging"
        yard.gitlab.shop.merge_request(1).state = "locked"
        assert yard.queue.ending(yard.shop, change) is None


class TestRemoved:
    """Why a change left the train without landing."""

    @pytest.mark.parametrize(
        ("status", "failure", "reason"),
        [
            ("failed", "script_failure", "check_failed"),
            ("failed", None, "check_failed"),
            ("failed", "of_a_later_version", "check_failed"),
            ("failed", "runner_system_failure", "check_inconclusive"),
            ("failed", "job_execution_timeout", "check_inconclusive"),
            ("canceled", None, "check_inconclusive"),
            ("skipped", None, "check_inconclusive"),
        ],
    )
    def test_a_pipeline_that_did_not_succeed_blames_nobody_without_a_verdict(
        self, yard: Yard, status: str, failure: str | None, reason: str
    ) -> None:
        change = yard.ride(yard.change())
        yard.gitlab.finish(yard.pipeline(change), status, reason=failure)
        removed = yard.removed(change)
        assert removed.reason == reason
        assert f"ended as {status}" in removed.detail

    @pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
    def test_a_conflict_with_what_rides_before_it_is_one_in_every_version(
        self, tmp_path: Path, version: str
    ) -> None:
        yard = Yard(tmp_path, version)
        yard.ride(yard.change("one", {"app.py": "first\n"}))
        late = yard.ride(yard.change("two", {"app.py": "second\n"}))
        removed = yard.removed(late)
        assert (removed.reason, "Learn more" in removed.detail) == ("conflict", False)
        assert [each.change for each in yard.queue.entries(yard.shop)] == ["shop/1"]

    def test_a_failure_behind_which_others_ride_removes_only_itself(self, yard: Yard) -> None:
        one, two = (yard.ride(yard.change(name)) for name in ("one", "two"))
        before = yard.pipeline(two)
        yard.gitlab.finish(yard.pipeline(one), "failed", reason="script_failure")
        assert (yard.removed(one).reason, yard.queue.ending(yard.shop, two)) == ("check_failed", None)
        assert (before.status, yard.pipeline(two).sha == before.sha) == ("canceled", False)

    def test_a_head_that_moved_mid_ride_is_told_of_the_old_one_only(self, any_yard: Yard) -> None:
        old = any_yard.ride(any_yard.change())
        new = any_yard.commit("work")
        assert any_yard.removed(old).reason == "head_moved"
        moved = old.model_copy(update={"head": new})
        assert any_yard.queue.ending(any_yard.shop, moved) is None
        any_yard.gitlab.finish(any_yard.pipeline(any_yard.ride(moved)))
        assert isinstance(any_yard.queue.ending(any_yard.shop, moved), NativeLanded)
        assert any_yard.removed(old).reason == "head_moved"

    def test_a_failure_of_an_old_head_is_nothing_that_a_new_one_did(self, yard: Yard) -> None:
        old = yard.ride(yard.change())
        yard.gitlab.finish(yard.pipeline(old), "failed", reason="script_failure")
        new = old.model_copy(update={"head": yard.commit("work")})
        assert yard.queue.ending(yard.shop, new) is None

    def test_a_change_that_was_closed_mid_ride_is_withdrawn(self, any_yard: Yard) -> None:
        change = any_yard.ride(any_yard.change())
        any_yard.gitlab.person_closes(1)
        assert any_yard.removed(change).reason == "withdrawn"

    def test_a_place_that_vanishes_without_a_word_is_inconclusive(self, yard: Yard) -> None:
        change = yard.ride(yard.change())
        yard.gitlab.shop.cars.clear()
        yard.gitlab.shop.merge_request(1).waits = False
        removed = yard.removed(change)
        assert (removed.reason, "noted no reason" in removed.detail) == ("check_inconclusive", True)

    @pytest.mark.parametrize(
        ("why", "status", "reason"),
        [
            ("the merge did not complete in time", "mergeable", "check_inconclusive"),
            ("an unexpected error occurred. Correlation ID: 01H", "mergeable", "check_inconclusive"),
            ("merge request is not mergeable", "conflict", "conflict"),
            ("merge request is not mergeable", "not_approved", "refused"),
            ("the merge could not be completed. Explanation: Draft", "draft_status", "refused"),
            ("the target branch was changed", "mergeable", "withdrawn"),
            ("project disabled merge trains", "mergeable", "refused"),
            ("the merge train pipeline could not be prepared: merging commits: merge: there are conflicting"
             " files. Conflicts in: in time, closed/draft.py", "mergeable", "conflict"),
        ],
    )  # fmt: skip
    def test_gitlabs_words_are_sorted(self, yard: Yard, why: str, status: str, reason: str) -> None:
        change = yard.ride(yard.change())
        yard.gitlab.trains.drop(1, why)
        yard.gitlab.shop.merge_request(1).status = status
        removed = yard.removed(change)
        assert removed.reason == reason
        assert why.partition(":")[0] in removed.detail

    def test_a_stranger_who_writes_gitlabs_words_moves_nothing(self, yard: Yard) -> None:
        change = yard.change()
        yard.gitlab.person_comments(1, "removed this merge request from the merge train because it is bad")
        assert yard.queue.ending(yard.shop, change) is None
        yard.ride(change)
        yard.gitlab.person_comments(1, "removed this merge request from the merge train")
        assert yard.queue.ending(yard.shop, change) is None

    def test_a_change_that_never_rode_has_no_ending(self, yard: Yard) -> None:
        assert yard.queue.ending(yard.shop, yard.change()) is None
