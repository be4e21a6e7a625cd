"""The check: what a person should know about policy files before they are installed."""

from collections.abc import Iterator, Mapping, Sequence

from leverframe.model.proposals import Lever
from policies.decision import Verdict
from policies.documents import Autonomy, FlipFlagRule, PolicyDocument, Problem, nearest_line, read_document


def check(files: Mapping[str, str]) -> tuple[Problem, ...]:
    """Every problem, by file and line. Errors keep the files from being installed, warnings don't."""
    documents: list[PolicyDocument] = []
    problems: list[Problem] = []
    for file, text in files.items():
        outcome = read_document(file, text)
        if isinstance(outcome, PolicyDocument):
            documents.append(outcome)
            problems.extend(_suspicious(outcome))
        else:
            problems.extend(outcome)
    if "org.yaml" not in files:
        problems.append(
            Problem(
                file="org.yaml",
                line=1,
                severity="error",
                message="the file is missing, so nothing is allowed",
            )
        )
    problems.extend(_across(documents))
    return tuple(sorted(problems, key=lambda problem: (problem.file, problem.line, problem.message)))


def _suspicious(document: PolicyDocument) -> Iterator[Problem]:
    """Rules of one file that are legal and probably not meant."""
    rules = document.rules
    listed = [lever for lever in Lever if rules.levers.rule(lever) is not None]
    if not listed:
        yield _warning(document, "no lever is listed, so every lever is denied", "levers")
    if rules.kill_switch:
        yield _warning(document, "the kill switch is on", "kill_switch")
    flip = rules.levers.flip_flag
    if flip is not None and not flip.flags.allow:
        yield _warning(
            document, "no flag is allowed, so every flip is denied", "levers", "flip_flag", "flags"
        )
    if flip is not None and not flip.direction:
        yield _warning(document, "no direction is allowed, so every flip is denied", "levers", "flip_flag")
    for position, limit in enumerate(rules.limits):
        if not set(limit.levers) & set(listed):
            yield _warning(document, f"the limit {limit.id} counts only denied levers", "limits", position)


def _across(documents: Sequence[PolicyDocument]) -> Iterator[Problem]:
    """What one file says and the organisation's file makes void."""
    org = next((document for document in documents if document.rules.layer == "org"), None)
    if org is None:
        return
    if org.rules.escalation is None and any(_asks_people(document) for document in documents):
        yield _warning(org, "nobody can be asked: without `escalation` what asks people is denied")
    for document in documents:
        for lever in Lever:
            rule, above = document.rules.levers.rule(lever), org.rules.levers.rule(lever)
            if document is not org and rule is not None and above is None:
                message = f"{lever.value} is denied anyway: {org.file} does not list it"
                yield _warning(document, message, "levers", lever.value)


def _asks_people(document: PolicyDocument) -> bool:
    rules = [document.rules.levers.rule(lever) for lever in Lever]
    levels: list[Autonomy | None] = [document.rules.autonomy, *(rule.autonomy for rule in rules if rule)]
    for rule in rules:
        if isinstance(rule, FlipFlagRule):
            levels.extend(rule.direction.values())
    return any(level is not None and level.verdict is Verdict.ESCALATE for level in levels) or any(
        limit.on_exceed == "escalate" for limit in document.rules.limits
    )


def _warning(document: PolicyDocument, message: str, *path: str | int) -> Problem:
    line = nearest_line(document.lines, path)
    return Problem(file=document.file, line=line, severity="warning", message=message)
