"""What the shop says to people."""

GREETING = "Welcome. We are still unpacking."
EMPTY_CART = "The cart is empty."
