"""Tells the story: live on a terminal, plain lines elsewhere."""

import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.panel import Panel
from rich.status import Status
from rich.table import Table

WIDEST = 120
"""Longer lines are hard to read, however wide the terminal is."""


@dataclass
class Narrator:
    """Chapters, facts and a summary. `started_at` is monotonic, in seconds."""

    console: Console
    started_at: float = field(default_factory=time.monotonic)
    summary: list[tuple[str, str]] = field(default_factory=list)
    _status: Status | None = None

    def chapter(self, number: int, title: str) -> None:
        """A heading with the time since the start."""
        self.console.print()
        self.console.print(f"[bold cyan]{number}  {title}[/]  [dim]{self.elapsed()}[/]")

    def elapsed(self) -> str:
        """Minutes and seconds since the story began, `m:ss`."""
        seconds = int(time.monotonic() - self.started_at)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def say(self, text: str, *, style: str = "") -> None:
        """One plain line of the story. Ours: outside text is opened with `for_terminal` before."""
        width = max(40, min(self.console.width, WIDEST))
        lines = textwrap.wrap(text, width - 3, subsequent_indent="  ", break_on_hyphens=False)
        for line in lines if self.console.is_terminal else [text]:
            self.console.print(f"   {line}", style=style, highlight=False, markup=False, soft_wrap=True)

    def good(self, text: str) -> None:
        """Something that should have happened did."""
        self.say(f"✓ {text}", style="green")

    def bad(self, text: str) -> None:
        """Something went red, as the story wants it to."""
        self.say(f"✗ {text}", style="red")

    def remember(self, name: str, value: str) -> None:
        """A row of the closing summary."""
        self.summary.append((name, value))

    @contextmanager
    def waiting(self, what: str) -> Iterator["Waiting"]:
        """While something goes on: a spinner on a terminal, one line elsewhere."""
        progress = Waiting(self, what)
        if not self.console.is_terminal:
            self.say(f"… {what}")
            yield progress
            return
        with self.console.status(what, spinner="dots") as status:
            self._status = status
            try:
                yield progress
            finally:
                self._status = None

    def table(self, title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        """A small table; cells are printed as they are, without markup."""
        table = Table(title=title, title_justify="left", title_style="dim", box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, style="dim" if column == columns[0] else "", overflow="fold")
        for row in rows:
            table.add_row(*(cell.replace("[", "\\[") for cell in row))
        self.console.print(table)

    def close(self, title: str) -> None:
        """The summary, last."""
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for name, value in self.summary:
            table.add_row(name, value.replace("[", "\\["))
        self.console.print()
        self.console.print(Panel(table, title=title, title_align="left", expand=False))


@dataclass
class Waiting:
    """What a wait reports while it lasts."""

    narrator: Narrator
    what: str
    _last: str = ""

    def note(self, text: str) -> None:
        """New state; the same text twice is shown once."""
        if text == self._last:
            return
        self._last = text
        if self.narrator._status is not None:
            self.narrator._status.update(f"{self.what}: {text}")
        else:
            self.narrator.say(f"  {text}")
