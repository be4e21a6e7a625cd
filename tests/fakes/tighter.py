"""Every way to make one number of a policy file stricter."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from policies.documents import PolicyDocument
from policies.rules import Autonomy


def tightened(document: PolicyDocument) -> Iterator[PolicyDocument]:
    """The document once for each number in it, with that number made stricter."""
    for section, name, value in _numbers(document):
        changed = section.model_copy(update={name: value})
        yield _replaced(document, section, changed)


def _numbers(document: PolicyDocument) -> Iterator[tuple[BaseModel, str, object]]:
    rules = document.rules
    lower = Autonomy.OBSERVE if rules.autonomy is Autonomy.PROPOSE else Autonomy.ACT_WITH_APPROVAL
    yield rules, "autonomy", min(rules.autonomy, lower, key=lambda level: level.rank)
    for limit in rules.limits:
        yield limit, "max", _less(limit.max)
        yield from ((limit, "window", limit.window * 2) for _ in [0] if limit.window)
    for lever in (rules.levers.flip_flag, rules.levers.roll_back, rules.levers.open_merge_request):
        if lever is not None and lever.min_evidence:
            yield lever, "min_evidence", {name: least + 10 for name, least in lever.min_evidence.items()}
    merge = rules.levers.open_merge_request
    if merge is not None and merge.diff is not None:
        yield merge.diff, "max_files", _less(merge.diff.max_files)
        yield merge.diff, "max_lines", _less(merge.diff.max_lines)
    if rules.storm is not None:
        if rules.storm.window is not None:
            yield rules.storm, "max_subjects", _less(rules.storm.max_subjects)
            yield rules.storm, "window", rules.storm.window * 2
        if rules.storm.max_affected_percent is not None:
            yield rules.storm, "max_affected_percent", rules.storm.max_affected_percent // 2
            yield rules.storm, "min_affected", rules.storm.min_affected // 2
    for name in ("same_subject", "after_rejection"):
        span = getattr(rules.cooldown, name)
        yield rules.cooldown, name, span * 2 if span else timedelta(minutes=30)
    for freeze in rules.freeze:
        yield from ((freeze, "duration", freeze.duration * 2) for _ in [0] if freeze.duration)
        yield from ((freeze, "until", freeze.until + timedelta(hours=1)) for _ in [0] if freeze.until)
    if rules.breaker is not None:
        yield rules.breaker, "bad", max(1, rules.breaker.bad - 1)
        yield rules.breaker, "of_last", rules.breaker.of_last + 2
        yield rules.breaker, "open_for", rules.breaker.open_for * 3
        yield rules.breaker, "probe", max(1, rules.breaker.probe - 1)
    if rules.lineage is not None:
        yield rules.lineage, "max_depth", max(0, rules.lineage.max_depth - 1)
    if rules.escalation is not None:
        yield rules.escalation, "quorum", rules.escalation.quorum + 1
        yield rules.escalation, "expires_after", rules.escalation.expires_after / 2


def _less(most: int | str | None) -> int:
    return max(0, most - 1) if isinstance(most, int) else 2


def _replaced(document: PolicyDocument, section: BaseModel, changed: BaseModel) -> PolicyDocument:
    def walk(value: Any) -> Any:
        if value is section:
            return changed
        if isinstance(value, tuple):
            return tuple(walk(each) for each in value)
        if isinstance(value, BaseModel):
            return value.model_copy(update={name: walk(each) for name, each in value})
        return value

    return document.model_copy(update={"rules": walk(document.rules)})
