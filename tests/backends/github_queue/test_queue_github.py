"""Getting into GitHub's own merge queue and out of it when answers are lost and people interfere."""

from datetime import timedelta

import pytest

from activities.backends.queue_github import GithubQueue
from leverframe.model.changes import Change
from leverframe.model.errors import Conflict, NotFound, Refused, Unavailable
from tests.fakes.github_setup import another, declared, mutation
from tests.fakes.github_shapes import Fault
from tests.fakes.github_world import GithubWorld

SHOP = declared("shop")


class TestEnqueue:
    """In the queue at exactly the head, once, whatever happens to the answers."""

    def test_a_change_is_in_the_queue_and_a_second_time_changes_nothing(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        for _ in range(2):
            queue.enqueue(SHOP, change, hotfix=False)
        [entry] = queue.entries(SHOP)
        assert (entry.change, entry.head, entry.state) == (change.id, change.head, "testing")
        assert github.writes() == ["PUT /repos/acme/shop/pulls/1/merge-async"]

    def test_a_lost_answer_is_resolved_by_looking(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.faults = [Fault("PUT", "merge-async$", applied=True)]
        queue.enqueue(SHOP, change, hotfix=False)
        assert len(queue.entries(SHOP)) == 1
        assert github.writes() == ["PUT /repos/acme/shop/pulls/1/merge-async"]

    def test_a_request_that_github_never_got_is_sent_again_by_the_next_attempt(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.faults = [Fault("PUT", "merge-async$", status=502)]
        with pytest.raises(Unavailable, match="502"):
            queue.enqueue(SHOP, change, hotfix=False)
        queue.enqueue(SHOP, change, hotfix=False)
        assert [each.change for each in queue.entries(SHOP)] == [change.id]

    def test_a_request_that_is_pending_is_asked_about_again_and_never_doubled(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.queue.idle = True
        for _ in range(2):  # 202 at first, then 409 with the request that there is
            with pytest.raises(Unavailable, match="not in the queue yet") as caught:
                queue.enqueue(SHOP, change, hotfix=False)
            assert caught.value.wait == timedelta(seconds=3)
        github.queue.idle = False
        queue.enqueue(SHOP, change, hotfix=False)
        assert len(github.queue.asked) == 1

    def test_a_pending_request_for_another_head_is_not_taken_for_ours(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.queue.idle = True
        with pytest.raises(Unavailable):
            queue.enqueue(SHOP, change, hotfix=False)
        moved = change.model_copy(update={"head": github.git.commit("work", {"more.py": "y\n"})})
        with pytest.raises(Unavailable, match="a request for another head is pending"):
            queue.enqueue(SHOP, moved, hotfix=False)

    def test_a_result_that_github_has_forgotten_is_asked_for_anew(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.queue.idle = True
        github.faults = [Fault("GET", "merge-async/", 404, {"message": "Not Found"})]
        with pytest.raises(Unavailable, match="not in the queue yet"):
            queue.enqueue(SHOP, change, hotfix=False)
        github.now += timedelta(hours=25)
        github.queue.asked.clear()
        github.queue.idle = False
        queue.enqueue(SHOP, change, hotfix=False)
        assert len(queue.entries(SHOP)) == 1

    def test_arming_without_effect_is_not_believed(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.queue.arms_in_vain = True
        with pytest.raises(Unavailable, match="not in the queue yet"):
            queue.enqueue(SHOP, change, hotfix=False)

    def test_a_server_without_the_route_is_asked_by_graphql(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.queue.has_route = False
        queue.enqueue(SHOP, change, hotfix=False)
        assert [each.change for each in queue.entries(SHOP)] == [change.id]

    def test_a_hotfix_goes_to_the_front(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        urgent = another(github, "urgent", {"fix.py": "z\n"})
        queue.enqueue(SHOP, urgent, hotfix=True)
        assert [each.change for each in queue.entries(SHOP)] == [urgent.id, change.id]

    def test_a_hotfix_whose_answer_is_lost_is_found(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.faults = [mutation(applied=True)]
        queue.enqueue(SHOP, change, hotfix=True)
        assert github.queue.events[1][-1]["__typename"] == "AddedToMergeQueueEvent"
        assert len(github.queue.events[1]) == 1

    def test_a_mutation_that_failed_is_not_sent_twice_by_itself(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.faults = [mutation(502)]
        with pytest.raises(Unavailable, match="502"):
            queue.enqueue(SHOP, change, hotfix=True)
        assert github.writes() == ["POST /graphql"]

    def test_another_head_than_the_vouched_one_is_a_conflict(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.git.commit("work", {"more.py": "y\n"})
        with pytest.raises(Conflict, match="not at"):
            queue.enqueue(SHOP, change, hotfix=False)
        assert github.queue.asked == []

    def test_a_head_that_moves_between_the_look_and_the_request_is_a_conflict(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.queue.idle = True
        with pytest.raises(Unavailable):
            queue.enqueue(SHOP, change, hotfix=False)
        github.queue.idle = False
        github.git.commit("work", {"more.py": "y\n"})
        with pytest.raises(Conflict):
            queue.enqueue(SHOP, change, hotfix=False)
        assert queue.entries(SHOP) == []

    def test_a_push_that_github_has_yet_to_notice_is_waited_for(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.lagging = True
        moved = change.model_copy(update={"head": github.git.commit("work", {"more.py": "y\n"})})
        with pytest.raises(Unavailable, match="yet to notice"):
            queue.enqueue(SHOP, moved, hotfix=False)

    @pytest.mark.parametrize("hotfix", [False, True])
    def test_a_queue_that_was_switched_off_meanwhile_is_a_refusal_in_githubs_words(
        self, github: GithubWorld, queue: GithubQueue, change: Change, hotfix: bool
    ) -> None:
        github.queue.disable()
        with pytest.raises(Refused, match="not enabled"):
            queue.enqueue(SHOP, change, hotfix=hotfix)

    def test_a_draft_and_a_closed_pull_request_are_refused(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.pull(1).draft = True
        with pytest.raises(Refused, match="draft"):
            queue.enqueue(SHOP, change, hotfix=False)
        github.pull(1).state = "closed"
        with pytest.raises(Refused, match="closed"):
            queue.enqueue(SHOP, change, hotfix=False)

    def test_a_pull_request_on_top_of_another_one_does_not_take_it_along(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.pull(1).base = "feature\x1b[2J"
        with pytest.raises(Refused, match="goes to feature, not to main"):
            queue.enqueue(SHOP, change, hotfix=False)

    def test_an_id_that_is_none_never_becomes_a_path(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        hostile = {"status": "pending", "details": {"uuid": "../../../../user"}}
        github.faults = [Fault("PUT", "merge-async$", 202, hostile)]
        with pytest.raises(Unavailable, match="an id that is none"):
            queue.enqueue(SHOP, change, hotfix=False)

    def test_a_change_of_another_repository_is_not_looked_for(
        self, queue: GithubQueue, change: Change
    ) -> None:
        with pytest.raises(NotFound):
            queue.enqueue(declared("till"), change, hotfix=False)


class TestDequeue:
    """Out of the queue, and never an error when it is out already."""

    def test_a_change_is_taken_out_and_a_second_time_changes_nothing(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        for _ in range(2):
            queue.dequeue(SHOP, change)
        assert queue.entries(SHOP) == []
        assert [each["reason"] for each in github.queue.events[1]] == [None, "manual"]

    def test_a_lost_answer_is_resolved_by_looking(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        github.faults = [mutation(502, applied=True)]
        queue.dequeue(SHOP, change)
        assert queue.entries(SHOP) == []

    def test_an_entry_that_is_just_merging_is_asked_for_again(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        github.queue.entries[0].state = "LOCKED"
        with pytest.raises(Unavailable, match="still in the queue"):
            queue.dequeue(SHOP, change)
