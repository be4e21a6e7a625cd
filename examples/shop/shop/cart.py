"""What a customer wants to buy, read from a request."""

from dataclasses import dataclass

from shop import catalogue, words
from shop.catalogue import Product

MOST_OF_ONE = 99


class BadCart(Exception):
    """The request is not a cart; the text tells the customer why."""


@dataclass(frozen=True)
class Line:
    product: Product
    quantity: int


def read(document: object) -> tuple[Line, ...]:
    """Lines of `{"lines": [{"sku": "mug", "quantity": 2}]}`. Raises BadCart."""
    lines = document.get("lines") if isinstance(document, dict) else None
    if not isinstance(lines, list) or not lines:
        raise BadCart(words.EMPTY_CART)
    return tuple(_line(line) for line in lines)


def _line(line: object) -> Line:
    if not isinstance(line, dict):
        raise BadCart("A line names a sku and a quantity.")
    quantity = line.get("quantity", 1)
    if type(quantity) is not int or not 1 <= quantity <= MOST_OF_ONE:
        raise BadCart(f"A quantity is a number from 1 to {MOST_OF_ONE}.")
    try:
        return Line(catalogue.find(str(line.get("sku"))), quantity)
    except catalogue.UnknownProduct as unknown:
        raise BadCart(f"There is no product {str(unknown)[:40]!r}.") from unknown
