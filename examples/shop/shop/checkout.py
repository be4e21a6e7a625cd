"""From a cart to an order."""

from shop import flags, gift_wrap, pricing
from shop.cart import Line
from shop.orders import Order, OrderBook

_EXPRESS_LINES = 3


def check_out(lines: tuple[Line, ...], book: OrderBook) -> Order:
    """Price the cart and keep the order."""
    total = pricing.total(lines)
    express = flags.on("express-checkout") and len(lines) <= _EXPRESS_LINES
    paper = gift_wrap.paper(lines) if flags.on("gift-wrap") else None
    return book.add(
        skus=tuple(line.product.sku for line in lines),
        total=total,
        delivery_days=1 if express else 3,
        paper=paper,
    )
