"""What people say to a train: enqueue, withdraw, freeze, thaw, vouch. Only ever changes what is known.

Each has an objection, in words, and an answer; a request with an objection must not be answered.
"""

from leverframe.model.changes import Enqueue, Priority
from leverframe.model.trains import Override
from leverframe.model.untrusted import Untrusted
from workflows.merge_train import queue, words
from workflows.merge_train.book import Book
from workflows.merge_train.messages import FreezeRequest, QueuePlace, Vouch
from workflows.merge_train.state import Letter, Settled

MAX_QUEUED = 2000


class Desk:
    """Where requests for one train come in."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def misdirected(self, asked: Enqueue) -> str:
        """Why this is no change of this train's, or nothing."""
        ours = self._book.repository
        repository, _, number = asked.change.rpartition("/")
        if repository == ours and number.isdecimal():
            return ""
        shown = Untrusted(asked.change).for_terminal()
        return f"{shown} is not a change of {ours}: its id is {ours}/<number>"

    def full(self, asked: Enqueue) -> str:
        """Why the change can't be taken now, or nothing."""
        state = self._book.state
        if state.queue.find(asked.change, asked.head) is not None:
            return ""
        if state.freeze and state.freeze.mode == "drain" and asked.priority is not Priority.HOTFIX:
            return f"the train drains: {state.freeze.reason}; enqueue again when it is thawed"
        if len(state.queue.items) >= MAX_QUEUED:
            return f"{MAX_QUEUED} changes are queued: wait"
        return ""

    def enqueue(self, asked: Enqueue, request: str) -> QueuePlace:
        """Give the change a place. The same request is answered the same.

        A change that has landed at this head is not carried again; everybody in `notify` is told. One
        that was taken off rides again when it is asked for by a new request.
        """
        book = self._book
        if before := self._settled(asked, request):
            if asked.notify and request not in before.requests:
                letter = Letter(to=asked.notify, outcome=before.outcome)
                book.update(letters=(*book.state.letters, letter))
            return QueuePlace(state="settled", outcome=before.outcome)
        put = queue.put(book.state.queue, asked, request=request, at=book.now(), rules=book.rules)
        book.hear(queue=put)
        return self._place(asked)

    def withdraw(self, change: str) -> bool:
        """True if the change was queued or riding. A landing that is under way wins."""
        known = any(item.change == change for item in self._book.state.queue.items)
        self._book.hear(queue=queue.withdraw(self._book.state.queue, change))
        return known

    def freeze(self, asked: FreezeRequest) -> None:
        """Freeze; a freeze in force is replaced. Cars under test go on."""
        self._book.hear(freeze=asked.at(self._book.now()))

    def thaw(self) -> None:
        """End the freeze; what an audit found counts as seen."""
        self._book.hear(freeze=None, findings=(), suspicions=())

    def objection(self, asked: Vouch) -> str:
        """Why the override can't be vouched for, or nothing."""
        item = self._book.state.queue.find(asked.change, asked.head)
        if item is None or item.leaving:
            return f"{asked.change} is not queued at {asked.head[:12]}"
        if item.override is not None:
            return f"{asked.change} has its two people already"
        if asked.person == item.author.name and item.author.kind == "person":
            return f"{asked.person} wrote the change: two others have to vouch for it"
        if item.vouched is not None and item.vouched[0] == asked.person:
            return f"{asked.person} has vouched already: a second person has to"
        if item.vouched is not None and sorted(item.vouched[2]) != sorted(asked.checks):
            named = ", ".join(item.vouched[2]) or "none"
            return f"{item.vouched[0]} asked for the checks {named}: name the same"
        return ""

    def vouch(self, asked: Vouch) -> str:
        """Note the person; the second one makes the override."""
        book = self._book
        item = book.state.queue.find(asked.change, asked.head)
        if item is None:
            return "gone"
        if item.vouched is None:
            vouched = (asked.person, asked.reason, asked.checks)
            book.keep_item(item.model_copy(update={"vouched": vouched}))
            book.heard += 1
            return "first"
        people = (item.vouched[0], asked.person)
        override = Override(people=people, reason=item.vouched[1], checks=asked.checks)
        # What is required of it has changed, so its cars stand no more and are put together anew.
        book.keep_item(item.model_copy(update={"override": override}))
        book.heard += 1
        return "override"

    def objection_about_dev(self) -> str:
        """Why nobody can vouch for dev, or nothing."""
        dev = self._book.state.dev
        if dev is None:
            return "dev is what the target says already, as far as the train knows"
        if dev.state in ("applying", "shown"):
            return f"{words.of_dev(dev)} There is nothing to vouch for"
        return ""

    def vouch_for_dev(self) -> None:
        """Dev is what the target says, on a person's word; true once nothing is done to it any more."""
        if dev := self._book.state.dev:
            self._book.hear(dev=dev.model_copy(update={"vouched": True}))

    def _settled(self, asked: Enqueue, request: str) -> Settled | None:
        """The ride that answers this request: the one it asked for, or one that landed at this head."""
        for settled in reversed(self._book.state.settled):
            if (settled.outcome.change, settled.head) != (asked.change, asked.head):
                continue
            if settled.outcome.kind == "landed" or request in settled.requests:
                return settled
        return None

    def _place(self, asked: Enqueue) -> QueuePlace:
        state = self._book.state
        item = state.queue.find(asked.change, asked.head)
        if item is None or any(car.sequence == item.sequence for car in state.cars):
            return QueuePlace(state="riding")
        return QueuePlace(state="waiting", ahead=state.queue.items.index(item))
