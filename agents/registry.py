"""Every agent there is, by name. The workflows look agents up here; nothing registers at run time."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from agents.contract import Agent
from agents.flaky_tests.agent import FlakyTests
from agents.sentry_spike.agent import SentrySpike
from leverframe.model.errors import BadConfiguration

AnyAgent = Agent[Any]
"""An agent whose state is its own affair: the registry's callers carry it without looking in."""

_AGENTS: tuple[AnyAgent, ...] = (FlakyTests(), SentrySpike())

_BY_NAME: Mapping[str, AnyAgent] = MappingProxyType({agent.name: agent for agent in _AGENTS})


def agent(name: str) -> AnyAgent:
    """The agent of that name. Raises BadConfiguration for a name that nobody has."""
    found = _BY_NAME.get(name)
    if found is None:
        raise BadConfiguration(f"there is no agent {name!r}; there are: {', '.join(registered()) or 'none'}")
    return found


def registered() -> tuple[str, ...]:
    """The names of all agents, sorted."""
    return tuple(sorted(_BY_NAME))
