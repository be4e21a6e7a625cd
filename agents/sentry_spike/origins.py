"""Who is behind the trouble: people, who then must not decide on its repair, and agents' runs.

An agent that reacts to what an agent did is one step of a loop; the lineage lets policy count the steps.
"""

import re

from agents.sentry_spike.suspects import Suspects, since_previous
from leverframe.model.facts import ErrorFacts, LandedCommit
from leverframe.model.proposals import FlipFlag, RollBack, Step

_RESERVATION = re.compile(r"(run/.+)/[0-9]+(?:\.[0-9]+)?")
"""A flag that a run switched was switched with its reservation's id (see `reservation_id`)."""
_MAX_REQUESTERS = 20


def requesters(facts: ErrorFacts, suspects: Suspects, mitigation: Step | None) -> tuple[str, ...]:
    """Everybody whose commits would be undone: git addresses and logins, lower case, last authors first."""
    undone = _undone(facts, suspects, mitigation)
    everybody = [commit.author for commit in undone] + [name for commit in undone for name in commit.authors]
    return tuple(dict.fromkeys(name.lower() for name in everybody if name))[:_MAX_REQUESTERS]


def lineage(facts: ErrorFacts, suspects: Suspects, mitigation: Step | None) -> tuple[str, ...]:
    """The run whose effect led here, or nothing.

    One link: what led to that run, the ledger remembers and puts before it.
    """
    effect = mitigation.effect if mitigation else None
    runs = [commit.run for commit in _undone(facts, suspects, mitigation) if commit.run]
    if isinstance(effect, FlipFlag):
        switched = (state.changed_by or "" for state in facts.flag_states if state.flag == effect.flag)
        runs = [match[1] for key in switched if (match := _RESERVATION.fullmatch(key))] + runs
    return tuple(runs[:1])


def _undone(facts: ErrorFacts, suspects: Suspects, mitigation: Step | None) -> list[LandedCommit]:
    """The suspect commit, and with a roll-back everything that came with the live release."""
    rolls_back = mitigation is not None and isinstance(mitigation.effect, RollBack)
    shas = {suspects.commit.name} if suspects.commit else set()
    shas |= {facts.live, *since_previous(facts)} if rolls_back else set()
    # The suspect first: it is the likelier cause.
    found = [commit for commit in facts.commits if commit.sha in shas]
    return sorted(found, key=lambda commit: suspects.commit is None or commit.sha != suspects.commit.name)
