"""Two pictures of a page, compared as an eye would: neither a shade nor a smoothed edge is a difference.

The distance of two colours is that of Kotsarenko and Ramos, *Measuring perceived color difference using YIQ
NTSC transmission color space in mobile applications* (2010); a pixel counts as smoothed by the rule of
Vyšniauskas, *Anti-aliased pixel and intensity slope detector* (2009). Mapbox's pixelmatch joins the two so.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from PIL import Image, ImageChops, ImageDraw

from leverframe.model.errors import BadInput
from leverframe.model.eyes import Mask

THRESHOLD = 0.1
"""Of the largest distance: what pixelmatch takes unless told otherwise."""

_LARGEST = 35215.0
"""The distance of the two colours that are farthest apart."""

MOST_PIXELS = 2560 * 2560
ENOUGH = 50_000
"""So many differing pixels are surely no smoothed edges: the rest is only counted."""

_SAME, _DIFFERENT, _SMOOTHED = (235, 235, 235), (255, 0, 0), (255, 200, 0)

Colour = tuple[int, int, int]


class Difference(NamedTuple):
    """How far two pictures are apart."""

    ppm: int
    """Of the pixels that are compared."""
    picture: bytes
    """PNG: the second one faded, what differs in red, what is only smoothed otherwise in yellow."""


def compare(before: bytes, after: bytes, masks: Sequence[Mask] = ()) -> Difference:
    """Compare two PNGs.

    Raises:
        BadInput: one of them is no PNG, or larger than a window can be.
    """
    one, two = _opened(before), _opened(after)
    faded = Image.blend(two, Image.new("RGB", two.size, (255, 255, 255)), 0.85)
    if one.size != two.size:
        return Difference(1_000_000, _png(faded))
    compared = Image.new("L", one.size, 255)
    for mask in masks:
        corner = (mask.x + mask.width - 1, mask.y + mask.height - 1)
        ImageDraw.Draw(compared).rectangle((mask.x, mask.y, *corner), fill=0)
    pair = _Pair(_Pixels(one), _Pixels(two))
    count = 0
    for x, y in _unequal(one, two, compared):
        if not pair.differ(x, y):
            continue
        if count < ENOUGH and pair.smoothed(x, y):
            faded.putpixel((x, y), _SMOOTHED)
            continue
        count += 1
        faded.putpixel((x, y), _DIFFERENT)
    total = compared.histogram()[255]
    return Difference(count * 1_000_000 // total if total else 0, _png(faded))


class _Pixels:
    """The colours of one picture."""

    def __init__(self, picture: Image.Image) -> None:
        self.width, self.height = picture.size
        self._content = picture.tobytes()

    def at(self, x: int, y: int) -> Colour:
        """The colour of one pixel."""
        place = (y * self.width + x) * 3
        red, green, blue = self._content[place : place + 3]
        return red, green, blue

    def around(self, x: int, y: int) -> Iterator[tuple[int, int]]:
        """The neighbours: eight, and fewer at the border."""
        for column in range(max(x - 1, 0), min(x + 2, self.width)):
            for row in range(max(y - 1, 0), min(y + 2, self.height)):
                if (column, row) != (x, y):
                    yield column, row

    def flat(self, x: int, y: int) -> bool:
        """Whether at least three neighbours have exactly the same colour; what is beyond the border has."""
        here = self.at(x, y)
        equal = self.at_border(x, y) + sum(self.at(*place) == here for place in self.around(x, y))
        return equal > 2

    def at_border(self, x: int, y: int) -> bool:
        """Whether it has fewer than eight neighbours."""
        return x in (0, self.width - 1) or y in (0, self.height - 1)


class _Pair:
    """Two pictures of one size, pixel by pixel."""

    def __init__(self, one: _Pixels, two: _Pixels) -> None:
        self._one, self._two = one, two

    def differ(self, x: int, y: int) -> bool:
        """Whether an eye sees it."""
        return distance(self._one.at(x, y), self._two.at(x, y)) > _LARGEST * THRESHOLD * THRESHOLD

    def smoothed(self, x: int, y: int) -> bool:
        """Whether it is an edge that one of the two draws smoother."""
        return self._on_edge(self._one, x, y) or self._on_edge(self._two, x, y)

    def _on_edge(self, pixels: _Pixels, x: int, y: int) -> bool:
        here = _luma(*pixels.at(x, y))
        equal = int(pixels.at_border(x, y))
        darkest, brightest = (0.0, (x, y)), (0.0, (x, y))
        for place in pixels.around(x, y):
            step = _luma(*pixels.at(*place)) - here
            if step == 0:
                equal += 1
                if equal > 2:
                    return False
            darkest, brightest = min(darkest, (step, place)), max(brightest, (step, place))
        if darkest[0] == 0 or brightest[0] == 0:
            return False
        return any(self._one.flat(*end) and self._two.flat(*end) for end in (darkest[1], brightest[1]))


def distance(one: Colour, two: Colour) -> float:
    """The square of how far two colours are apart to an eye, 0 to 35215."""
    red, green, blue = (ours - theirs for ours, theirs in zip(one, two, strict=True))
    luma = _luma(red, green, blue)
    in_phase = red * 0.59597799 - green * 0.27417610 - blue * 0.32180189
    quadrature = red * 0.21147017 - green * 0.52261711 + blue * 0.31114694
    return 0.5053 * luma * luma + 0.299 * in_phase * in_phase + 0.1957 * quadrature * quadrature


def _luma(red: int, green: int, blue: int) -> float:
    return red * 0.29889531 + green * 0.58662247 + blue * 0.11448223


def _unequal(one: Image.Image, two: Image.Image, compared: Image.Image) -> Iterable[tuple[int, int]]:
    """Where the two are not exactly the same."""
    bands = ImageChops.difference(one, two).split()
    apart = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
    apart = ImageChops.multiply(apart.point(lambda value: 255 if value else 0), compared)
    box = apart.getbbox()
    if box is None:
        return
    left, top, right, _ = box
    width = right - left
    for at, value in enumerate(apart.crop(box).tobytes()):
        if value:
            yield left + at % width, top + at // width


def _opened(content: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as found:
            if found.width * found.height > MOST_PIXELS:
                raise BadInput(f"a picture of {found.width}×{found.height} pixels is larger than any window")
            return found.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise BadInput("a picture is no PNG") from error


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()
