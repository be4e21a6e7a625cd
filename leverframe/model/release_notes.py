"""The notes of a release: what landed, what the canary saw, how long it took. Records in, words out."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import Field

from leverframe.model.changes import Author, Receipt
from leverframe.model.deployments import Moments
from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.releases import Artifact, GateVerdict
from leverframe.model.untrusted import Untrusted

MOST_CHANGES = 40
"""Changes that notes list; they also have to fit into a tag's message."""

_TITLE = 100
_REASON = 300


class _Form(NamedTuple):
    """How notes are written for one kind of sink."""

    text: Callable[[Untrusted, int], str]
    """Opens text from outside, at most so many characters of it."""
    title: str
    section: str
    code: str


_MARKDOWN = _Form(Untrusted.for_markdown, "# {}", "## {}", "`{}`")
_TERMINAL = _Form(Untrusted.for_terminal, "{}", "{}:", "{}")


class LandedChange(Frozen):
    """One change that a release brings, as git and its receipt have it."""

    change: str
    title: Untrusted
    """The subject of the landed commit; written by whoever wrote the change."""
    sha: Sha
    sequence: int
    """The number of its receipt."""
    author: Author
    evidence: str
    checks: tuple[str, ...]
    """Those that had passed on the tested commit."""
    landed_at: Instant

    @classmethod
    def of(cls, receipt: Receipt, title: str) -> "LandedChange":
        """What the notes tell of a receipt."""
        passed = tuple(check.check for check in receipt.checks if check.outcome == "passed")
        return cls(
            title=Untrusted(title),
            checks=passed,
            **receipt.model_dump(include={"change", "sha", "sequence", "author", "evidence", "landed_at"}),
        )


class ReleaseNotes(Frozen):
    """Everything that the notes are made of."""

    service: Slug
    repository: Slug
    sha: Sha
    previous: Sha | None
    """What was stable before it; None for the first release."""
    artifact: Artifact | None = None
    """None where it is not recorded any more."""
    landed: tuple[LandedChange, ...] = ()
    """Newest first, without those that only move overlays."""
    left_out: int = Field(default=0, ge=0)
    """Changes beyond `MOST_CHANGES`."""
    verdicts: tuple[GateVerdict, ...] = ()
    """The deciding one of each step."""
    moments: Moments = Moments()

    @property
    def marker(self) -> str | None:
        """`live/shop/20260101-120000-0123456789ab`: named by the moment at which it became stable."""
        live = self.moments.live_at
        return f"live/{self.service}/{live:%Y%m%d-%H%M%S}-{self.sha[:12]}" if live else None

    def markdown(self) -> str:
        """The notes for a forge, a tag or a file. Every text from outside is escaped."""
        return self._told(_MARKDOWN)

    def plain(self) -> str:
        """The same for a terminal: without marks, and nothing from outside steers it."""
        return self._told(_TERMINAL)

    def _told(self, form: _Form) -> str:
        sections = {
            "What landed": self._changes(form),
            "What the canary saw": self._steps(form),
            "How long it took": self._times(),
        }
        parts = [
            "\n".join([form.section.format(title), "", *lines]) for title, lines in sections.items() if lines
        ]
        return "\n\n".join([self._heading(form), *parts]) + "\n"

    def _heading(self, form: _Form) -> str:
        live, lines = self.moments.live_at, [form.title.format(f"{self.service} at {self.sha[:12]}"), ""]
        if live:
            lines.append(f"At 100 % of production since {_written(live)}.")
        before = f"Before it: {self.previous}." if self.previous else "Nothing was stable before it."
        lines += [before, f"Commit: {self.sha}."]
        if self.artifact:
            digest, where = (
                form.code.format(word) for word in (self.artifact.digest, self.artifact.reference)
            )
            lines.append(f"Built once as {digest}: {where}.")
        return "\n".join(lines)

    def _changes(self, form: _Form) -> list[str]:
        lines = [
            f"- {change.change}: {form.text(change.title, _TITLE)}, by"
            f" {form.text(Untrusted(change.author.name), 60)}; {change.sha[:12]}, receipt {change.sequence}"
            f" ({change.evidence}; passed: {', '.join(change.checks) or 'nothing was required'})"
            for change in self.landed
        ]
        return [*lines, f"- and {self.left_out} more"] if self.left_out else lines

    def _steps(self, form: _Form) -> list[str]:
        return [
            f"- {seen.percent} %: {seen.colour}. {form.text(Untrusted(seen.reason), _REASON)}"
            for seen in self.verdicts
        ]

    def _times(self) -> list[str]:
        own = [change.landed_at for change in self.landed if change.sha == self.sha]
        start = own[0] if own else self.moments.began_at
        if start is None:
            return []
        told = {
            "runs in dev": self.moments.in_dev_at,
            "first request in production": self.moments.entered_at,
            "at 100 %": self.moments.live_at,
        }
        after = [f"- {what}: {_span(at - start)} after it landed" for what, at in told.items() if at]
        return [f"- landed: {_written(start)}", *after]


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _span(time: timedelta) -> str:
    """`3 d 4 h`, `2 h 5 min`, `7 min 3 s`, `12 s`."""
    seconds = max(0, round(time.total_seconds()))
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts = []
    for size, name in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


class Marked(Frozen):
    """A release's marker and its notes, as they are kept."""

    name: str
    signed: bool
    notes: ReleaseNotes

    @property
    def words(self) -> str:
        """`marked and signed as live/…`."""
        return f"marked{' and signed' if self.signed else ', unsigned,'} as {self.name}"

    @property
    def title(self) -> str:
        """`shop at 0123456789ab`: what a page of it is called."""
        return f"{self.notes.service} at {self.notes.sha[:12]}"
