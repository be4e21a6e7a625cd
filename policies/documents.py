"""Policy documents: YAML files of three layers, as frozen models that remember their lines.

`org.yaml` holds for everything, `repos/<repository>.yaml` and `agents/<agent>.yaml` for what they name.
Reading files is the caller's work: `parse` takes their texts.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from leverframe.model.errors import BadConfiguration
from leverframe.model.frozen import Frozen, Slug
from leverframe.model.ids import digest
from leverframe.model.proposals import Lever
from policies.decision import Verdict
from policies.located import Path, Unreadable, dotted, read

MAX_WINDOW = timedelta(days=31)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"^([1-9][0-9]{0,8})([smhd])$")
_PLACE = re.compile(r"^(?:org|(?P<folder>repos|agents)/(?P<about>[a-z0-9][a-z0-9_.-]{0,62}))\.yaml$")

Layer = Literal["org", "repo", "agent"]
Scope = Literal["agent", "repo", "subject"]
Direction = Literal["to_off", "to_on"]


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
]


class Section(Frozen):
    """A part of a document. No value is converted: `"2"` is not a number and `yes` is not a boolean."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FlagNames(Section):
    """Which flags, by shell-style patterns. A flag must match `allow` and must not match `deny`."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class LeverRule(Section):
    """One lever that the document allows at all."""

    autonomy: Autonomy | None = None
    """Lowers the document's level for this lever; left out, the document's level holds."""


class FlipFlagRule(LeverRule):
    """Flipping flags. A direction or a flag that is not named is denied."""

    direction: dict[Direction, Autonomy] = Field(default_factory=dict)
    flags: FlagNames = FlagNames()


class Levers(Section):
    """A closed world: a lever that is absent is denied."""

    flip_flag: FlipFlagRule | None = None
    roll_back: LeverRule | None = None
    open_merge_request: LeverRule | None = None

    def rule(self, lever: Lever) -> LeverRule | None:
        """The rule of one lever, or None when the document denies it."""
        rules = {
            Lever.FLIP_FLAG: self.flip_flag,
            Lever.ROLL_BACK: self.roll_back,
            Lever.OPEN_MERGE_REQUEST: self.open_merge_request,
        }
        return rules[lever]


class Limit(Section):
    """A cap on effects: so many within a sliding window, or so many unsettled at once."""

    id: Slug
    scope: tuple[Scope, ...] = ()
    """Effects count together when these agree; none: everything the document is about counts together."""
    levers: tuple[Lever, ...] = Field(default=tuple(Lever), min_length=1)
    max: Annotated[int, Field(ge=0)] | Literal["unlimited"]
    window: Duration | None = None
    hold: Literal["until_settled"] | None = None
    on_exceed: Literal["deny", "escalate"] = "deny"

    @model_validator(mode="after")
    def _one_kind(self) -> "Limit":
        if (self.window is None) == (self.hold is None):
            raise ValueError("give exactly one of `window` and `hold`")
        return self


class Escalation(Section):
    """How people lift an escalation."""

    quorum: int = Field(ge=1, le=10)
    """How many different people must say yes."""
    expires_after: Duration


class Rules(Section):
    """The content of one file."""

    version: Literal[1]
    layer: Layer
    autonomy: Autonomy
    kill_switch: bool
    """True: nothing that the document is about may be reserved or committed."""
    levers: Levers = Levers()
    limits: tuple[Limit, ...] = Field(default=(), max_length=50)
    escalation: Escalation | None = None

    @model_validator(mode="after")
    def _distinct_limits(self) -> "Rules":
        ids = [limit.id for limit in self.limits]
        for name in ids:
            if ids.count(name) > 1:
                raise ValueError(f"the limit id `{name}` is used twice")
        return self


class PolicyDocument(Frozen):
    """One file: what it says, what it is about, and where each rule stands."""

    file: str
    """Relative to the policy directory: `org.yaml`, `repos/shop.yaml`, `agents/sentry_spike.yaml`."""
    about: str | None = None
    """The repository or agent it is about; None for the organisation."""
    rules: Rules
    lines: dict[str, int] = Field(default_factory=dict)
    """Dotted path → line, counted from 1."""

    @property
    def name(self) -> str:
        """`org`, `repos.shop`, `agents.sentry_spike`: the first part of its rules' names."""
        return self.file.removesuffix(".yaml").replace("/", ".")

    def source(self, *path: str | int) -> str:
        """`agents/sentry_spike.yaml:14`: where the rule stands, or the nearest part around it."""
        return f"{self.file}:{nearest_line(self.lines, path)}"


class _Content(Frozen):
    documents: tuple[tuple[str, Rules], ...]


class PolicySnapshot(Frozen):
    """Every document in force at one time."""

    digest: str
    """Names the rules, not their layout: a comment or a moved line changes nothing."""
    documents: tuple[PolicyDocument, ...] = Field(max_length=200)

    @classmethod
    def of(cls, documents: Iterable[PolicyDocument]) -> "PolicySnapshot":
        """The snapshot of these documents, in the order of their names."""
        ordered = tuple(sorted(documents, key=lambda document: document.file))
        content = _Content(documents=tuple((document.file, document.rules) for document in ordered))
        return cls(digest=digest(content), documents=ordered)


NO_POLICY = PolicySnapshot.of(())
"""Nothing is installed, so nothing is allowed."""


class Problem(Frozen):
    """One thing that a person should look at in a policy file."""

    file: str
    line: int
    severity: Literal["error", "warning"]
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def nearest_line(lines: Mapping[str, int], path: Path) -> int:
    """The line of the longest known beginning of the path."""
    known = (lines.get(dotted(path[:length])) for length in range(len(path), -1, -1))
    return next((line for line in known if line is not None), 1)


def read_document(file: str, text: str) -> PolicyDocument | tuple[Problem, ...]:
    """One file as a document, or everything that is wrong with it."""

    def problem(line: int, message: str) -> Problem:
        return Problem(file=file, line=line, severity="error", message=message)

    place = _PLACE.match(file)
    if place is None:
        return (problem(1, "policies are org.yaml, repos/<repository>.yaml and agents/<agent>.yaml"),)
    try:
        data, lines = read(text)
    except Unreadable as error:
        return (problem(error.line, error.message),)
    try:
        # JSON, because strict models take its lists as tuples and its words as enumerations.
        rules = Rules.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        return tuple(
            problem(nearest_line(lines, item["loc"]), f"{dotted(item['loc']) or 'document'}: {item['msg']}")
            for item in error.errors(include_url=False)
        )
    folder: Mapping[str | None, Layer] = {None: "org", "repos": "repo", "agents": "agent"}
    expected = folder[place["folder"]]
    if rules.layer != expected:
        line = nearest_line(lines, ("layer",))
        return (problem(line, f"layer: the file's place says `{expected}`, not `{rules.layer}`"),)
    return PolicyDocument(file=file, about=place["about"], rules=rules, lines=lines)


def parse(files: Mapping[str, str]) -> PolicySnapshot:
    """Every file, path relative to the policy directory → text, as one snapshot: all or nothing.

    Raises:
        BadConfiguration: with one line `file:line: what is wrong` for each problem.
    """
    documents: list[PolicyDocument] = []
    problems: list[Problem] = []
    for file, text in sorted(files.items()):
        outcome = read_document(file, text)
        if isinstance(outcome, PolicyDocument):
            documents.append(outcome)
        else:
            problems.extend(outcome)
    if problems:
        raise BadConfiguration("the policies are wrong:\n  " + "\n  ".join(map(str, problems)))
    return PolicySnapshot.of(documents)
