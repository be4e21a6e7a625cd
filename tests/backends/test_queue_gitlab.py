"""Merge trains as the forge's own queue: who may ride, getting on and off, and who rides now."""

import pytest

from leverframe.model.errors import Conflict, NotFound, Refused, Unavailable
from tests.fakes.gitlab import Fault
from tests.fakes.gitlab_yard import Yard

VERSIONS = ("16.11.4-ee", "17.11.2-ee", "19.1.0-ee")
BOARD = "/merge_trains/merge_requests/1$"


@pytest.fixture
def yard() -> Yard:
    return Yard()


@pytest.fixture(params=VERSIONS)
def any_yard(request: pytest.FixtureRequest) -> Yard:
    return Yard(version=request.param)


class TestCapability:
    """Whether trains can carry a repository's changes, and why not."""

    def test_a_project_with_trains_can_and_says_how_what_lands_is_audited(self, yard: Yard) -> None:
        told = yard.queue.capability(yard.shop)
        assert (told.native, told.facts["audit"], told.facts["version"]) == (True, "by tree", "17.11.2-ee")
        yard.gitlab.shop.settings["merge_method"] = "rebase_merge"
        assert yard.queue.capability(yard.shop).facts["audit"] == "by commit"

    @pytest.mark.parametrize(
        ("settings", "why"),
        [
            ({"merge_trains_enabled": False}, "merge trains are off"),
            ({"merge_pipelines_enabled": False}, "merged results pipelines are off"),
            ({"merge_trains_skip_train_allowed": True}, "lets people skip the train"),
            ({"archived": True}, "archived"),
            ({"merge_method": "ff"}, "the train's method is merge, and the project's is another"),
            ({"squash_option": "always"}, "squashes always"),
            ({"merge_method": "\x1b[2Jnew"}, "the project's is another"),
        ],
    )
    def test_what_speaks_against_it_is_told(self, yard: Yard, settings: dict[str, object], why: str) -> None:
        yard.gitlab.shop.settings |= settings
        told = yard.queue.capability(yard.shop)
        assert not told.native
        assert why in told.why
        assert "\x1b" not in f"{told.facts}"

    @pytest.mark.parametrize(
        ("version", "method", "why"),
        [
            ("17.11.2", "merge", "they need GitLab Premium"),
            ("15.10.0-ee", "merge", "GitLab 15.11 or later"),
            ("16.4.0-ee", "rebase_merge", "before GitLab 16.5 trains take merge commits only"),
            ("latest", "merge", "GitLab 15.11 or later"),
        ],
    )
    def test_edition_and_version_are_looked_at(self, yard: Yard, version: str, method: str, why: str) -> None:
        yard.gitlab.version, yard.gitlab.shop.settings["merge_method"] = version, method
        told = yard.queue.capability(yard.shop)
        assert not told.native
        assert why in told.why

    def test_whether_the_target_is_protected_is_told(self, yard: Yard) -> None:
        assert yard.queue.capability(yard.shop).facts["rewinds"] == "refused"
        yard.gitlab.shop.protected = ()
        assert yard.queue.capability(yard.shop).facts["rewinds"] == "the branch is not protected"

    def test_health_names_the_projects_with_trains(self, yard: Yard) -> None:
        assert yard.queue.health().detail == (
            "GitLab 17.11.2-ee; merge trains in gitlab.com/acme/shop, gitlab.com/acme/till"
        )


class TestEnqueue:
    """A change goes onto the train once, at its head, and never past it."""

    def test_every_version_is_asked_in_its_own_words_and_no_other_way(self, any_yard: Yard) -> None:
        change = any_yard.change()
        any_yard.gitlab.shop.merge_request(1).status = "ci_still_running"
        any_yard.ride(change)
        assert any_yard.gitlab.shop.merge_request(1).waits
        assert any_yard.queue.entries(any_yard.shop) == []
        any_yard.gitlab.checks_pass(1)
        any_yard.ride(change)
        assert any_yard.gitlab.writes() == ["POST /projects/acme%2Fshop/merge_trains/merge_requests/1"]
        assert [entry.change for entry in any_yard.queue.entries(any_yard.shop)] == ["shop/1"]

    @pytest.mark.parametrize(
        "fault", [Fault("POST", BOARD, applied=True), Fault("POST", BOARD, 502, applied=True)]
    )
    def test_an_answer_that_was_lost_is_found_on_the_train(self, yard: Yard, fault: Fault) -> None:
        yard.gitlab.faults = [fault]
        yard.ride(yard.change())
        assert yard.boardings() == 1
        assert [entry.state for entry in yard.queue.entries(yard.shop)] == ["testing"]

    def test_a_call_that_never_came_is_unavailable_and_not_repeated_by_itself(self, yard: Yard) -> None:
        change = yard.change()
        yard.gitlab.faults = [Fault("POST", BOARD)]
        with pytest.raises(Unavailable, match="ConnectError"):
            yard.ride(change)
        assert yard.boardings() == 1
        assert yard.queue.ending(yard.shop, change) is None

    def test_another_head_is_a_conflict_before_and_at_boarding(self, yard: Yard) -> None:
        change = yard.change()
        yard.gitlab.faults = [
            Fault("POST", BOARD, 409, {"message": "SHA does not match HEAD of source branch"})
        ]
        with pytest.raises(Conflict, match="SHA does not match"):
            yard.ride(change)
        yard.commit("work")
        with pytest.raises(Conflict, match="not at"):
            yard.ride(change)
        assert yard.boardings() == 1

    @pytest.mark.parametrize("status", ["conflict", "draft_status", "not_approved", "of_a_later_version"])
    def test_what_can_not_be_merged_is_refused_with_its_status(self, yard: Yard, status: str) -> None:
        change = yard.change()
        yard.gitlab.shop.merge_request(1).status = status
        with pytest.raises(Refused, match=f"405.*its merge status is {status}"):
            yard.ride(change)

    @pytest.mark.parametrize("status", ["checking", "unchecked", "preparing", "approvals_syncing"])
    def test_what_gitlab_has_yet_to_find_out_is_waited_for(self, yard: Yard, status: str) -> None:
        change = yard.change()
        yard.gitlab.shop.merge_request(1).status = status
        with pytest.raises(Unavailable, match=f"its merge status is {status}"):
            yard.ride(change)

    def test_a_project_without_trains_a_closed_change_and_another_target_are_refused(
        self, yard: Yard
    ) -> None:
        change = yard.change()
        yard.gitlab.shop.merge_request(1).target = "release/1"
        with pytest.raises(Refused, match="goes to release/1, and the train carries to main"):
            yard.ride(change)
        yard.gitlab.shop.merge_request(1).target = "main"
        yard.gitlab.person_closes(1)
        with pytest.raises(Refused, match="has been closed"):
            yard.ride(change)
        with pytest.raises(NotFound):
            yard.ride(change.model_copy(update={"id": "shop/9"}))
        yard.gitlab.shop.settings["merge_trains_enabled"] = False
        with pytest.raises(Refused, match="403"):
            yard.ride(change)


class TestDequeue:
    """Taking off is done once and is no error when there is nothing to take off."""

    def test_a_change_is_taken_off_in_every_version_and_a_second_time_is_a_success(
        self, any_yard: Yard
    ) -> None:
        change = any_yard.ride(any_yard.change())
        for _ in range(2):
            any_yard.queue.dequeue(any_yard.shop, change)
        assert any_yard.queue.entries(any_yard.shop) == []
        assert any_yard.removed(change).reason == "withdrawn"
        any_yard.gitlab.person_closes(1)
        any_yard.queue.dequeue(any_yard.shop, change)

    def test_a_change_that_waits_for_its_checks_does_not_go_on_after_it(self, yard: Yard) -> None:
        change = yard.change()
        yard.gitlab.shop.merge_request(1).status = "ci_still_running"
        yard.ride(change)
        yard.queue.dequeue(yard.shop, change)
        assert not yard.gitlab.shop.merge_request(1).waits

    def test_one_that_is_on_the_train_after_it_is_unavailable(self, yard: Yard) -> None:
        change = yard.ride(yard.change())
        yard.gitlab.faults = [Fault("POST", "cancel_merge", 406, {"message": "406 Not Acceptable"})]
        with pytest.raises(Unavailable, match="still on it"):
            yard.queue.dequeue(yard.shop, change)


class TestEntries:
    """The train as GitLab has it."""

    def test_entries_are_in_the_order_of_landing_with_the_commits_that_are_tested(self, yard: Yard) -> None:
        yard.gitlab.page_size = 1
        changes = [yard.ride(yard.change(name)) for name in ("one", "two", "three")]
        entries = yard.queue.entries(yard.shop)
        assert [(each.change, each.head, each.position) for each in entries] == [
            (change.id, change.head, place) for place, change in enumerate(changes)
        ]
        assert [each.car for each in entries] == [yard.pipeline(change).sha for change in changes]

    @pytest.mark.parametrize(
        ("status", "pipeline", "state"),
        [
            ("idle", "running", "queued"),
            ("stale", "running", "queued"),
            ("fresh", "running", "testing"),
            ("fresh", "success", "mergeable"),
            ("fresh", "canceled", "blocked"),
            ("merging", "success", "mergeable"),
            ("of_a_later_version", "running", "blocked"),
        ],
    )
    def test_each_state_has_its_word(self, yard: Yard, status: str, pipeline: str, state: str) -> None:
        change = yard.ride(yard.change())
        yard.pipeline(change).status = pipeline
        yard.gitlab.shop.cars[0].status = status
        assert [each.state for each in yard.queue.entries(yard.shop)] == [state]

    def test_a_hostile_title_and_branch_name_change_nothing(self, yard: Yard) -> None:
        change = yard.change("feature/../%2e%2e;x \x1b")
        yard.gitlab.shop.merge_request(1).title = "removed this merge request from the merge train\n/merge"
        yard.ride(change)
        assert [each.change for each in yard.queue.entries(yard.shop)] == ["shop/1"]
        assert yard.queue.ending(yard.shop, change) is None
