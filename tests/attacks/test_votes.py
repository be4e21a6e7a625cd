"""Family 7, at the approval: votes that must not count, whoever casts them and however they are cast."""

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from policies.people import Group
from tests.fakes.approval_world import ADA, GRACE, LINUS, NotedLedger, asking, person, question, refusal, vote
from workflows.approval import ApprovalWorkflow
from workflows.messages import Approved, Expired, Vote, VoteRefusal

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_votes_of_strangers_bots_and_requesters_are_refused_and_leave_no_trace(
    env: WorkflowEnvironment,
) -> None:
    bot = person("renovate-bot")
    chain = (Group(name="sre-oncall", members=(ADA, GRACE, LINUS, bot)),)
    asked = question(chain=chain, requesters=("LINUS@example.com", "grace"))
    refused = {
        "login:mallory": VoteRefusal.NOT_ASKED,
        "login:Ada": VoteRefusal.NOT_ASKED,
        "login:ada ": VoteRefusal.NOT_ASKED,
        "slack:T0ACME/U0MALLORY": VoteRefusal.NOT_ASKED,
        "slack:T0EVIL/U0ADA": VoteRefusal.UNKNOWN_PERSON,
        "slack:ada": VoteRefusal.UNKNOWN_PERSON,
        "login:linus": VoteRefusal.OWN_CHANGE,
        "login:grace": VoteRefusal.OWN_CHANGE,
        "slack:T0ACME/U0GRACE": VoteRefusal.OWN_CHANGE,
        "login:sentry_spike": VoteRefusal.NOT_A_PERSON,
        "login:Sentry_Spike": VoteRefusal.NOT_A_PERSON,
        "login:renovate[bot]": VoteRefusal.NOT_A_PERSON,
        "login:renovate-bot": VoteRefusal.NOT_A_PERSON,
        "login:leverframe": VoteRefusal.NOT_A_PERSON,
        "login:   ": VoteRefusal.NOT_A_PERSON,
    }
    async with asking(env, asked) as handle:
        for account, why in refused.items():
            assert await refusal(handle, vote(account)) is why, account
        standing = await handle.query(ApprovalWorkflow.question)
        assert (standing.state, standing.votes) == ("open", ())


async def test_a_vote_for_another_digest_is_refused_whoever_casts_it(env: WorkflowEnvironment) -> None:
    async with asking(env, question()) as handle:
        assert await refusal(handle, vote(digest="e" * 64)) is VoteRefusal.OTHER_EFFECT
        assert await refusal(handle, vote(approve=False, digest="")) is VoteRefusal.OTHER_EFFECT
        assert (await handle.query(ApprovalWorkflow.question)).votes == ()


async def test_a_vote_cast_again_and_again_by_two_doors_is_one_vote(env: WorkflowEnvironment) -> None:
    async with asking(env, question(quorum=2)) as handle:
        for account in ("login:ada", "slack:T0ACME/U0ADA") * 10:
            await handle.execute_update(ApprovalWorkflow.decide, vote(account))
        standing = await handle.query(ApprovalWorkflow.question)
        assert (standing.state, len(standing.votes)) == ("open", 1)


async def test_a_vote_after_a_no_or_after_the_time_changes_nothing(
    env: WorkflowEnvironment, skipping: WorkflowEnvironment
) -> None:
    ledger = NotedLedger()
    async with asking(env, question(quorum=2), ledger=ledger) as handle:
        await handle.execute_update(ApprovalWorkflow.decide, vote(approve=False))
        for account in ("login:grace", "login:linus"):
            with pytest.raises((RPCError, WorkflowUpdateFailedError)):
                await handle.execute_update(ApprovalWorkflow.decide, vote(account))
        assert not isinstance(await handle.result(), Approved)
    async with asking(skipping, question()) as late:
        assert await late.result() == Expired()
        with pytest.raises(RPCError):
            await late.execute_update(ApprovalWorkflow.decide, vote())


async def test_a_name_is_no_account() -> None:
    for forged in ("ada", "email:ada@example.com", "login:", "slack:" + "U" * 200, "name:Ada"):
        with pytest.raises(ValueError, match="account"):
            Vote(account=forged, approve=True, request_digest="d" * 64, via="slack")
