"""Two pictures of a page, compared as an eye would."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from activities.pictures import compare, distance
from leverframe.model.errors import BadInput
from leverframe.model.eyes import Mask

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def png(draw: object = None, size: tuple[int, int] = (40, 20), ground: tuple[int, int, int] = WHITE) -> bytes:
    picture = Image.new("RGB", size, ground)
    if draw is not None:
        draw(ImageDraw.Draw(picture))  # type: ignore[operator]
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def block(x: int, y: int, width: int, height: int, colour: tuple[int, int, int] = BLACK) -> bytes:
    return png(lambda draw: draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour))


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def test_a_picture_does_not_differ_from_itself() -> None:
    assert compare(block(1, 1, 5, 5), block(1, 1, 5, 5)).ppm == 0


def test_a_block_that_is_new_differs_in_exactly_its_pixels_and_is_drawn_red() -> None:
    found = compare(png(), block(10, 5, 8, 4))
    assert found.ppm == 32 * 1_000_000 // 800
    drawn = opened(found.picture)
    assert drawn.getpixel((10, 5)) == drawn.getpixel((17, 8)) == (255, 0, 0)
    assert drawn.getpixel((9, 5)) != (255, 0, 0)


def test_a_shade_that_no_eye_sees_is_no_difference() -> None:
    assert compare(png(ground=(200, 200, 200)), png(ground=(204, 203, 205))).ppm == 0
    assert compare(png(ground=(200, 200, 200)), png(ground=(150, 200, 200))).ppm == 1_000_000


def test_an_edge_that_is_only_smoothed_otherwise_is_no_difference() -> None:
    """A slanting edge, drawn hard in one picture and with grey steps in the other."""

    def hard(draw: ImageDraw.ImageDraw) -> None:
        draw.polygon([(0, 0), (39, 0), (0, 19)], fill=BLACK)

    def smooth(draw: ImageDraw.ImageDraw) -> None:
        hard(draw)
        for x in range(2, 38):
            y = round(19 - x * 19 / 39) + 1
            if y < 20:
                draw.point((x, y), fill=(150, 150, 150))

    found = compare(png(hard), png(smooth))
    drawn = opened(found.picture)
    smoothed = sum(drawn.getpixel((x, y)) == (255, 200, 0) for x in range(40) for y in range(20))
    assert smoothed > 20, "what is set aside is shown"
    assert found.ppm < smoothed * 1_000_000 // 800 // 2


def test_what_lies_under_a_mask_is_not_compared_and_not_counted_in_the_whole() -> None:
    whole = Mask(x=0, y=0, width=20, height=20)
    assert compare(png(), block(5, 5, 4, 4), [whole]).ppm == 0
    beside = compare(png(), block(30, 5, 4, 4), [whole])
    assert beside.ppm == 16 * 1_000_000 // 400
    assert compare(png(), block(5, 5, 4, 4), [Mask(x=0, y=0, width=999, height=999)]).ppm == 0


def test_pictures_of_two_sizes_differ_altogether() -> None:
    assert compare(png(), png(size=(40, 21))).ppm == 1_000_000


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, png()[:60]])
def test_what_is_no_picture_is_bad_input(content: bytes) -> None:
    with pytest.raises(BadInput):
        compare(png(), content)


def test_a_picture_larger_than_any_window_is_refused() -> None:
    with pytest.raises(BadInput, match="larger than any window"):
        compare(png(), png(size=(8000, 1000)))


def test_black_and_white_are_nearly_as_far_apart_as_colours_get() -> None:
    assert 32_800 < distance(BLACK, WHITE) <= 35_215
    assert distance(BLACK, BLACK) == 0


colours = st.tuples(*[st.integers(0, 255)] * 3)


@settings(max_examples=50, deadline=None)
@given(colours, colours)
def test_the_distance_is_the_same_both_ways_and_bounded(
    one: tuple[int, int, int], two: tuple[int, int, int]
) -> None:
    assert distance(one, two) == distance(two, one)
    assert 0 <= distance(one, two) <= 35_215
