"""Laws of who gets a flag on its way, evaluated by flagd's own core."""

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core.flagd_core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from activities.backends.flagd_audience import Definition, audience_of, revision_of, rewritten
from leverframe.model.flags import INTERNAL, Audience, InternalUsers, Part, Whole

SWITCH: dict[str, Any] = {
    "state": "ENABLED",
    "variants": {"yes": True, "no": False},
    "defaultVariant": "no",
    "metadata": {"owner": "pricing", "kill": True},
}
STAFF = InternalUsers(keys=("ada", "bob"), attribute="email", values=("eve@elsewhere",), endings=("@acme",))

law = settings(deadline=None, max_examples=20)
names = st.from_regex(r"\A[a-z][a-z0-9-]{0,20}\Z")
users = st.text(min_size=1, max_size=30).filter(lambda key: key not in STAFF.keys)
percents = st.integers(0, 100)
audiences = st.builds(Whole, on=st.booleans()) | st.builds(Part, percent=percents)


def given_to(flag: str, audience: Audience) -> FlagdCore:
    core = FlagdCore()
    core.set_flags({"flags": {flag: rewritten(copy.deepcopy(SWITCH), flag, audience, STAFF)}})
    return core


def gets(core: FlagdCore, flag: str, key: str, **attributes: str) -> bool:
    found = core.resolve_boolean_value(flag, False, EvaluationContext(key, attributes))
    return found.value is True


@law
@given(names, users, percents, percents)
def test_who_is_in_at_a_share_stays_in_at_every_larger_one(
    flag: str, user: str, one: int, other: int
) -> None:
    small, large = sorted((one, other))
    if gets(given_to(flag, Part(percent=small)), flag, user):
        assert gets(given_to(flag, Part(percent=large)), flag, user)
    assert gets(given_to(flag, Part(percent=100)), flag, user)
    assert not gets(given_to(flag, Part(percent=0)), flag, user)


@law
@given(names, percents)
def test_internal_users_have_it_at_every_share_by_key_value_or_ending(flag: str, percent: int) -> None:
    core = given_to(flag, Part(percent=percent))
    assert gets(core, flag, "ada")
    assert gets(core, flag, "visitor", email="eve@elsewhere")
    assert gets(core, flag, "visitor", email="anybody@acme")
    key, attributes = STAFF.example()
    details = core.resolve_boolean_value(flag, False, EvaluationContext(key, dict(attributes)))
    assert (details.value, details.variant) == (True, INTERNAL)


@settings(law, max_examples=4)
@given(names, st.sampled_from([1, 5, 25, 50]))
def test_the_share_of_many_users_is_the_share_that_was_asked_for(flag: str, percent: int) -> None:
    core, many = given_to(flag, Part(percent=percent)), 500
    found = sum(gets(core, flag, f"user-{number}") for number in range(many))
    spread = (many * percent * (100 - percent)) ** 0.5 / 100
    assert abs(found - many * percent / 100) <= 5 * spread + 1


@law
@given(names, audiences, audiences)
def test_an_audience_reads_back_and_nothing_else_of_the_flag_changes(
    flag: str, first: Audience, then: Audience
) -> None:
    once = rewritten(copy.deepcopy(SWITCH), flag, first, STAFF)
    twice = rewritten(copy.deepcopy(once), flag, then, STAFF)
    assert audience_of(Definition.model_validate(once)) == first
    assert twice == rewritten(copy.deepcopy(SWITCH), flag, then, STAFF), "it does not matter what was before"
    assert (revision_of(once) == revision_of(twice)) == (first == then)
    ours = {"variants", "defaultVariant", "targeting"}
    assert {key: value for key, value in twice.items() if key not in ours} == {
        key: value for key, value in SWITCH.items() if key not in ours
    }
    if isinstance(then, Whole):
        assert twice["variants"] == SWITCH["variants"]
        assert "targeting" not in twice


def test_rules_of_somebody_else_are_no_audience() -> None:
    ours = rewritten(copy.deepcopy(SWITCH), "f", Part(percent=5), STAFF)
    for path, value in (
        (("targeting",), {"if": [{"in": [{"var": "email"}, []]}, "yes", "no"]}),
        (("targeting", "if", 2), {"fractional": [["yes", 5], ["no", 90], ["yes", 5]]}),
        (("targeting", "if", 2), {"fractional": [["no", 95], ["yes", 5]]}),
        (("targeting", "if", 2), {"fractional": [["yes", 5], ["no", 100]]}),
        (("targeting", "if", 2), "other"),
        (("targeting", "if", 1), "yes"),
        (("defaultVariant",), "yes"),
        (("variants", INTERNAL), False),
    ):
        changed = json.loads(json.dumps(ours))
        place: Any = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        assert audience_of(Definition.model_validate(changed)) is None, path
        assert revision_of(changed) != revision_of(ours)
