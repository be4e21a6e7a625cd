"""Orders that were placed. Every instance knows the archive; new orders live where they were placed."""

from dataclasses import dataclass

FIRST = 1000
ARCHIVED = 200


@dataclass(frozen=True)
class Order:
    number: int
    skus: tuple[str, ...]
    total: int
    delivery_days: int
    paper: str | None = None


class OrderBook:
    """Keeps orders and finds them by number."""

    def __init__(self) -> None:
        self._orders = {
            number: Order(number, ("mug", "green-tea"), 2490, 3) for number in range(FIRST, FIRST + ARCHIVED)
        }

    def add(self, *, skus: tuple[str, ...], total: int, delivery_days: int, paper: str | None) -> Order:
        """Keep a new order under the next number."""
        order = Order(FIRST + len(self._orders), skus, total, delivery_days, paper)
        self._orders[order.number] = order
        return order

    def find(self, number: int) -> Order | None:
        """The order, or None."""
        return self._orders.get(number)
