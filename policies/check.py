"""The check: what a person should know about policy files before they are installed.

Errors keep the files from being installed. A warning is a rule that is legal and probably not meant: one that
can never bite, that another file makes void, or that stops more than its author thinks.
"""

from collections.abc import Iterator, Mapping

from cronsim import CronSim

from leverframe.model.differences import FileDelta
from leverframe.model.proposals import Lever
from policies.calendar import thaw
from policies.comparison import across
from policies.documents import PolicyDocument, Problem, load, warning
from policies.notation import ANY_TIME
from policies.protected import PROTECTED
from policies.rules import Autonomy, FlipFlagRule, Freeze, LeverRule, OpenMergeRequestRule


def check(files: Mapping[str, str]) -> tuple[Problem, ...]:
    """Every problem, by file and line."""
    snapshot, errors = load(files)
    problems = [*errors, *across(snapshot)]
    for document in snapshot.documents:
        problems.extend(_suspicious(document))
    if "org.yaml" not in files:
        message = "the file is missing, so nothing is allowed"
        problems.append(Problem(file="org.yaml", line=1, severity="error", message=message))
    return tuple(sorted(problems, key=lambda each: (each.file, each.line, each.severity, each.message)))


def _suspicious(document: PolicyDocument) -> Iterator[Problem]:
    """Rules of one file that are probably not meant."""
    rules = document.rules
    listed = [lever for lever in Lever if rules.levers.rule(lever) is not None]
    if not listed:
        yield warning(document, "no lever is listed, so every lever is denied", "levers")
    if rules.kill_switch:
        yield warning(document, "the kill switch is on", "kill_switch")
    for lever in listed:
        rule = rules.levers.rule(lever)
        if rule is not None:
            yield from _lever(document, rule, "levers", lever.value)
    for position, limit in enumerate(rules.limits):
        if not set(limit.levers) & set(listed):
            yield warning(document, f"the limit {limit.id} counts only denied levers", "limits", position)
        if limit.max == "unlimited":
            yield warning(
                document, f"the limit {limit.id} is unlimited: it stops nothing", "limits", position
            )
    for position, freeze in enumerate(rules.freeze):
        if listed and set(freeze.except_levers) >= set(listed):
            message = f"the freeze {freeze.id} excepts every lever that is listed: it stops nothing"
            yield warning(document, message, "freeze", position)
        if _never_ends(freeze):
            message = f"the freeze {freeze.id} never ends: its next occurrence begins before one is over"
            yield warning(document, message, "freeze", position)


def _lever(document: PolicyDocument, rule: LeverRule, *path: str) -> Iterator[Problem]:
    level = document.rules.autonomy
    yield from _above(document, rule.autonomy, level, *path, "autonomy")
    if rule.autonomy is not None and rule.autonomy.rank < level.rank:
        level = rule.autonomy
    if isinstance(rule, FlipFlagRule):
        if not rule.flags.allow:
            yield warning(document, "no flag is allowed, so every flip is denied", *path, "flags")
        if not rule.direction:
            yield warning(document, "no direction is allowed, so every flip is denied", *path)
        for direction, own in rule.direction.items():
            yield from _above(document, own, level, *path, "direction", direction)
        yield from _void(document, rule.flags.allow, rule.flags.deny, "*", *path, "flags")
    if isinstance(rule, OpenMergeRequestRule):
        yield from _void(document, rule.paths.allow or (), rule.paths.deny, "**", *path, "paths")
        for position, glob in enumerate(rule.paths.allow or ()):
            name = _protection(glob)
            if name is not None:
                message = f"{glob} is protected everywhere ({name}): no file can allow it"
                yield warning(document, message, *path, "paths", "allow", position)


def _above(document: PolicyDocument, own: Autonomy | None, level: Autonomy, *path: str) -> Iterator[Problem]:
    """A level can only be lowered."""
    if own is not None and own.rank > level.rank:
        yield warning(document, f"{own.value} has no effect: the level above it is {level.value}", *path)


def _void(
    document: PolicyDocument, allow: tuple[str, ...], deny: tuple[str, ...], everything: str, *path: str
) -> Iterator[Problem]:
    """Patterns that are allowed and denied at once."""
    if everything in deny:
        position = deny.index(everything)
        yield warning(document, f"{everything} denies everything", *path, "deny", position)
        return
    for position, glob in enumerate(allow):
        if glob in deny:
            yield warning(document, f"{glob} is denied, too: it allows nothing", *path, "allow", position)


def _protection(glob: str) -> str | None:
    """The protection that covers what the glob is plainly about, or None."""
    example = glob.replace("**", "x").replace("*", "x").replace("?", "x")
    file = FileDelta(
        path=example, change="modified", old_mode="100644", new_mode="100644", added=1, removed=0
    )
    return next((protection.name for protection in PROTECTED if protection.covers(file)), None)


def _never_ends(freeze: Freeze) -> bool:
    """Whether no end can be found from its first occurrence on."""
    if freeze.cron is None:
        return False
    begins = next(CronSim(freeze.cron, ANY_TIME))
    return thaw(freeze.model_copy(update={"tz": "UTC"}), begins) is None
