"""Policy documents: YAML files of three layers and one of people, as frozen models with their lines.

`org.yaml` holds for everything, `repos/<repository>.yaml` and `agents/<agent>.yaml` for what they name,
`people.yaml` says who may be asked. Reading files is the caller's work: `parse` takes their texts.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Literal

from pydantic import Field, ValidationError

from leverframe.model.errors import BadConfiguration
from leverframe.model.frozen import Frozen, Slug
from leverframe.model.ids import digest
from policies.located import Path, Unreadable, dotted, read
from policies.people import Group, Person, Principal, SlackAccount
from policies.rules import Layer, PeopleRules, Rules

_PLACE = re.compile(r"^(?:org|(?P<folder>repos|agents)/(?P<about>[a-z0-9][a-z0-9_.-]{0,62}))\.yaml$")
_WORDS = {
    "missing": "it is required, and missing",
    "extra_forbidden": "there is no such key",
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "string_type": "write a text; numbers and dates need quotes to be one",
    "model_type": "write keys and values",
    "dict_type": "write keys and values",
    "tuple_type": "write a list",
}
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

    def members(self, names: Iterable[str]) -> frozenset[Principal]:
        """Everybody in these groups; a group that does not exist has nobody."""
        return frozenset(
            person.principal for name in names if (group := self.group(name)) for person in group.members
        )


class _Content(Frozen):
    documents: tuple[tuple[str, Rules], ...]
    groups: tuple[Group, ...]


MAX_DOCUMENTS = 200


class PolicySnapshot(Frozen):
    """Every document in force at one time."""

    digest: str
    """Names the rules, not their layout: a comment or a moved line changes nothing."""
    documents: tuple[PolicyDocument, ...] = Field(max_length=MAX_DOCUMENTS)
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


def warning(document: PolicyDocument, message: str, *path: str | int) -> Problem:
    """A remark on a rule of a document that can be used."""
    line = nearest_line(document.lines, path)
    return Problem(file=document.file, line=line, severity="warning", message=message)


@lru_cache(maxsize=64)
def read_document(file: str, text: str) -> PolicyDocument | tuple[Problem, ...]:
    """One file as a document, or everything that is wrong with it. An unchanged file is not read again."""

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
        return tuple(_complaints(file, lines, error))
    folder: Mapping[str | None, Layer] = {None: "org", "repos": "repo", "agents": "agent"}
    expected = folder[place["folder"]]
    if rules.layer != expected:
        line = nearest_line(lines, ("layer",))
        return (problem(line, f"layer: the file's place says `{expected}`, not `{rules.layer}`"),)
    return PolicyDocument(file=file, about=place["about"], rules=rules, lines=lines)


@lru_cache(maxsize=8)
def read_people(text: str) -> People | tuple[Problem, ...]:
    """people.yaml, or everything that is wrong with it. Remembered as documents are."""
    try:
        data, lines = read(text)
    except Unreadable as error:
        return (_problem(error.line, error.message),)
    try:
        rules = PeopleRules.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        return tuple(_complaints(PEOPLE, lines, error))
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


def _complaints(file: str, lines: Mapping[str, int], error: ValidationError) -> Iterator[Problem]:
    """What the models refuse, in words for the person who wrote the file."""
    for item in error.errors(include_url=False):
        # The mark of a key that is refused, not a part of the file.
        path: Path = tuple(part for part in item["loc"] if part != "[key]")
        words = _WORDS.get(item["type"]) or item["msg"].removeprefix("Value error, ")
        words = words.replace("Input should be", "it should be")
        place = dotted(path) or "document"
        yield Problem(
            file=file, line=nearest_line(lines, path), severity="error", message=f"{place}: {words}"
        )


def approver_problems(documents: Sequence[PolicyDocument], people: People) -> Iterator[Problem]:
    """Approvers who can't be: groups that people.yaml does not have, and files that agree on nobody.

    Groups without members are left out: they say that nobody is named yet, not that files disagree.
    """
    naming = [
        document
        for document in documents
        if document.rules.escalation is not None and document.rules.escalation.approvers
    ]
    for document in naming:
        for position, name in enumerate(_approvers(document)):
            if people.group(name) is None:
                yield _about_approvers(document, f"people.yaml has no group {name}", position)
    allowed = {document.file: people.members(_approvers(document)) for document in naming}
    orgs, repos, agents = (
        [document for document in naming if document.rules.layer == layer and allowed[document.file]]
        for layer in ("org", "repo", "agent")
    )
    told: set[str] = set()
    for org, repo, agent in product(orgs or (None,), (None, *repos), (None, *agents)):
        together = [document for document in (org, repo, agent) if document is not None]
        if not together or any(document.file in told for document in together):
            continue
        if not frozenset.intersection(*(allowed[document.file] for document in together)):
            *above, last = together
            told.add(last.file)
            others = " and ".join(document.file for document in above)
            yield _about_approvers(last, f"nobody is allowed both here and by {others}")


def _approvers(document: PolicyDocument) -> tuple[str, ...]:
    return document.rules.escalation.approvers if document.rules.escalation else ()


def _about_approvers(document: PolicyDocument, message: str, *at: int) -> Problem:
    line = nearest_line(document.lines, ("escalation", "approvers", *at))
    return Problem(
        file=document.file, line=line, severity="error", message=f"escalation.approvers: {message}"
    )


def load(files: Mapping[str, str]) -> tuple[PolicySnapshot, tuple[Problem, ...]]:
    """Every file that can be read, and everything that is wrong: with a problem, nothing may be installed."""
    documents: list[PolicyDocument] = []
    problems: list[Problem] = []
    people = People()
    for file, text in sorted(files.items()):
        found = read_people(text) if file == PEOPLE else read_document(file, text)
        match found:
            case People():
                people = found
            case PolicyDocument():
                documents.append(found)
            case _:
                problems.extend(found)
    if len(documents) > MAX_DOCUMENTS:
        message = f"there are {len(documents)} files; at most {MAX_DOCUMENTS} are kept together"
        problems.append(
            Problem(file=documents[MAX_DOCUMENTS].file, line=1, severity="error", message=message)
        )
    # Without a people.yaml nobody may be asked, which is for the check to remark; a broken one is told above.
    if PEOPLE in files and not any(problem.file == PEOPLE for problem in problems):
        problems.extend(approver_problems(documents, people))
    return PolicySnapshot.of(documents[:MAX_DOCUMENTS], people), tuple(problems)


def parse(files: Mapping[str, str]) -> PolicySnapshot:
    """Every file, path relative to the policy directory → text, as one snapshot: all or nothing.

    Raises:
        BadConfiguration: with one line `file:line: what is wrong` for each problem.
    """
    snapshot, problems = load(files)
    if problems:
        raise BadConfiguration("the policies are wrong:\n  " + "\n  ".join(map(str, problems)))
    return snapshot
