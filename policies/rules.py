"""The content of a policy file, section by section: what may be written, and what it means.

Missing means most restrictive: a lever, a flag, a path or a direction that is not named is denied, `0` is
zero, and what is not limited says `unlimited`. All numbers are integers.
"""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from leverframe.model.executions import MOST_A_DAY
from leverframe.model.frozen import Frozen, Slug
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Lever
from leverframe.model.quarantine import MOST_PER_CHANGE, Owner
from policies.decision import Verdict
from policies.notation import Amount, Cron, Glob, PathGlob, ZoneName

MAX_WINDOW = timedelta(days=31)
MAX_ANSWER = timedelta(days=7)
"""The longest life of a question: after a week nobody knows what it was about."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"^([1-9][0-9]{0,8})([smhd])$")

Layer = Literal["org", "repo", "agent"]
Scope = Literal["agent", "repo", "subject", "lever", "approver_group"]
Direction = Literal["to_off", "to_on"]
OnExceed = Literal["deny", "escalate"]
Unit = Literal["count", "cents", "tokens", "tests", "escalations"]


class Autonomy(StrEnum):
    """How far an agent may go, from nothing to acting alone."""

    OFF = "off"
    OBSERVE = "observe"
    PROPOSE = "propose"
    ACT_WITH_APPROVAL = "act_with_approval"
    ACT = "act"

    @property
    def verdict(self) -> Verdict:
        """What the level means for an effect: below `act_with_approval` nobody may lift it."""
        match self:
            case Autonomy.ACT:
                return Verdict.ALLOW
            case Autonomy.ACT_WITH_APPROVAL:
                return Verdict.ESCALATE
            case _:
                return Verdict.DENY

    @property
    def rank(self) -> int:
        """0 for `off`, 4 for `act`."""
        return list(Autonomy).index(self)


def _duration(value: object) -> object:
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        if isinstance(value, timedelta):
            return value
        raise ValueError("write a duration as a whole number and a unit: 90s, 15m, 1h, 7d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def duration_words(value: timedelta) -> str:
    """`1h`, `90s`: a duration as the documents write it, in the largest unit that fits."""
    seconds = int(value.total_seconds())
    unit = next(name for name in ("d", "h", "m", "s") if seconds % _UNITS[name] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    Field(gt=timedelta(0), le=MAX_WINDOW),
    PlainSerializer(duration_words, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern}),
]


class Section(Frozen):
    """A part of a document. No value is converted: `"2"` is not a number and `yes` is not a boolean."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class FlagNames(Section):
    """Which flags, by shell-style patterns. A flag must match `allow` and must not match `deny`."""

    allow: tuple[Glob, ...] = ()
    """Matched letter by letter."""
    deny: tuple[Glob, ...] = ()
    """Matched without regard to case."""


class PathNames(Section):
    """Which paths, by globs (`**` crosses directories). Every path of the difference must match `allow` and
    none may match `deny`. What is protected everywhere (see `policies.paths`) no file can allow."""

    allow: tuple[PathGlob, ...] | None = None
    """Empty: nothing. Left out, this file has no say: the organisation's or the agent's must have one."""
    deny: tuple[PathGlob, ...] = ()
    """Matched without regard to case."""


class DiffCap(Section):
    """How large a difference may be."""

    max_files: Amount
    max_lines: Amount
    """Lines added plus lines removed. A binary file has none to count, so it passes only `unlimited`."""
    on_exceed: OnExceed = "deny"


class LeverRule(Section):
    """One lever that the document allows at all."""

    autonomy: Autonomy | None = None
    """Lowers the document's level for this lever; left out, the document's level holds."""
    min_evidence: dict[Annotated[str, Field(max_length=100)], Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict
    )
    """Name of a measurement → the least it must have observed. A missing measurement denies."""


class FlipFlagRule(LeverRule):
    """Flipping flags. A direction or a flag that is not named is denied."""

    direction: dict[Direction, Autonomy] = Field(default_factory=dict)
    flags: FlagNames = FlagNames()


class QuarantineRule(Section):
    """Which tests a merge request may quarantine, and how many. That a test leaves is never capped."""

    max_share_ppm: Annotated[int, Field(ge=0, le=1_000_000)]
    """Of the suite, quarantined at once, in parts per million."""
    max_per_change: Annotated[int, Field(ge=0, le=MOST_PER_CHANGE)]
    """Tests that enter, are renewed or hide more failures with one merge request. How many enter a day: a
    limit with `unit: tests`."""
    max_days: Annotated[int, Field(ge=1, le=366)]
    """An entry must expire after at most so many days, from its renewal on if it is renewed; then the test's
    failures count again."""
    by_itself: Annotated[int, Field(ge=1)]
    """Evidence of at least this (the runs in which a healthy test is quarantined once) needs no person; less
    escalates."""
    deny_paths: tuple[PathGlob, ...] = ()
    """Tests in these files never enter, nor does one whose file is not known. Without regard to case."""
    deny_markers: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = ()
    """Tests with one of these pytest markers never enter. A test whose marks no report has told, as only our
    pytest plugin does by itself, needs a person."""
    renewals: Literal["ask", "never"] = "ask"
    """A quarantine that is to go on beyond its day, or to begin again though it ended unhealed: a person must
    approve each, or nobody can."""
    fallback_owner: Owner | None = None
    """Whose a test is that CODEOWNERS gives to nobody; without one such a test never enters."""
    max_executions_a_day: Annotated[int, Field(ge=0, le=MOST_A_DAY)] = 0
    """Fresh executions of single tests in the sandbox, in each repository and UTC day: to confirm a flake and
    name its cause, to tell it from a break, and to see whether a quarantined test has healed. 0: none."""


class OpenMergeRequestRule(LeverRule):
    """Opening merge requests, looked at as the final difference between trees."""

    paths: PathNames = PathNames()
    diff: DiffCap | None = None
    """Left out, this file has no say: the organisation's or the agent's must give a cap."""
    quarantine: QuarantineRule | None = None
    """Left out, this file has no say: without one in the organisation's or the agent's, no test enters."""


class Levers(Section):
    """A closed world: a lever that is absent is denied."""

    flip_flag: FlipFlagRule | None = None
    roll_back: LeverRule | None = None
    open_merge_request: OpenMergeRequestRule | None = None

    def rule(self, lever: Lever) -> LeverRule | None:
        """The rule of one lever, or None when the document denies it."""
        rules = {
            Lever.FLIP_FLAG: self.flip_flag,
            Lever.ROLL_BACK: self.roll_back,
            Lever.OPEN_MERGE_REQUEST: self.open_merge_request,
        }
        return rules[lever]


class Limit(Section):
    """A cap: so much within a sliding window, or so much unsettled at once."""

    id: Slug
    scope: tuple[Scope, ...] = ()
    """Uses count together when these agree; none: everything the document is about counts together."""
    levers: tuple[Lever, ...] = Field(default=tuple(Lever), min_length=1)
    unit: Unit = "count"
    """Effects, money, language-model tokens, tests that enter the quarantine, or questions to people."""
    max: Amount
    window: Duration | None = None
    hold: Literal["until_settled"] | None = None
    on_exceed: OnExceed = "deny"
    """For `escalations`, what exceeds the limit waits for the daily digest, whatever is written here."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Limit":
        if (self.window is None) == (self.hold is None):
            raise ValueError("give exactly one of `window` and `hold`")
        if self.unit == "escalations" and self.window is None:
            raise ValueError("people's attention is limited within a `window`")
        if self.unit != "escalations" and "approver_group" in self.scope:
            raise ValueError("only `unit: escalations` has the scope `approver_group`")
        return self


class Storm(Section):
    """Too much at once is an outage, and an outage is for people. Give at least one of the two measures."""

    window: Duration | None = None
    max_subjects: Amount | None = None
    """So many different subjects of one repository may ask for an effect within `window`."""
    max_affected_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """The share of the whole that a proposal may say is affected; a proposal that can't say exceeds it."""
    min_affected: Annotated[int, Field(ge=0)] = 1
    """Fewer affected than this are no storm, whatever their share."""
    on_exceed: OnExceed = "escalate"

    @model_validator(mode="after")
    def _measured(self) -> "Storm":
        if (self.window is None) != (self.max_subjects is None):
            raise ValueError("`window` and `max_subjects` belong together")
        if self.max_subjects is None and self.max_affected_percent is None:
            raise ValueError("give `max_subjects` with `window`, or `max_affected_percent`, or both")
        return self


class Cooldown(Section):
    """How long a subject is left alone."""

    same_subject: Duration | None = None
    """After an effect of the same lever on the same subject, by any agent."""
    after_rejection: Duration | None = None
    """After people said no to the same lever on the same subject."""


class Freeze(Section):
    """A time in which nothing happens: each occurrence of `cron` for `duration`, or `since` to `until`."""

    id: Slug
    reason: str = Field(min_length=1, max_length=200)
    cron: Cron | None = None
    """Five fields, in the time zone `tz`: `0 18 * * FRI`."""
    duration: Duration | None = None
    """Elapsed time from each beginning."""
    tz: ZoneName = "UTC"
    """A name of the IANA time zone database."""
    since: datetime | None = None
    until: datetime | None = None
    except_levers: tuple[Lever, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> "Freeze":
        recurring = (self.cron is not None, self.duration is not None)
        single = (self.since is not None, self.until is not None)
        if (all(recurring) and not any(single)) == (all(single) and not any(recurring)):
            raise ValueError("give `cron` and `duration`, or `since` and `until`")
        if self.since is not None and self.until is not None:
            if self.since.tzinfo is None or self.until.tzinfo is None:
                raise ValueError("`since` and `until` need a time zone: 2026-12-24T00:00:00+01:00")
            if self.since >= self.until:
                raise ValueError("`since` must be before `until`")
        return self


class Breaker(Section):
    """Stops an agent whose effects turn out badly, then lets it prove itself."""

    bad: Annotated[int, Field(ge=1, le=50)]
    of_last: Annotated[int, Field(ge=1, le=50)]
    open_for: Duration
    probe: Annotated[int, Field(ge=1, le=10)] = 1
    """How many effects may be unsettled while half open. Each needs a person's approval."""
    bad_outcomes: tuple[Outcome, ...] = Field(default=(Outcome.FAILED, Outcome.ROLLED_BACK), min_length=1)

    @model_validator(mode="after")
    def _possible(self) -> "Breaker":
        if self.bad > self.of_last:
            raise ValueError("`bad` can't exceed `of_last`")
        if Outcome.LANDED in self.bad_outcomes:
            raise ValueError("`landed` is the good outcome")
        return self


class Lineage(Section):
    """How far an agent may react to what agents did."""

    max_depth: Annotated[int, Field(ge=0, le=19)]
    """0: never. 1: to an effect that answered a person's change."""


class Escalation(Section):
    """How people lift an escalation."""

    approvers: tuple[Slug, ...] = ()
    """Groups of people.yaml, asked one after the other. The organisation's file must name some; the members
    that every file allows may vote."""
    quorum: int = Field(ge=1, le=10)
    """How many different people must say yes."""
    two_person_levers: tuple[Lever, ...] = ()
    """These always need two people's yes, even where the level is `act`."""
    remind_after: Duration = timedelta(minutes=15)
    escalate_after: Duration = timedelta(hours=1)
    """Silence for so long brings in the next group."""
    expires_after: Annotated[Duration, Field(le=MAX_ANSWER)]
    """Silence for so long means no; at most 7d."""
    on_expiry: Literal["deny"] = "deny"


class Rules(Section):
    """The content of one policy file."""

    version: Literal[1]
    layer: Layer
    autonomy: Autonomy
    kill_switch: bool
    """True: nothing that the document is about may be reserved or committed."""
    levers: Levers = Levers()
    limits: tuple[Limit, ...] = Field(default=(), max_length=50)
    storm: Storm | None = None
    cooldown: Cooldown = Cooldown()
    freeze: tuple[Freeze, ...] = Field(default=(), max_length=50)
    breaker: Breaker | None = None
    lineage: Lineage | None = None
    """Left out in every file: an agent never reacts to what an agent did."""
    escalation: Escalation | None = None

    @model_validator(mode="after")
    def _distinct(self) -> "Rules":
        for noun, ids in (
            ("limit", [limit.id for limit in self.limits]),
            ("freeze", [freeze.id for freeze in self.freeze]),
        ):
            for name in ids:
                if ids.count(name) > 1:
                    raise ValueError(f"the {noun} id `{name}` is used twice")
        return self


class PersonRule(Section):
    """One person of people.yaml."""

    name: str = Field(min_length=1, max_length=100)
    slack: tuple[Annotated[str, Field(pattern=r"^[TE][A-Z0-9]{2,20}/[UW][A-Z0-9]{2,20}$")], ...] = ()
    """`<team id>/<user id>`, such as T0123ABC/U0456DEF."""
    logins: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = ()
    git: tuple[Annotated[str, Field(min_length=3, max_length=200)], ...] = ()


class PeopleRules(Section):
    """The content of people.yaml."""

    version: Literal[1]
    people: dict[Slug, PersonRule] = Field(max_length=500)
    groups: dict[Slug, tuple[Slug, ...]] = Field(max_length=100)
