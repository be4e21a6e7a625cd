"""Why a merge request left a merge train: read from the system notes that GitLab writes about it.

REST has no other trace: the place on the train is deleted. Texts of the notes, of all versions since 13:
https://docs.gitlab.com/ci/pipelines/merge_trains/#merge-request-dropped-from-the-merge-train. Only GitLab
writes system notes; what people write is never looked at.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from activities.backends.gitlab_answers import Note

Cause = Literal[
    "asked", "pipeline", "conflict", "pushed", "closed", "retargeted", "lost", "unmergeable", "other"
]
"""`asked`: somebody took it off. `pipeline`: it did not succeed, its status says how. `lost`: GitLab itself
failed. `unmergeable`: a check of the merge request, which its `detailed_merge_status` may name."""

_RIDES = re.compile(
    r"started a \[?merge train|added this merge request to the \[?merge train"
    r"|enabled (?:an )?automatic (?:add to merge train|merge)"
)
_LEFT = re.compile(
    r"(?:(?:removed|aborted) this merge request from the merge train"
    r"|(?:cancell?ed|aborted) (?:the )?automatic (?:add to merge train|merge))(?: because (?P<why>.*))?",
    re.DOTALL,
)
_PUSHED = re.compile(r"added \d+ (?:new )?commits?")
_LEARN_MORE = re.compile(r"\s*\[[^\]]*\]\([^)]*\)\.?\s*$")

_CAUSES: tuple[tuple[re.Pattern[str], Cause], ...] = (
    (re.compile(r"conflict|failed to create merge commit|cherry-pick|rebase"), "conflict"),
    (re.compile(r"the pipeline must succeed|pipeline did not succeed|pipeline.*fail|no stages"), "pipeline"),
    (re.compile(r"source branch|has been updated since"), "pushed"),
    (re.compile(r"target branch"), "retargeted"),
    (re.compile(r"\bclosed\b|not open"), "closed"),
    (re.compile(r"in time|unexpected error|stuck|timed? ?out"), "lost"),
    (re.compile(r"not mergeable|draft|could not be completed|approv|thread|discussion"), "unmergeable"),
)
"""The first that matches. A conflict is told in words that also name branches and commits."""


@dataclass(frozen=True, kw_only=True)
class Departure:
    """The last word of the notes: it left, and why."""

    cause: Cause
    words: str
    """GitLab's own, without the link to its help; data from outside."""


Story = Departure | Literal["rides", "unknown"]
"""`unknown`: it was never on a train, or commits were pushed since it was."""


def story(notes: Iterable[Note]) -> Story:
    """What the newest note about trains says; `notes` in any order.

    A push after a departure ends the story of the older head: the new one has not ridden yet.
    """
    for note in sorted((each for each in notes if each.system), key=lambda each: each.id, reverse=True):
        if _RIDES.match(note.body):
            return "rides"
        if left := _LEFT.match(note.body):
            return _departure(left["why"] or "")
        if _PUSHED.match(note.body):
            return "unknown"
    return "unknown"


def _departure(why: str) -> Departure:
    words = _LEARN_MORE.sub("", why).strip()
    lower = words.lower()
    if not words:
        return Departure(cause="asked", words="")
    return Departure(
        cause=next((cause for pattern, cause in _CAUSES if pattern.search(lower)), "other"), words=words
    )
