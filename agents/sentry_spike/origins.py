"""Who is behind the trouble: people, who then must not decide on its repair, and agents' runs.

An agent that reacts to what an agent did is one step of a loop; the lineage lets policy count the steps.
"""

import re

from agents.sentry_spike.suspects import Suspects, since_previous
from leverframe.model.facts import ErrorFacts, LandedCommit
from leverframe.model.proposals import MAX_REQUESTERS, Effect, FlipFlag, RollBack

_RESERVATION = re.compile(r"(run/.+)/[0-9]+(?:\.[0-9]+)?")
"""A flag that a run switched was switched with its reservation's id (see `reservation_id`)."""


def requesters(facts: ErrorFacts, suspects: Suspects) -> tuple[str, ...]:
    """Who is behind the suspect commit: git addresses and logins, lower case, the last author first."""
    return _people(_named(facts, _suspect(suspects)))


def step_requesters(facts: ErrorFacts, suspects: Suspects, effect: Effect) -> tuple[str, ...]:
    """Who else must not decide on this effect: with a roll-back, whoever made what came with the release.

    They may decide on the flag and on the suspect commit, which are not theirs.
    """
    if not isinstance(effect, RollBack):
        return ()
    return _people(_named(facts, _released(facts) - _suspect(suspects)))


def lineage(facts: ErrorFacts, suspects: Suspects, effect: Effect | None) -> tuple[str, ...]:
    """The run whose effect led to this effect, or nothing; the suspect commit's run is the likelier cause.

    One link: what led to that run, the ledger remembers and puts before it.
    """
    found = _named(facts, _suspect(suspects))
    if isinstance(effect, RollBack):
        found += _named(facts, _released(facts) - _suspect(suspects))
    runs = [commit.run for commit in found if commit.run]
    if isinstance(effect, FlipFlag):
        switched = (state.changed_by or "" for state in facts.flag_states if state.flag == effect.flag)
        runs = [match[1] for key in switched if (match := _RESERVATION.fullmatch(key))] + runs
    return tuple(runs[:1])


def _suspect(suspects: Suspects) -> frozenset[str]:
    return frozenset({suspects.commit.name} if suspects.commit else ())


def _released(facts: ErrorFacts) -> frozenset[str]:
    """Everything that came with the live release, as far as it is listed."""
    return since_previous(facts) | {facts.live}


def _named(facts: ErrorFacts, shas: frozenset[str]) -> list[LandedCommit]:
    return [commit for commit in facts.commits if commit.sha in shas]


def _people(commits: list[LandedCommit]) -> tuple[str, ...]:
    everybody = [commit.author for commit in commits] + [
        name for commit in commits for name in commit.authors
    ]
    return tuple(dict.fromkeys(name.lower() for name in everybody if name))[:MAX_REQUESTERS]
