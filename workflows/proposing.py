"""An agent that may only propose: people are told what it would do, and nothing is done."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.chat import ChatActivities
    from leverframe.model.proposals import Step
    from leverframe.model.untrusted import Untrusted
    from policies.decision import Decision, Denied, ReserveRequest, Verdict
    from policies.explain import effect_words
    from policies.rules import Autonomy
    from workflows.queues import HANDS


def only_proposes(decision: Decision) -> bool:
    """Whether nothing but the level `propose` stands in the way."""
    if not isinstance(decision, Denied):
        return False
    denials = [finding for finding in decision.findings if finding.verdict is Verdict.DENY]
    return bool(denials) and all(
        finding.observed == Autonomy.PROPOSE.value
        and (finding.rule.endswith(".autonomy") or ".direction." in finding.rule)
        for finding in denials
    )


def notice(asked: ReserveRequest, step: Step, run_url: str) -> str:
    """What the agent would do, why, and where its run is; in plain text."""
    agent, subject, words, why = (
        Untrusted(text).for_terminal(400)
        for text in (asked.agent, asked.subject, effect_words(asked.effect), step.why)
    )
    return (
        f"{agent} proposes for {subject} in {asked.service}: {words}. {why} "
        f"Its level is `{Autonomy.PROPOSE.value}`, so a person has to do it. The run: {run_url}"
    )


async def show_proposal(decision: Decision, asked: ReserveRequest, step: Step, run_url: str) -> None:
    """Tell people once for each reservation what was only proposed; other decisions are not told.

    A chat that is down is no reason to keep the run: its report says the same.
    """
    if not only_proposes(decision):
        return
    try:
        await workflow.execute_activity_method(
            ChatActivities.tell,
            args=[f"proposal/{asked.reservation}", notice(asked, step, run_url)],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(minutes=5),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
            summary="tell people what is proposed",
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        workflow.logger.warning("the proposal could not be told: %s", error.cause)
