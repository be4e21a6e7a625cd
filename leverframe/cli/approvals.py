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

    from workflows.approval import Question

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
        asked.sort(key=lambda question: question.asked_at)
        return [_row(question) for question in asked if question.state == "open"]

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
    question = ask(load(), lambda client: _question(client, approval))
    if as_json:
        print_json(question)
        return
    request = question.request
    print_fields({"question": request.title, "state": question.state, "expires": question.expires_at})
    for line in request.body.splitlines():
        say(line)
    print_fields({"effect": request.effect.model_dump_json(), "digest": request.effect_digest})


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

        question = await _question(client, approval)
        vote = given(
            Vote,
            account=account,
            approve=yes,
            reason=reason,
            request_digest=question.request.request_digest,
            via="cli",
        )
        handle = client.get_workflow_handle(approval)
        standing: str = await handle.execute_update("decide", vote, result_type=str, rpc_timeout=ANSWER)
        return standing

    standing = ask(load(), decide)
    if as_json:
        print_json(Decision(id=approval, approve=yes, account=account, standing=standing))
    else:
        say(standing)


async def _question(client: "Client", approval: str) -> "Question":
    from workflows.approval import Question  # noqa: PLC0415 - the SDK loads when it is used

    return await query(client, approval, "question", Question)


def _row(question: "Question") -> ApprovalRow:
    request = question.request
    return ApprovalRow(
        id=question.approval,
        title=request.title,
        agent=request.agent,
        repository=request.repository,
        subject=request.subject,
        votes=len(question.votes),
        quorum=request.quorum,
        expires_at=question.expires_at,
    )
