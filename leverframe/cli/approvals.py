"""`leverframe approvals`, `approve` and `deny`: a person answers."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from leverframe.cli.output import AsJson, print_fields, print_json, print_table, say
from leverframe.cli.session import ANSWER, Reason, ask, given, load, query
from leverframe.login import me

if TYPE_CHECKING:
    from temporalio.client import Client

    from leverframe.model.differences import TreeDifference
    from workflows.messages import QuestionStanding

app = typer.Typer(help="Questions that wait for a person.", no_args_is_help=True)

Approval = Annotated[str, typer.Argument(help="The approval's id, as `approvals list` prints it.")]


class Decision(BaseModel):
    """What became of a vote."""

    id: str
    approve: bool
    account: str
    standing: str


class ApprovalRow(BaseModel):
    """One open question, as a list shows it."""

    id: str
    title: str
    agent: str
    repository: str
    subject: str
    votes: int
    quorum: int
    expires_at: datetime


@app.command("list")
def list_approvals(as_json: AsJson = False) -> None:
    """List the questions that are open, oldest first."""

    async def found(client: "Client") -> list[ApprovalRow]:
        running = "WorkflowType = 'ApprovalWorkflow' AND ExecutionStatus = 'Running'"
        asked = [await _question(client, each.id) async for each in client.list_workflows(running)]
        asked.sort(key=lambda standing: standing.question.asked_at)
        return [_row(standing) for standing in asked if standing.state == "open"]

    rows = ask(load(), found)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("APPROVAL", "QUESTION", "VOTES", "EXPIRES"),
        [(row.id, row.title, f"{row.votes} of {row.quorum}", row.expires_at) for row in rows],
        empty="Nobody waits for an answer.",
    )


@app.command("show")
def show_approval(approval: Approval, as_json: AsJson = False) -> None:
    """Show one question whole: what is asked, why, and the exact effect."""
    standing = ask(load(), lambda client: _question(client, approval))
    if as_json:
        print_json(standing)
        return
    from leverframe.model.proposals import ChangeQuarantine  # noqa: PLC0415
    from policies.explain import amended_words, effect_words, sentence  # noqa: PLC0415 - the policy loads when it is used

    question = standing.question
    print_fields(
        {
            "question": question.title,
            "state": standing.standing,
            "what happens": effect_words(question.effect),
            "why": question.why,
            "undo": question.reversibility,
            "error": question.error,
            "difference": _size(question.difference),
            "asked": ", ".join(group.name for group in question.terms.chain),
            "expires": question.expires_at,
            "run": question.run_url,
        }
    )
    for finding in question.findings:
        say(f"  {sentence(finding)}")
    if isinstance(question.effect, ChangeQuarantine):
        for one in question.effect.amend:
            say(f"  {amended_words(one)}")
    print_fields({"effect": question.effect.model_dump_json(), "digest": question.request_digest})


def approve(approval: Approval, reason: Reason, as_json: AsJson = False) -> None:
    """Say yes to exactly the effect that the question names."""
    _vote(approval, yes=True, reason=reason, as_json=as_json)


def deny(approval: Approval, reason: Reason, as_json: AsJson = False) -> None:
    """Say no: one no rejects the effect."""
    _vote(approval, yes=False, reason=reason, as_json=as_json)


def _vote(approval: str, *, yes: bool, reason: str, as_json: bool) -> None:
    account = f"login:{me()}"

    async def decide(client: "Client") -> str:
        from workflows.messages import Vote  # noqa: PLC0415 - the SDK loads when it is used

        standing = await _question(client, approval)
        vote = given(
            Vote,
            account=account,
            approve=yes,
            reason=reason,
            request_digest=standing.question.request_digest,
            via="cli",
        )
        handle = client.get_workflow_handle(approval)
        said: str = await handle.execute_update("decide", vote, result_type=str, rpc_timeout=ANSWER)
        return said

    standing = ask(load(), decide)
    if as_json:
        print_json(Decision(id=approval, approve=yes, account=account, standing=standing))
    else:
        say(standing)


async def _question(client: "Client", approval: str) -> "QuestionStanding":
    from workflows.messages import QuestionStanding  # noqa: PLC0415 - the SDK loads when it is used

    return await query(client, approval, "question", QuestionStanding)


def _size(difference: "TreeDifference | None") -> str:
    if difference is None:
        return ""
    return f"{difference.total_files} files, {difference.total_lines} lines"


def _row(standing: "QuestionStanding") -> ApprovalRow:
    question = standing.question
    return ApprovalRow(
        id=question.approval,
        title=question.title,
        agent=question.agent,
        repository=question.repository,
        subject=question.subject,
        votes=len(standing.votes),
        quorum=question.terms.quorum,
        expires_at=question.expires_at,
    )
