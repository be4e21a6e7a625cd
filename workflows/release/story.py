"""The story of a release, as a person reads it in the Temporal UI. Pure."""

from typing import Literal

from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.releases import GateVerdict
from leverframe.model.untrusted import Untrusted
from workflows.release.helm import Helm
from workflows.release.standstill import Standstill

State = Literal["done", "now", "failed"]

_MARKS: dict[State, str] = {"done": "✓", "now": "…", "failed": "✗"}


class Row(Frozen):
    """One step of the way and what is known of it."""

    step: str
    state: State
    text: str


class Progress(Frozen):
    """How far a release is; the answer of the query `progress`."""

    service: Slug
    sha: Sha
    percent: int = 0
    """Share of production's requests that it gets now."""
    rows: tuple[Row, ...] = ()
    helm: Helm = Helm()
    """What people have told it."""
    verdict: GateVerdict | None = None
    """What the gate said last, …"""
    judged_at: Instant | None = None
    """… and when."""
    standstill: Standstill | None = None
    """Why people have to decide, when they have to."""
    newer: Sha | None = None
    """A newer release that waits for the canary which this one has."""
    outcome: str | None = None

    def told(self, step: str, state: State, text: str) -> "Progress":
        """The same story with a step's row written or replaced."""
        row = Row(step=step, state=state, text=text)
        if any(known.step == step for known in self.rows):
            rows = tuple(row if known.step == step else known for known in self.rows)
        else:
            rows = (*self.rows, row)
        return self.model_copy(update={"rows": rows})

    def markdown(self) -> str:
        """A heading and a table. Every text is escaped: parts of it come from outside."""
        heading = f"**{self.service}** at `{self.sha[:12]}`: {self._headline()}"
        lines = [
            f"| {_MARKS[row.state]} {row.step} | {Untrusted(row.text).for_markdown(limit=400)} |"
            for row in self.rows
        ]
        return "\n".join([heading, "", "| step | what happened |", "|---|---|", *lines])

    def _headline(self) -> str:
        if self.outcome is not None:
            return self.outcome.replace("_", " ")
        where = f"{self.percent} % of production" if self.percent else "on its way"
        if self.helm.paused:
            return f"{where}, paused"
        behind = f"; {self.newer[:12]} waits behind it" if self.newer else ""
        return (f"{where}, {self.standstill.words()}" if self.standstill else where) + behind
