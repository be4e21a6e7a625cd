"""Policy documents: YAML files of three layers and one of people, as frozen models with their lines.

`org.yaml` holds for everything, `repos/<repository>.yaml` and `agents/<agent>.yaml` for what they name,
`people.yaml` says who may be asked. Reading files is the caller's work: `parse` takes their texts.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field, ValidationError

from leverframe.model.errors import BadConfiguration
from leverframe.model.frozen import Frozen, Slug
from leverframe.model.ids import digest
from policies.located import Path, Unreadable, dotted, read
from policies.people import Group, Person, SlackAccount
from policies.rules import Layer, PeopleRules, Rules

_PLACE = re.compile(r"^(?:org|(?P<folder>repos|agents)/(?P<about>[a-z0-9][a-z0-9_.-]{0,62}))\.yaml$")
PEOPLE = "people.yaml"


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


class People(Frozen):
    """Who may be asked: people.yaml."""

    groups: tuple[Group, ...] = ()
    lines: dict[str, int] = Field(default_factory=dict)

    def group(self, name: str) -> Group | None:
        """The group of that name."""
        return next((group for group in self.groups if group.name == name), None)


class _Content(Frozen):
    documents: tuple[tuple[str, Rules], ...]
    groups: tuple[Group, ...]


class PolicySnapshot(Frozen):
    """Every document in force at one time."""

    digest: str
    """Names the rules, not their layout: a comment or a moved line changes nothing."""
    documents: tuple[PolicyDocument, ...] = Field(max_length=200)
    people: People = People()

    @classmethod
    def of(cls, documents: Iterable[PolicyDocument], people: People | None = None) -> "PolicySnapshot":
        """The snapshot of these documents, in the order of their names."""
        ordered = tuple(sorted(documents, key=lambda document: document.file))
        people = people or People()
        content = _Content(
            documents=tuple((document.file, document.rules) for document in ordered), groups=people.groups
        )
        return cls(digest=digest(content), documents=ordered, people=people)


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


def read_people(text: str) -> People | tuple[Problem, ...]:
    """people.yaml, or everything that is wrong with it."""
    try:
        data, lines = read(text)
    except Unreadable as error:
        return (_problem(error.line, error.message),)
    try:
        rules = PeopleRules.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        return tuple(
            _problem(nearest_line(lines, item["loc"]), f"{dotted(item['loc']) or 'document'}: {item['msg']}")
            for item in error.errors(include_url=False)
        )
    return _people(rules, lines)


def _people(rules: PeopleRules, lines: dict[str, int]) -> People | tuple[Problem, ...]:
    """Groups of people who exist, whose accounts are their own."""
    people = {
        principal: Person(
            principal=principal,
            name=person.name,
            slack=tuple(
                SlackAccount(team=team, user=user)
                for team, _, user in (account.partition("/") for account in person.slack)
            ),
            logins=person.logins,
            git=tuple(address.lower() for address in person.git),
        )
        for principal, person in rules.people.items()
    }
    problems = []
    owner: dict[str, Slug] = {}
    for principal, person in people.items():
        for account in sorted(person.accounts()):
            if account in owner:
                line = nearest_line(lines, ("people", principal))
                problems.append(_problem(line, f"{account} belongs to {owner[account]} already"))
            owner[account] = principal
    for name, members in rules.groups.items():
        for position, member in enumerate(members):
            if member not in people:
                line = nearest_line(lines, ("groups", name, position))
                problems.append(_problem(line, f"groups.{name}: there is nobody named {member}"))
            elif member in members[:position]:
                line = nearest_line(lines, ("groups", name, position))
                problems.append(_problem(line, f"groups.{name}: {member} is named twice"))
    if problems:
        return tuple(problems)
    groups = (
        Group(name=name, members=tuple(people[member] for member in members))
        for name, members in sorted(rules.groups.items())
    )
    return People(groups=tuple(groups), lines=lines)


def _problem(line: int, message: str) -> Problem:
    return Problem(file=PEOPLE, line=line, severity="error", message=message)


def parse(files: Mapping[str, str]) -> PolicySnapshot:
    """Every file, path relative to the policy directory → text, as one snapshot: all or nothing.

    Raises:
        BadConfiguration: with one line `file:line: what is wrong` for each problem.
    """
    documents: list[PolicyDocument] = []
    problems: list[Problem] = []
    people = People()
    for file, text in sorted(files.items()):
        if file == PEOPLE:
            found = read_people(text)
            if isinstance(found, People):
                people = found
            else:
                problems.extend(found)
            continue
        outcome = read_document(file, text)
        if isinstance(outcome, PolicyDocument):
            documents.append(outcome)
        else:
            problems.extend(outcome)
    if problems:
        raise BadConfiguration("the policies are wrong:\n  " + "\n  ".join(map(str, problems)))
    return PolicySnapshot.of(documents, people)
