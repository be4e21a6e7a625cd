"""Files that were gzipped before they were sent, unpacked within bounds."""

import zlib

from leverframe.model.errors import BadInput

MAGIC = b"\x1f\x8b"
MOST_RATIO = 200
"""Decompressed to compressed bytes, past `FREE_BYTES`: reports of tests come to a tenth of it."""
FREE_BYTES = 5_000_000
MOST_MEMBERS = 1_000
_PIECE = 65_536


def unpacked(packed: bytes, *, max_bytes: int) -> bytes:
    """The content of a gzip file (RFC 1952), of several members if it has them.

    Raises BadInput: it is broken, or a bomb: more than `max_bytes`, or more than `MOST_RATIO` times as large.
    """
    out = bytearray()
    rest = memoryview(packed)
    for _ in range(MOST_MEMBERS):
        rest = rest[_member(rest, out, len(packed), max_bytes) :]
        if not rest.nbytes:
            return bytes(out)
    raise BadInput(f"the gzip data has more than {MOST_MEMBERS} members: no report has")


def _member(packed: memoryview, out: bytearray, whole: int, max_bytes: int) -> int:
    """Add one member's content; the bytes that it took."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    taken = 0
    while not inflate.eof:
        piece = inflate.unconsumed_tail or bytes(packed[taken : taken + _PIECE])
        if not inflate.unconsumed_tail:
            taken += len(piece)
        if not piece:
            raise BadInput("the gzip data ends too early: was it cut off?")
        try:
            out += inflate.decompress(piece, _PIECE)
        except zlib.error as error:
            raise BadInput("the gzip data is broken") from error
        if len(out) > max_bytes:
            raise BadInput(f"the gzip data holds more than {max_bytes} bytes")
        if len(out) > max(FREE_BYTES, MOST_RATIO * whole):
            raise BadInput(f"the gzip data holds more than {MOST_RATIO} times its own size: no report does")
    return taken - len(inflate.unused_data)
