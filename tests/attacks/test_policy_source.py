"""Somebody gets at the policy files: broken, missing, emptied, or loosened where nobody reviewed it.

Whatever is in force stays; before anything is, everything is denied.
"""

from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.backends.policy_git import PolicyGit
from policies.decision import Allowed, Denied
from tests.fakes.asks import ON, ask
from tests.fakes.git_world import GitWorld
from tests.fakes.house_world import House, house, policy_files
from tests.fakes.tracks import track_at

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRICT = policy_files("limits: [{id: one, max: 1, hold: until_settled}]\n")
LOOSE = policy_files("limits: [{id: one, max: unlimited, hold: until_settled}]\n")


class Attack:
    """A repository whose `policies/` rules an organisation, and people who push to it."""

    def __init__(self, root: Path) -> None:
        self.git = GitWorld(root)
        self.source = PolicyGit(track_at(root), self.git.repository, folder="policies")

    def push(self, files: dict[str, str | None], branch: str = "main") -> None:
        self.git.commit(branch, {f"policies/{name}": text for name, text in files.items()})


async def holds(home: House, number: int) -> bool:
    """Whether the strict policy decides: one effect may be unsettled, and it is."""
    decision = await home.door.reserve(ask(f"run/{number}/1", subject=f"SHOP-{number}"))
    return isinstance(decision, Denied) and "org.limits.one" in {each.rule for each in decision.findings}


async def strictly_governed(home: House, attack: Attack) -> str:
    """The strict policy is in force and its one place is taken; returns its digest."""
    attack.push(dict(STRICT))
    await home.tidy()
    assert isinstance(await home.door.reserve(ask("run/0/1")), Allowed)
    return (await home.overview()).policy_digest


async def test_a_policy_loosened_on_a_branch_that_asks_to_be_merged_changes_nothing(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    attack = Attack(tmp_path)
    async with house(env.client, tmp_path, attack.source) as home:
        digest = await strictly_governed(home, attack)
        attack.push(dict(LOOSE), branch="leverframe/please-merge")
        await home.tidy()
        seen = await home.overview()
        assert (seen.policy_digest, seen.refused_policy) == (digest, None)
        assert await holds(home, 1)


@pytest.mark.parametrize(
    "ruined",
    [
        pytest.param({"org.yaml": "version: 1\nlayer: org\nautonomy: act\n"}, id="half written"),
        pytest.param({"org.yaml": "a: &a [*a, *a]\n"}, id="no YAML of ours"),
        pytest.param({"org.yaml": LOOSE["org.yaml"], "notes.yaml": "version: 2"}, id="a good file and a bad"),
        pytest.param({"org.yaml": LOOSE["agents/sentry_spike.yaml"]}, id="another layer's file in its place"),
        pytest.param({"org.yaml": None}, id="the organisation's file removed"),
        pytest.param(dict.fromkeys(STRICT), id="emptied"),
        pytest.param({"people.yaml": "version: 1\npeople: {}\ngroups: {}\n"}, id="everybody removed"),
    ],
)
async def test_a_ruined_policy_on_the_protected_branch_leaves_the_old_one_and_is_told(
    env: WorkflowEnvironment, tmp_path: Path, ruined: dict[str, str | None]
) -> None:
    attack = Attack(tmp_path)
    async with house(env.client, tmp_path, attack.source) as home:
        digest = await strictly_governed(home, attack)
        attack.push(ruined)
        await home.tidy()
        seen = await home.overview()
        assert seen.policy_digest == digest
        assert seen.refused_policy is not None
        assert len(home.notices.told) == 1
        assert await holds(home, 1)


async def test_before_any_policy_could_be_read_everything_is_denied(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    attack = Attack(tmp_path)
    async with house(env.client, tmp_path, attack.source) as home:
        await home.tidy()
        for number, request in enumerate((ask("run/1/1"), ask("run/2/1", ON))):
            decision = await home.door.reserve(request)
            assert isinstance(decision, Denied), number
        assert (await home.overview()).refused_policy is not None


async def test_without_the_branch_itself_the_old_policy_stays(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    attack = Attack(tmp_path)
    async with house(env.client, tmp_path, attack.source) as home:
        digest = await strictly_governed(home, attack)
        attack.git.git("update-ref", "-d", "refs/heads/main")
        await home.tidy()
        assert (await home.overview()).policy_digest == digest
        assert await holds(home, 1)


async def test_an_agents_file_that_vanishes_takes_away_what_the_agent_may(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    attack = Attack(tmp_path)
    async with house(env.client, tmp_path, attack.source) as home:
        attack.push(dict(LOOSE))
        await home.tidy()
        attack.push({"agents/sentry_spike.yaml": None})
        await home.tidy()
        decision = await home.door.reserve(ask("run/1/1"))
        assert isinstance(decision, Denied)
        assert "agents.sentry_spike" in {finding.rule for finding in decision.findings}
