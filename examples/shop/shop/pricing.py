"""What a cart costs, in cents."""

from shop.cart import Line


def total(lines: tuple[Line, ...]) -> int:
    """The sum of the prices."""
    return sum(line.product.price * line.quantity for line in lines)
