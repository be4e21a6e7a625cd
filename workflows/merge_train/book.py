"""The one thing of a train that changes: its state, which messages and steps fold into."""

from collections.abc import Callable
from datetime import datetime

from leverframe.model.topology import TrainRules
from workflows.merge_train import queue
from workflows.merge_train.queue import Queued
from workflows.merge_train.state import Testing, TrainState


class Book:
    """A train's state. What was read before an `await` is read again after it: messages come in between."""

    def __init__(
        self, repository: str, state: TrainState, *, train: str, now: Callable[[], datetime]
    ) -> None:
        self.repository = repository
        self.train = train
        """Workflow id: where tests report to."""
        self.now = now
        self.state = state
        self.heard = 0
        """Grows with every message, so that a rest ends."""

    @property
    def rules(self) -> TrainRules:
        """The rules in force; the defaults before the first look."""
        return self.state.rules or TrainRules()

    def update(self, **parts: object) -> None:
        """The state with these parts replaced."""
        self.state = self.state.model_copy(update=parts)

    def hear(self, **parts: object) -> None:
        """The same, because somebody said something."""
        self.update(**parts)
        self.heard += 1

    def keep(self, car: Testing) -> None:
        """The state with this car in the place of the one of the same change and base."""
        self.state = self.state.kept(car)

    def keep_item(self, item: Queued) -> None:
        """The state with this item in the place of the one with its number."""
        self.update(queue=queue.changed(self.state.queue, item))
