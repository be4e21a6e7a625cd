"""How much the ledger keeps, and for how long: what a rule can still see, and bounds that fail closed.

The state has to fit into one message from one workflow run to the next (2 MB when packed, see `LedgerStart`).
"""

from datetime import datetime, timedelta

from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost
from policies.documents import PolicySnapshot
from policies.intent import Intent
from policies.protected import MAX_PATH
from policies.reservations import Entry, Phase, ShadowEntry
from policies.usage import Usage, Use

MEMORY = timedelta(days=1)
"""What has ended is remembered at least this long, so that a late retry finds it."""

PARKED_MEMORY = timedelta(hours=1)
"""A run that has not asked for so long waits no more."""

PARKED_ANEW = timedelta(minutes=10)
"""A parked run that asks again is recorded again after this long."""

OUTCOMES = 50
"""As many outcomes of an agent are kept for each breaker that looks at them, however old they are."""

MAX_ENTRIES = 5000
"""Reservations, and spent approvals: past this nothing is granted."""

MAX_FILES = 10_000
"""Files of differences that reservations list before their commit: past this nothing is granted."""

MAX_CARRIED = 1_400_000
"""Bytes of the state when packed: past this nothing is granted, and what is on its way has room to end."""

MAX_SUBJECTS = 1000
"""Subjects of one repository within the longest storm window: past this a new one gets nothing."""

MAX_SHADOWS = 1000
MAX_PARKED = 500


def horizon(snapshot: PolicySnapshot) -> timedelta:
    """How far back the rules can see an effect that has ended."""
    rules = [document.rules for document in snapshot.documents]
    spans = [limit.window for each in rules for limit in each.limits]
    spans += [each.cooldown.same_subject for each in rules]
    spans += [each.breaker.open_for for each in rules if each.breaker]
    return max([MEMORY, *(span for span in spans if span is not None)])


def question_memory(snapshot: PolicySnapshot) -> timedelta:
    """How long a question to people is remembered: as limits see it, and as a late retry finds it."""
    limits = [limit for document in snapshot.documents for limit in document.rules.limits]
    spans = [limit.window for limit in limits if limit.unit == "escalations" and limit.window]
    return max([MEMORY, *spans])


def run_of(reservation: str) -> str:
    """A reservation's id is `<run>/<step>`."""
    return reservation.rpartition("/")[0] or reservation


def ended(entry: Entry) -> datetime:
    """When it ended; what was written without it counts from its reservation."""
    return entry.ended_at or entry.reserved_at


def slim(intent: Intent) -> Intent:
    """Without what only an evaluation looks at: the list of files, the evidence, and who asked."""
    difference = intent.difference
    if difference is not None and difference.files:
        difference = difference.model_copy(update={"files": (), "omitted": difference.total_files})
    quarantine = intent.quarantine
    if quarantine is not None:
        quarantine = quarantine.model_copy(update={"paths": (), "markers": ()})
    update = {"difference": difference, "quarantine": quarantine, "evidence": (), "requesters": ()}
    return intent.model_copy(update=update)


def recordable(intent: Intent) -> Intent:
    """With long paths cut just beyond the bound: they are refused for their length all the same."""
    difference = intent.difference
    if difference is None or all(len(file.path) <= MAX_PATH for file in difference.files):
        return intent
    files = tuple(file.model_copy(update={"path": file.path[: MAX_PATH + 1]}) for file in difference.files)
    return intent.model_copy(update={"difference": difference.model_copy(update={"files": files})})


def use_of(entry: Entry) -> Use:
    """What the rules see of a reservation."""
    estimate = entry.intent.cost or Cost()
    actual = entry.actual or estimate
    return Use(
        agent=entry.intent.agent,
        repository=entry.intent.repository,
        service=entry.intent.service,
        subject=entry.intent.subject,
        lever=entry.intent.lever,
        at=entry.reserved_at,
        held=entry.open,
        cost=actual,
        tests=entry.intent.tests,
        outcome=entry.outcome,
        ended_at=entry.ended_at,
        overrun=entry.phase is Phase.SETTLED
        and (actual.cents > estimate.cents or actual.tokens > estimate.tokens),
    )


def shadow_use(shadow: ShadowEntry) -> Use:
    """What the shadow ledger's rules see: it holds its place until it is scored."""
    intent = shadow.intent
    held = shadow.matched is None
    done = Outcome.LANDED if shadow.matched else Outcome.SUPERSEDED
    return Use(
        agent=intent.agent,
        repository=intent.repository,
        service=intent.service,
        subject=intent.subject,
        lever=intent.lever,
        at=shadow.at,
        held=held,
        cost=intent.cost or Cost(),
        tests=intent.tests,
        outcome=None if held else done,
        ended_at=shadow.scored_at,
    )


def subjects_full(usage: Usage, intent: Intent, now: datetime) -> bool:
    """Whether one more subject of the repository is more than storms can be counted by."""
    storms = [document.rules.storm for document in usage.snapshot.documents]
    windows = [storm.window for storm in storms if storm is not None and storm.window is not None]
    if not windows:
        return False
    known = usage.subjects(intent.repository, now - max(windows))
    return len(known) >= MAX_SUBJECTS and all(key != (intent.service, intent.subject) for _, key in known)
