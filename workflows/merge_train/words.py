"""Why a change left the train, in words and as a typed reason. Pure; text from outside means nothing here."""

import html
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from temporalio.exceptions import ActivityError, ApplicationError

from leverframe.model.changes import CarEjected, CheckResult
from leverframe.model.trains import AuditReport, Evidence, Freeze
from leverframe.model.untrusted import Untrusted
from workflows.merge_train.lane import Eject
from workflows.merge_train.queue import Queued
from workflows.merge_train.state import LOG_SHOWN, Dev, Testing

SHOWN = 5


FROZEN = {
    "drain": "what is queued still lands, nothing new is taken",
    "hold_landing": "cars are tested, none lands",
    "hotfix_only": "only hotfixes are tested and land",
}


EVIDENCE: Mapping[Evidence, str] = MappingProxyType(
    {
        "exact": "every check passed on this very commit",
        "covered": "every check passed on the last commit of its batch",
        "composed": "every check passed before another lane landed, which it does not build from",
        "override": "with fewer checks, as two people wanted",
        "native": "the forge's own queue landed it, and the audit saw the same tree",
    }
)
"""What a receipt proves, in words."""


def plain(detail: str) -> tuple[str, str]:
    """What a detail says, and the log below it, as text in which nothing is Markdown."""
    sentence, _, block = detail.partition("\n\n")
    shown = re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", sentence.replace("\u2060", ""))
    return html.unescape(shown), "\n".join(block.splitlines()[1:-1])


def left(item: Queued, why: Literal["withdrawn", "head_moved"]) -> CarEjected:
    """Somebody took it off, or a newer head took its place."""
    said = {
        "withdrawn": "The change was withdrawn; enqueue it again to land it.",
        "head_moved": f"A newer head was enqueued, so {item.head[:12]} gives way to it; nothing to do.",
    }
    return CarEjected(change=item.change, reason=why, detail=said[why])


def verdict(item: Queued, car: Testing, said: Eject, partners: tuple[str, ...]) -> CarEjected:
    """What the planner decided, in words for the author."""
    if said.reason == "conflict":
        return _conflict(item, car)
    if said.reason == "check_inconclusive":
        return _unproven(item, car)
    return _red(item, car, said.reason, partners)


def trial(change: str, sha: str, checks: Sequence[str], results: Sequence[CheckResult]) -> str:
    """The page of one test as Markdown: what each check said, then the logs of what is not green."""
    known = {result.check: result for result in results}
    lines = [f"## {Untrusted(change).for_markdown(80)} as `{sha[:12]}`"]
    for check in checks:
        result = known.get(check)
        if result is None:
            lines.append(f"- {check}: runs")
            continue
        said = "" if result.outcome == "passed" else f": {Untrusted(result.summary).for_markdown()}"
        lines.append(f"- {check}: **{result.outcome}** in {result.seconds:.0f} s{said}")
    return "\n".join(lines) + "".join(_log(result) for result in results if result.outcome != "passed")


def refused(item: Queued, error: ActivityError) -> CarEjected:
    """The forge says no for good."""
    kind, message = cause_of(error)
    said = Untrusted(message).for_markdown(500)
    detail = f"The forge refuses this change ({kind}): {said}. Mend that and enqueue the change again."
    return CarEjected(change=item.change, reason="refused", detail=detail)


def cause_of(error: ActivityError) -> tuple[str, str]:
    """The error class and the words of what failed."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return cause.type or "ApplicationError", cause.message
    return type(cause).__name__, str(cause or error)


def frozen(freeze: Freeze) -> str:
    """The freeze as a sentence."""
    until = f"until {_time(freeze.until)}" if freeze.until else "until somebody thaws it"
    owner, reason = Untrusted(freeze.owner).for_markdown(100), Untrusted(freeze.reason).for_markdown(500)
    return f"Frozen by {owner} {until}: {FROZEN[freeze.mode]}. Why: {reason}"


def of_dev(dev: Dev) -> str:
    """What dev has that the target has not, and what is done about it."""
    change, sha = Untrusted(dev.change).for_markdown(80), dev.sha[:12]
    if dev.state == "applying":
        return f"Dev is being shown {change} as {sha}."
    if dev.state == "shown":
        return f"Dev has {change} as {sha}, which is about to land."
    if dev.state == "healing":
        said = f"Dev had {change} as {sha} and is being put back to the target."
    else:
        again = f"; the next attempt is at {_time(dev.retry_at)}" if dev.retry_at else ""
        said = f"Dev has {change} as {sha}, which has not landed, and is to be put back{again}."
    if dev.failed_heals:
        why = Untrusted(dev.why).for_markdown(300)
        said += (
            f" That failed {dev.failed_heals} times: {why}. When dev is well, a person may say so: "
            "`leverframe train vouch-dev`."
        )
    return said


def audit_alarm(repository: str, report: AuditReport) -> str:
    """What an audit found, for people: the target is not what the receipts say."""
    lines = [
        f"The audit of {repository} found {len(report.findings)} thing(s) on {report.target} that no receipt "
        "proves:"
    ]
    for finding in report.findings[:SHOWN]:
        said = Untrusted(finding.detail).for_terminal(500)
        lines.append(f"- {finding.kind} at {finding.sha[:12]}: {said}")
        if finding.difference:
            lines += [
                f"    {line}" for line in Untrusted(finding.difference).for_terminal(1500).splitlines()[:12]
            ]
    if len(report.findings) > SHOWN:
        lines.append(f"- and {len(report.findings) - SHOWN} more: `leverframe train audit` shows them")
    return "\n".join(lines)


def _conflict(item: Queued, car: Testing) -> CarEjected:
    if not car.conflict:
        detail = "The target already contains everything in this change; close it."
        return CarEjected(change=item.change, reason="empty", detail=detail)
    shown = ", ".join(Untrusted(path).for_markdown() for path in car.conflict[:SHOWN])
    more = f" and {len(car.conflict) - SHOWN} more" if len(car.conflict) > SHOWN else ""
    detail = (
        f"The change conflicts with {car.base[:12]} in {shown}{more}. "
        "Merge the target into its branch and enqueue the new head."
    )
    return CarEjected(change=item.change, reason="conflict", detail=detail)


def _red(
    item: Queued, car: Testing, reason: Literal["check_failed", "incompatible"], partners: tuple[str, ...]
) -> CarEjected:
    last = car.red
    if last is None or car.facts is None:
        raise AssertionError(f"{item.change} is judged without a red check")
    where = f"{car.facts.sha[:12]} ({item.head[:12]} composed onto {car.base[:12]})"
    times = "once" if car.failed_runs == 1 else f"{car.failed_runs} times"
    detail = f"Check {last.check} failed {times} on {where}: {Untrusted(last.summary).for_markdown()}. "
    if reason == "incompatible":
        named = ", ".join(Untrusted(partner).for_markdown(80) for partner in partners)
        detail += (
            f"By itself the change was green; it does not go together with {named or 'what landed since'}. "
        )
        detail += "Merge the target into its branch, mend it and enqueue the new head."
    else:
        detail += "Push a fix and enqueue the new head."
    return CarEjected(change=item.change, reason=reason, detail=detail + _log(last), conflicts_with=partners)


def _unproven(item: Queued, car: Testing) -> CarEjected:
    last = car.silent
    if last is None or car.facts is None:
        raise AssertionError(f"{item.change} is judged without a silent check")
    detail = (
        f"Check {last.check} gave no verdict on {car.facts.sha[:12]} in {car.inconclusive_runs} runs: "
        f"{Untrusted(last.summary).for_markdown()}. Nothing says that the change is at fault; "
        "enqueue it again once the runner is well."
    )
    return CarEjected(change=item.change, reason="check_inconclusive", detail=detail + _log(last))


def _log(run: CheckResult) -> str:
    """The end of the output as a block of Markdown; what it says is data."""
    if not run.log:
        return ""
    return f"\n\n{Untrusted(run.log[-LOG_SHOWN:]).for_markdown_block(LOG_SHOWN)}"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
