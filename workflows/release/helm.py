"""What people have told a release: hold it, let it go on, leave a step without evidence, take it back. Pure.

Nobody can tell it to go on while it is red. Leaving a step before the gate says so takes two people, neither
of them the author of the change.
"""

from pydantic import Field

from leverframe.model.changes import Author
from leverframe.model.frozen import Frozen


class Order(Frozen):
    """One person's word."""

    person: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)

    def words(self, verb: str) -> str:
        """`ada aborted the release: customers call`."""
        return f"{self.person} {verb}: {self.reason}"


class Helm(Frozen):
    """The orders that stand."""

    paused: Order | None = None
    leaving: tuple[Order, ...] = ()
    """Who wants the release to leave its step ahead of the evidence: it takes two."""
    aborted: Order | None = None

    @property
    def leaves(self) -> bool:
        """Whether the step is to be left now."""
        return len(self.leaving) >= 2

    def refuses_pause(self) -> str | None:
        """Why it can't be paused."""
        return self.paused.words("has paused it already") if self.paused else None

    def refuses_resume(self) -> str | None:
        """Why it can't be resumed."""
        return None if self.paused else "it is not paused"

    def refuses_promotion(self, order: Order, author: Author, percent: int) -> str | None:
        """Why this person can't have the step left."""
        if percent == 0:
            return "it is on no step of the canary yet"
        return self.refuses_leaving(order, author, "wrote the change")

    def refuses_leaving(self, order: Order, author: Author, did: str) -> str | None:
        """Why this person can't have a step left; the author, who `did` it, never can."""
        if self.paused:
            return self.paused.words("has paused it") + "; resume it first"
        if author.kind == "person" and author.name == order.person:
            return f"{order.person} {did}: two others have to want this"
        if any(known.person == order.person for known in self.leaving):
            return f"{order.person} has asked already: a second person has to"
        return None

    def leaving_reason(self) -> str:
        """Who has the step left, and why."""
        people = " and ".join(order.person for order in self.leaving)
        return f"{people} had the step left ahead of the evidence: {self.leaving[0].reason}"
