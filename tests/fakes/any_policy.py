"""Any policy, any request, any usage: what hypothesis draws from when a law has to hold for all of them.

Everything leans towards allowing, for a law says little about what is denied anyway. Agent `one` asks about
the repository `shop`; what is about others is there to be ignored.
"""

from datetime import datetime, timedelta
from io import StringIO
from typing import TypeVar

from hypothesis import strategies as st
from ruamel.yaml import YAML

from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Affected, Cost, Effect, Lever, Measurement
from policies.decision import ReserveRequest
from policies.documents import People, PolicyDocument, PolicySnapshot, parse
from policies.rules import (
    Autonomy,
    Breaker,
    Cooldown,
    DiffCap,
    Escalation,
    FlagNames,
    FlipFlagRule,
    Freeze,
    Layer,
    LeverRule,
    Levers,
    Limit,
    Lineage,
    OpenMergeRequestRule,
    PathNames,
    Rules,
    Storm,
)
from policies.usage import Asking, Demotion, Pause, Rejection, Sighting, UsageDocument, Use
from tests.fakes.asks import BACK, NOON, OFF, ON, PEOPLE, REVERT, ask, delta, difference

T = TypeVar("T")

ORG, REPO, AGENT = "org.yaml", "repos/shop.yaml", "agents/one.yaml"
STRANGERS = ("repos/till.yaml", "agents/two.yaml")
AGENTS = ("one", "one", "one", "two")
REPOSITORIES = ("shop", "shop", "shop", "till")
SUBJECTS = ("A", "A", "B")
EFFECTS: tuple[Effect, ...] = (OFF, ON, REVERT, BACK)
GROUPS = ("sre-oncall", "sre-leads")

LAYERS: dict[str, Layer] = {"": "org", "repos": "repo", "agents": "agent"}


def people() -> People:
    """Ada and Grace on call, Edsger and Grace leading."""
    return parse({"people.yaml": PEOPLE}).people


PEOPLE_IN_FORCE = people()


def minutes(*choices: int) -> st.SearchStrategy[timedelta]:
    return st.sampled_from(choices).map(lambda chosen: timedelta(minutes=chosen))


def seldom(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    """None three times of four."""
    return st.sampled_from((False, False, False, True)).flatmap(
        lambda there: strategy if there else st.none()
    )


exceeding = st.sampled_from(["escalate", "deny", "escalate"])
autonomies = st.sampled_from([Autonomy.ACT, *Autonomy, *(Autonomy.ACT_WITH_APPROVAL,) * 5])
some_levers = st.sampled_from([tuple(Lever), tuple(Lever), (Lever.FLIP_FLAG,), tuple(Lever)[1:]])
scopes = st.sets(st.sampled_from(["agent", "repo", "subject", "lever"]), max_size=2).map(
    lambda chosen: tuple(sorted(chosen))
)
amounts = st.sampled_from([2, 0, 1, 2, 3, "unlimited"])
budgets = st.sampled_from([200, 0, 5, 60, 100, 200, 400, "unlimited"])

attention_limits = st.builds(
    Limit,
    id=st.just("x"),
    scope=st.sampled_from([(), ("approver_group",), ("agent", "approver_group")]),
    unit=st.just("escalations"),
    max=amounts,
    window=minutes(60, 1440),
)
limits = st.one_of(
    st.builds(
        Limit,
        id=st.just("x"),
        scope=scopes,
        levers=some_levers,
        max=amounts,
        window=minutes(10, 60, 1440),
        on_exceed=exceeding,
    ),
    st.builds(
        Limit,
        id=st.just("x"),
        scope=scopes,
        levers=some_levers,
        max=amounts,
        hold=st.just("until_settled"),
        on_exceed=exceeding,
    ),
    st.builds(
        Limit,
        id=st.just("x"),
        scope=scopes,
        unit=st.sampled_from(["cents", "tokens"]),
        max=budgets,
        window=minutes(10, 60),
        on_exceed=exceeding,
    ),
    attention_limits,
)

evidence_rules = st.dictionaries(st.sampled_from(["events", "users"]), st.integers(0, 30), max_size=1)
lever_rules = st.builds(LeverRule, autonomy=seldom(autonomies), min_evidence=evidence_rules)
flip_rules = st.builds(
    FlipFlagRule,
    autonomy=seldom(autonomies),
    min_evidence=evidence_rules,
    direction=st.fixed_dictionaries({"to_off": autonomies}, optional={"to_on": autonomies}),
    flags=st.builds(
        FlagNames,
        allow=st.sampled_from([("*",), ("*",), ("new-*",), ("old-*",), ()]),
        deny=st.sampled_from([(), (), (), ("new-*",), ("old-*",)]),
    ),
)
merge_rules = st.builds(
    OpenMergeRequestRule,
    autonomy=seldom(autonomies),
    min_evidence=evidence_rules,
    paths=st.builds(
        PathNames,
        allow=st.sampled_from([None, ("**",), ("**",), ("shop/**",), ("shop/*",), ()]),
        deny=st.sampled_from([(), (), (), ("**/checkout.py",), ("docs/**",)]),
    ),
    diff=st.sampled_from([True, True, False]).flatmap(
        lambda there: (
            st.builds(DiffCap, max_files=amounts, max_lines=budgets, on_exceed=exceeding)
            if there
            else st.none()
        )
    ),
)
often = st.sampled_from((True, True, True, True, False))
levers = st.builds(
    Levers,
    flip_flag=often.flatmap(lambda there: flip_rules if there else st.none()),
    roll_back=often.flatmap(lambda there: lever_rules if there else st.none()),
    open_merge_request=often.flatmap(lambda there: merge_rules if there else st.none()),
)

storms = st.one_of(
    st.builds(Storm, window=minutes(10, 60), max_subjects=st.integers(0, 4), on_exceed=exceeding),
    st.builds(
        Storm,
        max_affected_percent=st.integers(0, 100),
        min_affected=st.integers(0, 4),
        on_exceed=exceeding,
    ),
)
cooldowns = st.builds(
    Cooldown, same_subject=st.none() | minutes(15, 120), after_rejection=st.none() | minutes(60, 1440)
)
freezes = st.one_of(
    st.builds(
        Freeze,
        id=st.just("x"),
        reason=st.just("Nobody is here"),
        cron=st.sampled_from(["0 3 * * *", "0 18 * * FRI", "30 11 * * *", "0 0 1 1 *", "0 12 * * MON"]),
        duration=minutes(15, 60, 62 * 60),
        tz=st.sampled_from(["UTC", "Europe/Berlin"]),
        except_levers=st.sampled_from([(), (Lever.FLIP_FLAG,)]),
    ),
    st.builds(
        lambda before, after: Freeze(
            id="x", reason="A move", since=NOON - before, until=NOON + after, except_levers=()
        ),
        minutes(-30, 0, 30),
        minutes(31, 90),
    ),
)
breakers = st.integers(1, 5).flatmap(
    lambda of_last: st.builds(
        Breaker,
        bad=st.integers(1, of_last),
        of_last=st.just(of_last),
        open_for=minutes(5, 30, 240),
        probe=st.integers(1, 2),
        bad_outcomes=st.sampled_from([(Outcome.FAILED, Outcome.ROLLED_BACK), (Outcome.REJECTED,)]),
    )
)
lineages = st.builds(Lineage, max_depth=st.integers(0, 3))
escalations = st.builds(
    Escalation,
    approvers=st.sampled_from([(), GROUPS, GROUPS, GROUPS[:1], GROUPS[1:]]),
    quorum=st.sampled_from([1, 1, 1, 2, 3]),
    two_person_levers=st.sampled_from([(), (), (), (Lever.FLIP_FLAG,), (Lever.ROLL_BACK,)]),
    expires_after=minutes(60, 120, 480),
)


def numbered(found: list[T]) -> tuple[T, ...]:
    """Limits or freezes with ids of their own."""
    return tuple(
        each.model_copy(update={"id": f"x{number}"})  # type: ignore[attr-defined]
        for number, each in enumerate(found)
    )


PERMISSIVE = Levers(
    flip_flag=FlipFlagRule(
        direction={"to_off": Autonomy.ACT, "to_on": Autonomy.ACT}, flags=FlagNames(allow=("*",))
    ),
    roll_back=LeverRule(),
    open_merge_request=OpenMergeRequestRule(
        paths=PathNames(allow=("**",)), diff=DiffCap(max_files="unlimited", max_lines="unlimited")
    ),
)
ON_CALL = Escalation(approvers=GROUPS, quorum=1, expires_after=timedelta(hours=8))

SECTIONS: dict[str, st.SearchStrategy[object]] = {
    "autonomy": autonomies,
    "kill_switch": st.sampled_from([False, False, False, True]),
    "levers": levers,
    "limits": st.lists(limits, min_size=1, max_size=3).map(numbered),
    "storm": storms,
    "cooldown": cooldowns,
    "freeze": st.lists(freezes, max_size=2).map(numbered),
    "breaker": breakers,
    "lineage": lineages,
    "escalation": escalations,
}

OFTEN = [*SECTIONS, *("limits",) * 3, "escalation", "storm"]


@st.composite
def documents(draw: st.DrawFn, file: str) -> PolicyDocument:
    """A file that allows everything but for a few sections, which say anything."""
    folder, _, name = file.removesuffix(".yaml").rpartition("/")
    written = draw(
        st.lists(st.sampled_from([*SECTIONS, *("limits",) * 3, "escalation"]), max_size=3, unique=True)
    )
    content = {
        "autonomy": Autonomy.ACT,
        "kill_switch": False,
        "levers": PERMISSIVE,
        "escalation": None if folder else ON_CALL,
        **{section: draw(SECTIONS[section]) for section in written},
    }
    rules = Rules.model_validate({"version": 1, "layer": LAYERS[folder], **content})
    return PolicyDocument(file=file, about=name if folder else None, rules=rules)


def snapshot(*found: PolicyDocument) -> PolicySnapshot:
    """These files, in any order, beside the people."""
    return PolicySnapshot.of(found, PEOPLE_IN_FORCE)


paths = st.sampled_from(
    ["shop/checkout.py", "shop/deep/cart.py", "shop/a.py", "docs/index.md", "README.md", ".github/ci.yml"]
)
files = st.lists(
    st.builds(delta, paths, added=st.integers(0, 200), removed=st.integers(0, 200)),
    min_size=1,
    max_size=3,
    unique_by=lambda file: file.path,
)
evidence = st.lists(
    st.builds(
        Measurement,
        name=st.sampled_from(["events", "users"]),
        observed=st.integers(0, 60),
        threshold=st.just(1),
        unit=st.just("events"),
    ),
    max_size=3,
)


@st.composite
def requests(draw: st.DrawFn, reservation: str = "run/1") -> ReserveRequest:
    """What agent `one` may ask for in `shop`."""
    effect = draw(st.sampled_from(EFFECTS))
    return ask(
        reservation,
        effect,
        agent="one",
        subject=draw(st.sampled_from(SUBJECTS)),
        difference=difference(*draw(files)) if effect == REVERT else None,
        cost=draw(st.sampled_from([*(Cost(cents=cost, tokens=cost) for cost in (0, 1, 7, 90, 250)), None])),
        evidence=draw(evidence),
        affected=draw(st.sampled_from([Affected(count=1, of=10), Affected(count=3, of=4), None])),
        lineage=draw(st.sampled_from([()] * 12 + [("run/0",), ("run/0", "run/00")])),
        requesters=draw(st.sampled_from([(), (), ("ada@example.com",), ("grace",)])),
    )


@st.composite
def uses(draw: st.DrawFn, *, settled: bool = True) -> Use:
    """One effect of the last three hours, or of an instant at which some window ends."""
    ago = draw(st.sampled_from([0, 1, 5, 10, 30, 59, 60, 61, 170]))
    outcome = draw(st.none() | st.sampled_from(list(Outcome))) if settled else None
    repository = draw(st.sampled_from(REPOSITORIES))
    return Use(
        agent=draw(st.sampled_from(AGENTS)),
        repository=repository,
        service=repository,
        subject=draw(st.sampled_from(SUBJECTS)),
        lever=draw(st.sampled_from(list(Lever))),
        at=NOON - timedelta(minutes=ago),
        held=outcome is None,
        cost=Cost(cents=draw(st.integers(0, 200)), tokens=draw(st.integers(0, 200))),
        outcome=outcome,
        ended_at=NOON - timedelta(minutes=draw(st.integers(0, ago))) if outcome else None,
        overrun=outcome is not None and draw(st.booleans()),
    )


def _at(ago: int) -> datetime:
    return NOON - timedelta(minutes=ago)


sightings = st.builds(
    lambda repository, subject, ago: Sighting(
        repository=repository, service=repository, subject=subject, at=_at(ago)
    ),
    st.sampled_from(REPOSITORIES),
    st.sampled_from([*SUBJECTS, "C", "D", "E"]),
    st.integers(0, 70),
)
rejections = st.builds(
    lambda subject, lever, ago: Rejection(
        repository="shop", service="shop", subject=subject, lever=lever, at=_at(ago)
    ),
    st.sampled_from(SUBJECTS),
    st.sampled_from(list(Lever)),
    st.integers(0, 120),
)
askings = st.builds(
    lambda approval, group, ago: Asking(
        approval=approval,
        agent="one",
        repository="shop",
        service="shop",
        subject="A",
        lever=Lever.FLIP_FLAG,
        group=group,
        at=_at(ago),
    ),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(GROUPS),
    st.integers(0, 120),
)
pauses = st.builds(
    lambda agent, repository: Pause(
        by="ada", reason="incident", since=NOON, agent=agent, repository=repository
    ),
    st.sampled_from([None, "one", "two"]),
    st.sampled_from([None, "shop", "till"]),
)
demotions = st.builds(
    lambda agent, to: Demotion(agent=agent, to=to, since=NOON, reason="2 of 5 went badly"),
    st.sampled_from(["one", "two"]),
    autonomies,
)


def usage(*, settled: bool = True, most: int = 6) -> st.SearchStrategy[UsageDocument]:
    """What the ledger may know at noon. Without `settled`, nothing that speaks well of an agent."""
    return st.builds(
        UsageDocument,
        uses=st.integers(0, most)
        .flatmap(lambda size: st.lists(uses(settled=settled), min_size=size, max_size=size))
        .map(tuple),
        rejections=st.lists(rejections, max_size=1).map(tuple),
        sightings=st.integers(0, 5)
        .flatmap(lambda size: st.lists(sightings, min_size=size, max_size=size))
        .map(tuple),
        questions=st.lists(askings, max_size=3).map(tuple),
        pauses=seldom(pauses).map(lambda pause: (pause,) if pause else ()),
        demotions=seldom(demotions).map(lambda demotion: (demotion,) if demotion else ()),
    )


def as_yaml(document: PolicyDocument) -> str:
    """The document's rules as a person would write them."""
    text = StringIO()
    YAML(typ="safe", pure=True).dump(document.rules.model_dump(mode="json", exclude_none=True), text)
    return text.getvalue()
