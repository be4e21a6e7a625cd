"""The issue that tracks the repair of one quarantined test: how it is found, and what it says."""

from leverframe.model.ids import short_hash
from leverframe.model.quarantine import Quarantined
from leverframe.model.untrusted import Untrusted

_LONGEST = 300


def key_of(test: Untrusted) -> str:
    """`flaky-1a2b3c4d5e6f`: one issue for one test, for ever."""
    return f"flaky-{short_hash(test.stored())}"


def title_of(test: Untrusted) -> str:
    """One line of plain text."""
    return f"Flaky test: {test.for_terminal(_LONGEST)}"


def body_of(entry: Quarantined, change: str) -> str:
    """Markdown, for as long as the test is quarantined. `change`: the merge request that wrote the entry."""
    rows = {
        "test": entry.test.for_markdown(_LONGEST),
        "evidence": entry.evidence,
        "owner": entry.owner,
        "quarantined": f"since {entry.since}; by {change} its failures count again on {entry.expires}",
        "failures": ", ".join(
            f"`{mask}`" if mask else "those of which nothing is known" for mask in entry.masks
        ),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        f"A test fails and passes on the same commit.\n\n| | |\n|---|---|\n{table}\n\n"
        "It still runs. Once the repair has landed and the test stays green for long enough, it leaves the "
        f"quarantine by itself, and this issue is closed. Search for `{key_of(entry.test)}` to find it."
    )


def left_body_of(test: Untrusted, change: str) -> str:
    """Markdown, once the test is quarantined no longer."""
    return (
        f"{test.for_markdown(_LONGEST)} has left the quarantine by {change}: its failures count again.\n\n"
        f"`{key_of(test)}`"
    )
