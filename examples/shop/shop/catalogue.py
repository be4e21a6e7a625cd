"""What can be bought. Money is in cents."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Product:
    sku: str
    name: str
    list_price: int
    price: int
    weight_grams: int | None
    """None for what has no weight, such as a gift card that is sent by mail."""


class UnknownProduct(Exception):
    """No product has this sku."""


_PRODUCTS = (
    Product("mug", "Stoneware mug", 1800, 1500, 410),
    Product("teapot", "Cast iron teapot", 6400, 6400, 1900),
    Product("green-tea", "Green tea, 100 g", 1250, 990, 130),
    Product("black-tea", "Black tea, 100 g", 1100, 1100, 130),
    Product("strainer", "Steel strainer", 900, 750, 60),
    Product("sample", "Tea sample, free", 0, 0, 5),
    Product("gift-card", "Gift card", 2500, 2500, None),
)
_BY_SKU = {product.sku: product for product in _PRODUCTS}


def find(sku: str) -> Product:
    """Raises UnknownProduct."""
    try:
        return _BY_SKU[sku]
    except KeyError:
        raise UnknownProduct(sku) from None


def listing() -> list[dict[str, object]]:
    """Every product, as the catalogue shows it."""
    return [asdict(product) for product in _PRODUCTS]
