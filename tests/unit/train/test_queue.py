"""Who rides next."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from leverframe.model.changes import Author, Enqueue, Priority
from leverframe.model.topology import TrainRules
from workflows.merge_train.queue import MAX_KEPT, Queue, put, remove, withdraw

AT = datetime(2026, 3, 1, tzinfo=UTC)
ADA = Author(kind="person", name="ada")
RULES = TrainRules(max_overtaken=1000)


def ask(
    number: int = 1,
    priority: Priority = Priority.NORMAL,
    head: str = "a",
    notify: tuple[str, ...] = (),
) -> Enqueue:
    return Enqueue(change=f"shop/{number}", head=head * 40, priority=priority, author=ADA, notify=notify)


def line(*requests: Enqueue) -> Queue:
    queue = Queue()
    for number, request in enumerate(requests):
        queue = put(queue, request, request=f"r{number}", at=AT, rules=RULES)
    return queue


def order(queue: Queue) -> list[str]:
    return [item.change for item in queue.items]


def test_a_better_class_rides_first_and_first_come_is_first_served_within_one() -> None:
    queue = line(ask(1), ask(2, Priority.PROMOTION), ask(3, Priority.HOTFIX), ask(4), ask(5, Priority.HOTFIX))
    assert order(queue) == ["shop/3", "shop/5", "shop/2", "shop/1", "shop/4"]


def test_the_same_change_and_head_keep_one_place_and_everybody_who_asked_is_told() -> None:
    queue = line(ask(1, notify=("a",)), ask(2), ask(1, Priority.HOTFIX, notify=("b", "a")))
    assert order(queue) == ["shop/1", "shop/2"]
    item = queue.items[0]
    assert (item.sequence, item.priority, item.notify) == (1, Priority.HOTFIX, ("a", "b"))
    assert item.requests == ("r0", "r2")


def test_asking_again_never_makes_the_class_worse() -> None:
    queue = line(ask(1, Priority.HOTFIX), ask(1))
    assert queue.items[0].priority is Priority.HOTFIX


def test_a_newer_head_takes_the_place_of_the_older_ones_and_an_older_one_asked_again_takes_it_back() -> None:
    queue = line(ask(1), ask(1, head="b"))
    assert [item.leaving for item in queue.items] == ["head_moved", None]
    back = put(queue, ask(1), request="again", at=AT, rules=RULES)
    assert [(item.head[0], item.leaving) for item in back.items] == [("a", None), ("b", "head_moved")]


def test_withdrawing_marks_every_head_of_the_change_and_no_other() -> None:
    queue = withdraw(line(ask(1), ask(2)), "shop/1")
    assert [item.leaving for item in queue.items] == ["withdrawn", None]
    assert withdraw(queue, "shop/9") == queue


def test_enqueuing_again_takes_a_withdrawal_back() -> None:
    queue = put(withdraw(line(ask(1)), "shop/1"), ask(1), request="r", at=AT, rules=RULES)
    assert queue.items[0].leaving is None


def test_a_sequence_number_is_never_used_again() -> None:
    queue = line(ask(1), ask(2))
    queue = put(remove(queue, 2), ask(3), request="r", at=AT, rules=RULES)
    assert [item.sequence for item in queue.items] == [1, 3]


def test_what_is_kept_of_those_who_asked_is_bounded() -> None:
    queue = line(*(ask(1, notify=(f"w{number}",)) for number in range(100)))
    assert queue.items[0].notify[-1] == "w99"
    assert len(queue.items[0].notify) == len(queue.items[0].requests) == MAX_KEPT


requests = st.builds(
    ask, st.integers(1, 5), st.sampled_from(Priority), st.sampled_from("ab"), st.sampled_from([(), ("w",)])
)


@given(st.lists(requests, max_size=30))
def test_any_requests_give_an_ordered_queue_without_duplicates_in_which_one_head_per_change_stays(
    asked: list[Enqueue],
) -> None:
    queue = line(*asked)
    classes = [item.priority for item in queue.items]
    assert classes == sorted(classes)
    pairs = [(item.change, item.head) for item in queue.items]
    assert len(pairs) == len(set(pairs)) == len({(request.change, request.head) for request in asked})
    staying = [item.change for item in queue.items if item.leaving is None]
    assert sorted(staying) == sorted({request.change for request in asked})


@given(st.lists(requests, max_size=15))
def test_a_duplicate_of_every_request_changes_nothing_but_the_requests_known(asked: list[Enqueue]) -> None:
    once, twice = Queue(), Queue()
    for number, request in enumerate(asked):
        once = put(once, request, request=str(number), at=AT, rules=RULES)
        for _ in range(2):
            twice = put(twice, request, request=str(number), at=AT, rules=RULES)
    assert once == twice


@given(st.lists(st.sampled_from(Priority), max_size=40), st.integers(0, 5))
def test_nobody_but_hotfixes_overtakes_a_change_more_often_than_the_rules_say(
    classes: list[Priority], most: int
) -> None:
    rules, queue = TrainRules(max_overtaken=most), Queue()
    for number, priority in enumerate(classes, start=1):
        queue = put(queue, ask(number, priority), request=str(number), at=AT, rules=rules)
    hotfixes = classes.count(Priority.HOTFIX)
    for place, item in enumerate(queue.items):
        later = [other for other in queue.items[:place] if other.sequence > item.sequence]
        assert len(later) == item.overtaken <= most + hotfixes
        assert len([other for other in later if other.priority is not Priority.HOTFIX]) <= most


def test_a_change_that_has_waited_long_enough_is_overtaken_by_hotfixes_only() -> None:
    late = AT + timedelta(minutes=RULES.max_wait_minutes)
    queue = line(ask(1))
    for number, priority in ((2, Priority.PROMOTION), (3, Priority.HOTFIX)):
        queue = put(queue, ask(number, priority), request=str(number), at=late, rules=RULES)
    assert order(queue) == ["shop/3", "shop/1", "shop/2"]
