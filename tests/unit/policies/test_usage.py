"""Usage: what was used is found by limit, subject and agent, and taking it out leaves nothing behind."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverframe.model.errors import BadInput
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost, Effect, Lever
from policies.counting import scope_key
from policies.documents import PolicySnapshot
from policies.intent import Intent
from policies.rules import Autonomy, Limit
from policies.tally import Tally
from policies.usage import Asking, Demotion, Pause, Rejection, Sighting, Usage, UsageDocument, Use
from tests.fakes.asks import BACK, NOON, OFF, ON, REVERT, ask, policy

MINUTE = timedelta(minutes=1)
HOURLY = "{id: hourly, scope: [repo], max: 3, window: 1h}"
HELD = "{id: held, scope: [subject], max: 1, hold: until_settled}"
MONEY = "{id: money, unit: cents, max: 100, window: 1h}"
ATTENTION = "{id: attention, unit: escalations, scope: [approver_group], max: 2, window: 1d}"
BREAKER = "breaker: {bad: 2, of_last: 5, open_for: 1h}\n"


def used(
    minutes_ago: int = 0,
    *,
    subject: str = "A",
    repository: str = "shop",
    cents: int = 0,
    outcome: Outcome | None = None,
) -> Use:
    at = NOON - minutes_ago * MINUTE
    return Use(
        agent="sentry_spike",
        repository=repository,
        service=repository,
        subject=subject,
        lever=Lever.FLIP_FLAG,
        at=at,
        held=outcome is None,
        cost=Cost(cents=cents),
        outcome=outcome,
        ended_at=at + MINUTE if outcome else None,
    )


def asking(approval: str, minutes_ago: int = 0, *, group: str = "sre-oncall") -> Asking:
    return Asking(
        approval=approval,
        agent="sentry_spike",
        repository="shop",
        service="shop",
        subject="A",
        lever=Lever.FLIP_FLAG,
        group=group,
        at=NOON - minutes_ago * MINUTE,
    )


def taken(usage: Usage, name: str, *, repository: str = "shop", subject: str = "A", group: str = "") -> int:
    document = next(each for each in usage.snapshot.documents if each.file == "org.yaml")
    limit = next(each for each in document.rules.limits if each.id == name)
    intent = Intent.of(ask(repository=repository, subject=subject))
    return usage.counter(document, limit).taken(scope_key(limit, intent, group), NOON)


def test_a_use_counts_in_its_window_until_the_window_ends_and_not_at_that_instant() -> None:
    usage = Usage(policy([HOURLY]), UsageDocument(uses=(used(0), used(59), used(60), used(61))))
    assert taken(usage, "hourly") == 2
    assert taken(usage, "hourly", repository="other") == 0


def test_the_same_key_again_replaces_the_use_so_that_settling_frees_what_it_held() -> None:
    usage = Usage(policy([HOURLY, HELD, MONEY]))
    usage.add("run/1", used(5, cents=70))
    assert (taken(usage, "held"), taken(usage, "money")) == (1, 70)
    usage.add("run/1", used(5, cents=90, outcome=Outcome.LANDED))
    assert (taken(usage, "hourly"), taken(usage, "held"), taken(usage, "money")) == (1, 0, 90)


def test_a_use_that_is_dropped_is_gone_everywhere() -> None:
    usage = Usage(policy([HOURLY, HELD, MONEY], org=BREAKER))
    usage.add("run/1", used(5, cents=70))
    usage.add("run/2", used(4, cents=1, subject="B"))
    usage.drop("run/1")
    assert (taken(usage, "hourly"), taken(usage, "held"), taken(usage, "money")) == (1, 0, 1)
    assert usage.last_use("shop", "A", Lever.FLIP_FLAG) is None
    assert len(usage.document().uses) == 1
    with pytest.raises(KeyError):
        usage.drop("run/1")


def test_while_one_use_is_left_out_it_counts_nowhere_and_afterwards_as_before() -> None:
    usage = Usage(
        policy([HOURLY, HELD], org=BREAKER), UsageDocument(uses=(used(5), used(9))), keys=("a", "b")
    )
    before = usage.document()
    with usage.but("a"):
        assert taken(usage, "hourly") == 1
        assert usage.last_use("shop", "A", Lever.FLIP_FLAG) == NOON - 9 * MINUTE
    with usage.but("unknown"):
        assert taken(usage, "hourly") == 2
    assert usage.last_use("shop", "A", Lever.FLIP_FLAG) == NOON - 5 * MINUTE
    assert usage.document() == before


def test_a_use_that_is_left_out_comes_back_even_when_the_block_fails() -> None:
    usage = Usage(policy([HOURLY]), UsageDocument(uses=(used(5),)), keys=("a",))
    with pytest.raises(RuntimeError), usage.but("a"):
        raise RuntimeError
    assert taken(usage, "hourly") == 1


def test_a_document_of_another_repository_counts_nothing_from_here() -> None:
    limit = f"limits:\n  - {HOURLY}\n"
    usage = Usage(policy(repos={"shop": limit, "other": limit}), UsageDocument(uses=(used(5),)))
    counts = {
        document.file: usage.counter(document, document.rules.limits[0]).taken((("shop",),), NOON)
        for document in usage.snapshot.documents
        if document.rules.limits
    }
    assert counts == {"repos/other.yaml": 0, "repos/shop.yaml": 1}


def test_a_breaker_sees_the_agents_outcomes_and_then_what_is_unsettled_where_its_document_holds() -> None:
    usage = Usage(
        policy(org=BREAKER, repos={"shop": BREAKER}),
        UsageDocument(
            uses=(
                used(1),
                used(30, outcome=Outcome.FAILED),
                used(10, repository="other"),
                used(3, subject="B"),
            )
        ),
    )
    seen = {
        document.file: [use.at for use in usage.history(document, "sentry_spike")]
        for document in usage.snapshot.documents
    }
    assert seen == {
        "agents/sentry_spike.yaml": [],
        "org.yaml": [NOON - minutes * MINUTE for minutes in (30, 10, 3, 1)],
        "repos/shop.yaml": [NOON - minutes * MINUTE for minutes in (30, 3, 1)],
    }
    assert usage.history(usage.snapshot.documents[1], "stranger") == ()


def test_a_breaker_sees_outcomes_in_the_order_in_which_they_became_known() -> None:
    first, last = used(20, outcome=Outcome.LANDED), used(30, outcome=Outcome.FAILED)
    last = last.model_copy(update={"ended_at": NOON})
    for uses in ((first, last), (last, first)):
        usage = Usage(policy(org=BREAKER), UsageDocument(uses=uses))
        assert usage.history(usage.snapshot.documents[1], "sentry_spike") == (first, last)


def test_a_breaker_sees_only_so_much_that_its_question_stays_quick() -> None:
    uses = [used(minutes, outcome=Outcome.LANDED) for minutes in range(1, 300)]
    usage = Usage(policy(org=BREAKER), UsageDocument(uses=(*uses, *(used(0) for _ in range(40)))))
    seen = usage.history(usage.snapshot.documents[1], "sentry_spike")
    assert (len(seen), sum(use.held for use in seen)) == (110, 10)
    assert seen[0].at == NOON - 100 * MINUTE


def test_a_subject_is_seen_once_with_its_last_time_whatever_the_order() -> None:
    usage = Usage(policy())
    for minutes_ago, subject in ((5, "A"), (9, "B"), (1, "A"), (7, "A")):
        at = NOON - minutes_ago * MINUTE
        usage.see(Sighting(repository="shop", service="shop", subject=subject, at=at))
    assert usage.subjects("shop", NOON - 60 * MINUTE) == [
        (NOON - 9 * MINUTE, ("shop", "B")),
        (NOON - 1 * MINUTE, ("shop", "A")),
    ]
    assert usage.subjects("shop", NOON - 9 * MINUTE) == [(NOON - 1 * MINUTE, ("shop", "A"))]
    assert usage.subjects("other", NOON - 60 * MINUTE) == []


def test_the_same_question_to_the_same_group_counts_once() -> None:
    usage = Usage(policy([ATTENTION]))
    for each in (asking("a", 9), asking("a", 1), asking("a", group="sre-leads"), asking("b", 1440)):
        usage.ask(each)
    assert taken(usage, "attention", group="sre-oncall") == 1
    assert taken(usage, "attention", group="sre-leads") == 1


def test_the_last_no_of_people_stands() -> None:
    usage = Usage(policy())
    for minutes_ago in (5, 9):
        usage.reject(
            Rejection(
                repository="shop",
                service="shop",
                subject="A",
                lever=Lever.FLIP_FLAG,
                at=NOON - minutes_ago * MINUTE,
            )
        )
    assert usage.last_rejection("shop", "A", Lever.FLIP_FLAG) == NOON - 5 * MINUTE
    assert usage.last_rejection("shop", "A", Lever.ROLL_BACK) is None
    assert [each.at for each in usage.document().rejections] == [NOON - 5 * MINUTE]


def test_what_no_rule_sees_any_more_is_forgotten_and_the_rest_is_kept() -> None:
    rules = "storm: {window: 1h, max_subjects: 5}\ncooldown: {after_rejection: 2h}\n"
    weekly = "{id: weekly, max: 9, window: 7d}"
    usage = Usage(policy([ATTENTION, weekly], org=rules))
    for minutes, subject in ((60, "old"), (59, "new")):
        at = NOON - minutes * MINUTE
        usage.see(Sighting(repository="shop", service="till", subject=subject, at=at))
    for minutes, subject in ((120, "old"), (119, "new")):
        at = NOON - minutes * MINUTE
        usage.reject(
            Rejection(repository="shop", service="shop", subject=subject, lever=Lever.FLIP_FLAG, at=at)
        )
    usage.ask(asking("old", 1440))
    usage.ask(asking("new", 1439))
    usage.forget(NOON)
    kept = usage.document()
    assert [each.subject for each in kept.sightings] == ["new"]
    assert [each.subject for each in kept.rejections] == ["new"]
    assert [each.approval for each in kept.questions] == ["new"]
    assert usage.subjects("shop", NOON - 90 * MINUTE) == [(NOON - 59 * MINUTE, ("till", "new"))]
    assert usage.last_rejection("shop", "old", Lever.FLIP_FLAG) is None
    assert taken(usage, "attention", group="sre-oncall") == 1


def test_an_index_built_from_its_own_document_is_the_same() -> None:
    known = UsageDocument(
        uses=(used(1), used(9, outcome=Outcome.FAILED)),
        questions=(asking("a"),),
        sightings=(Sighting(repository="shop", service="shop", subject="A", at=NOON),),
        pauses=(Pause(by="ada", reason="incident", since=NOON),),
        demotions=(Demotion(agent="one", to=Autonomy.OFF, since=NOON, reason="badly"),),
    )
    assert Usage(policy([HOURLY, ATTENTION]), known).document() == known
    assert UsageDocument.model_validate_json(known.model_dump_json()) == known


@pytest.mark.parametrize("effect", [OFF, ON, BACK, REVERT])
def test_an_intent_knows_what_would_be_done_without_the_words_around_it(effect: Effect) -> None:
    bare = effect.model_copy(update={"title": "", "body": ""}) if effect is REVERT else effect
    assert Intent.of(ask(effect=effect)).effect() == bare


def test_an_intent_that_names_nothing_to_do_is_refused_with_who_and_where() -> None:
    intent = Intent.of(ask(effect=BACK)).model_copy(update={"commit": None})
    with pytest.raises(
        BadInput, match=r"^the intent of sentry_spike on SHOP-1 names neither a flag nor a commit$"
    ):
        intent.effect()


def test_keys_that_do_not_fit_the_uses_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        Usage(policy(), UsageDocument(uses=(used(1), used(2))), keys=("a",))


SNAPSHOT: PolicySnapshot = policy([HOURLY, HELD, MONEY], org=BREAKER)
LIMITS: tuple[Limit, ...] = SNAPSHOT.documents[1].rules.limits

changes = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d"]),
        st.none()
        | st.builds(
            used,
            st.integers(0, 90),
            subject=st.sampled_from(["A", "B"]),
            repository=st.sampled_from(["shop", "other"]),
            cents=st.integers(0, 40),
            outcome=st.none() | st.sampled_from(list(Outcome)),
        ),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(changes)
def test_after_any_changes_the_index_counts_what_a_scan_of_the_uses_counts(
    changed: list[tuple[str, Use | None]],
) -> None:
    usage, record = Usage(SNAPSHOT), dict[str, Use]()
    for key, use in changed:
        if use is not None:
            usage.add(key, use)
            record[key] = use
        elif key in record:
            usage.drop(key)
            del record[key]
    here = [use for use in record.values() if use.repository == "shop"]
    recent = [use for use in record.values() if use.at > NOON - 60 * MINUTE]
    assert taken(usage, "hourly") == sum(use in recent for use in here)
    assert taken(usage, "held") == sum(use.held and use.subject == "A" for use in here)
    assert taken(usage, "money") == sum(use.cost.cents for use in recent)
    times = [use.at for use in here if use.subject == "A"]
    assert usage.last_use("shop", "A", Lever.FLIP_FLAG) == max(times, default=None)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=12),
    st.data(),
    st.none() | st.integers(-1, 21),
    st.integers(1, 20),
)
def test_a_tally_agrees_with_a_plain_list(
    rows: list[tuple[int, int]], data: st.DataObject, after: int | None, amount: int
) -> None:
    tally = Tally()
    kept = {(NOON + at * MINUTE, (str(key),)): figure for key, (at, figure) in enumerate(rows)}
    for (at, key), figure in kept.items():
        tally.add(at, key, figure)
    for at, key in data.draw(st.lists(st.sampled_from(sorted(kept)), unique=True)) if kept else []:
        tally.drop(at, key)
        del kept[at, key]
    start = None if after is None else NOON + after * MINUTE
    later = [(at, figure) for (at, _), figure in sorted(kept.items()) if start is None or at > start]
    assert len(tally) == len(kept)
    assert tally.total(start) == sum(figure for _, figure in later)
    passed = [at for index, (at, _) in enumerate(later) if sum(f for _, f in later[: index + 1]) >= amount]
    assert tally.relief(start, amount) == (passed[0] if passed else None)
    assert [at for at, _ in tally.keys(start)] == [at for at, _ in later]


@pytest.mark.parametrize("minutes", [-1, 0, 1])
def test_a_tally_never_drops_a_row_that_is_not_there(minutes: int) -> None:
    tally = Tally()
    tally.add(NOON, ("a",), 5)
    with pytest.raises(KeyError, match="b"):
        tally.drop(NOON + minutes * MINUTE, ("b",))
    assert tally.total(None) == 5


def test_an_empty_tally_has_no_newest_row_and_a_row_counts_once_unless_said_otherwise() -> None:
    tally = Tally()
    assert tally.newest() is None
    tally.add(NOON, ("a",))
    assert (tally.newest(), tally.total(None)) == (NOON, 1)
