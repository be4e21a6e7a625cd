"""The story of a flag's rollout, as a person reads it in the Temporal UI and in the terminal. Pure."""

from typing import Literal

from pydantic import Field

from leverframe.model.flags import Audience, FlagName, Whole
from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.releases import GateVerdict
from leverframe.model.topology import RolloutPlan
from leverframe.model.untrusted import Untrusted
from workflows.flag_rollout.ladder import Ladder
from workflows.release.helm import Helm, Order
from workflows.release.story import Row, State

Ending = Literal["landed", "rolled_back", "superseded", "rejected", "failed"]
"""`landed`: on for everybody. `superseded`: somebody else changed the flag, and it stays as they made it.
`rejected`: policy or people did not want users who are not internal to have it."""

_MARKS: dict[State, str] = {"done": "✓", "now": "…", "failed": "✗"}


class RolloutRequest(Frozen):
    """A flag that should come to everybody."""

    repository: Slug
    service: Slug
    flag: FlagName
    plan: RolloutPlan
    by: Order
    """Who started it, and why."""
    ui_url: str = ""


class RolloutProgress(Frozen):
    """How far a rollout is; the answer of the query `progress`, and how it ended."""

    service: Slug
    flag: FlagName
    started_by: str
    audience: Audience = Whole(on=False)
    """Who has it by the last word of the rollout."""
    rows: tuple[Row, ...] = ()
    helm: Helm = Helm()
    """What people have told it."""
    verdict: GateVerdict | None = None
    """What the gate said last, …"""
    judged_at: Instant | None = None
    """… and when."""
    outcome: Ending | None = None
    detail: str = ""
    """How it ended, in words."""
    timings_ms: dict[str, int] = Field(default={})
    """Of a rollout that was taken back: `seen_to_off` from the counts that were red, or a person's word, to
    an evaluation that finds the flag off; `written_to_off` from the write on."""

    def told(self, step: str, state: State, text: str) -> "RolloutProgress":
        """The same story with a step's row written or replaced."""
        row = Row(step=step, state=state, text=text)
        if any(known.step == step for known in self.rows):
            rows = tuple(row if known.step == step else known for known in self.rows)
        else:
            rows = (*self.rows, row)
        return self.model_copy(update={"rows": rows})

    def headline(self) -> str:
        """Where it is, in a few words."""
        if self.outcome is not None:
            return self.outcome.replace("_", " ")
        return self.audience.words() + (", paused" if self.helm.paused else "")

    def markdown(self) -> str:
        """A heading and a table. Every text is escaped: parts of it come from outside."""
        lines = [
            f"| {_MARKS[row.state]} {row.step} | {Untrusted(row.text).for_markdown(limit=400)} |"
            for row in self.rows
        ]
        heading = f"**`{self.flag}`** of {self.service}: {self.headline()}"
        detail = [Untrusted(self.detail).for_markdown(limit=600), ""] if self.detail else []
        return "\n".join([heading, "", *detail, "| step | what happened |", "|---|---|", *lines])


class RolloutState(Frozen):
    """All that a rollout knows, in one value: with it, its history can begin anew between two looks."""

    progress: RolloutProgress
    revision: str
    """The flag as the rollout last wrote or found it: any other is somebody else's."""
    key: str
    """What the rollout writes beside the flag begins so, and so do its reservations: its first run."""
    ladder: Ladder | None = None
    """None before the first step."""
    reservation: str | None = None
    """Of the leave to give it to users who are not internal; None before it was given."""
    paged: tuple[str, ...] = ()
    """Steps for which people were told that they are not decided."""


class RolloutStart(RolloutRequest):
    """What a rollout begins with: the request, and what an earlier history of it has left."""

    known: RolloutState | None = None
