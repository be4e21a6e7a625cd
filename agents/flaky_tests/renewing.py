"""Quarantines that are about to expire while their tests are as flaky as ever: a person is asked, once."""

from datetime import date, timedelta

from agents.flaky_tests.admission import denied
from leverframe.model.proposals import Amending
from leverframe.model.quarantine import FlakyFacts, FlakyFinding, QuarantineCaps, Quarantined

ASKED_BEFORE = timedelta(days=3)
"""So long before an entry expires people are asked whether to renew it."""
ASKED_AFTER = timedelta(days=7)
"""An expired entry, which hides nothing, stays so long in the file until the question can be asked."""


def renewals(facts: FlakyFacts, caps: QuarantineCaps, today: date) -> tuple[Amending, ...]:
    """Entries to ask about now, as many as one change may have; those that expire first go first."""
    return due(facts, caps, today)[: caps.per_change]


def due(facts: FlakyFacts, caps: QuarantineCaps, today: date) -> tuple[Amending, ...]:
    """All entries to ask about."""
    full = len(facts.file.entries) * 1_000_000 > caps.share_ppm * facts.tests
    if not caps.renewals or not caps.per_change or full:
        return ()
    flaky = {finding.test: finding for finding in facts.findings if finding.kind == "flaky"}
    told = set(facts.in_flight) | {story.test for story in facts.stories if story.asked}
    times = {story.test: story.renewed for story in facts.stories}
    until = today + timedelta(days=caps.days)
    return tuple(
        _renewed(entry, flaky[entry.test], times.get(entry.test, 0), today, until)
        for entry in sorted(facts.file.entries, key=lambda entry: (entry.expires, entry.test.stored()))
        if today - ASKED_AFTER < entry.expires <= today + ASKED_BEFORE
        and entry.expires < until
        and entry.test in flaky
        and entry.test not in told
        and not denied(flaky[entry.test].model_copy(update={"owner": entry.owner}), caps)
    )


def last_word(facts: FlakyFacts, entry: Quarantined) -> str:
    """What people said of an entry that expired, as far as they were asked."""
    asked = any(story.asked and story.test == entry.test for story in facts.stories)
    return "people were asked, and did not renew it" if asked else "its owner decides"


def _renewed(entry: Quarantined, finding: FlakyFinding, times: int, today: date, until: date) -> Amending:
    """Until a later day, on what is known now. What it hides stays what it was."""
    later = {
        "expires": until,
        "evidence": finding.evidence,
        "executions": finding.executions,
        "link": entry.link or finding.link,
    }
    return Amending(
        was=entry,
        entry=entry.model_copy(update=later),
        on=today,
        path=finding.path,
        markers=finding.markers,
        strength=finding.strength,
        renewed=times,
    )
