"""Which paper a parcel is wrapped in; behind the flag `gift-wrap`."""

from shop.cart import Line

_HEAVY_GRAMS = 2000


def paper(lines: tuple[Line, ...]) -> str:
    """Strong paper for heavy parcels, tissue for the rest."""
    weight = sum(line.product.weight_grams * line.quantity for line in lines)
    return "kraft" if weight > _HEAVY_GRAMS else "tissue"
