"""Request bodies: read and decompressed with a limit on both sides, so that no bomb goes off."""

import asyncio
import zlib
from collections.abc import Callable
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # ships no types
from starlette.requests import ClientDisconnect, Request

from leverframe.gateway.replies import Refusal

READ_SECONDS = 15
"""A sender that needs longer for one body holds a connection for nothing."""


class _Decoder(Protocol):
    """Decompresses piece by piece; `feed` and `finish` raise `_Broken`, `_TooLarge`."""

    def feed(self, chunk: bytes) -> bytes: ...

    def finish(self) -> None: ...


class _Broken(Exception):
    """The compressed bytes are not what their encoding says."""


class _TooLarge(Exception):
    """More than the limit came out."""


async def read_body(request: Request, *, max_bytes: int, seconds: float = READ_SECONDS) -> bytes:
    """The decompressed body.

    Raises:
        Refusal: 413 for more than `max_bytes` before or after decompression, 415 for an unknown
            encoding, 400 for broken compression or a sender that went away, 408 for one too slow.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    make_decoder = _DECODERS.get(encoding)
    if make_decoder is None:
        raise Refusal(
            415, "encoding", f"the body's encoding must be one of: {', '.join(filter(None, _DECODERS))}"
        )
    _check_announced_length(request, max_bytes)
    decoder = make_decoder(max_bytes)
    body = bytearray()
    received = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                received += len(chunk)
                if received > max_bytes:
                    raise _TooLarge
                if chunk:
                    body += decoder.feed(chunk)
                if len(body) > max_bytes:
                    raise _TooLarge
        decoder.finish()
    except _TooLarge as error:
        raise Refusal(413, "too_large", f"the body is larger than {max_bytes} bytes") from error
    except _Broken as error:
        raise Refusal(400, "encoding", f"the body is not complete {encoding} data") from error
    except TimeoutError as error:
        raise Refusal(408, "slow", f"the body took longer than {seconds:g} seconds") from error
    except ClientDisconnect as error:
        raise Refusal(400, "disconnected", "the sender went away before the body ended") from error
    return bytes(body)


def _check_announced_length(request: Request, max_bytes: int) -> None:
    announced = request.headers.get("content-length", "")
    # More than 18 digits is no length of anything, and int() would refuse some of them.
    if announced.isascii() and announced.isdigit() and (len(announced) > 18 or int(announced) > max_bytes):
        raise Refusal(413, "too_large", f"the body is larger than {max_bytes} bytes")


class _Identity:
    def __init__(self, limit: int) -> None:
        pass

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def finish(self) -> None:
        pass


class _Zlib:
    """gzip (RFC 1952) and deflate, which HTTP means to be zlib data (RFC 1950)."""

    def __init__(self, limit: int, window: int) -> None:
        self._limit = limit
        self._inflate = zlib.decompressobj(window)

    def feed(self, chunk: bytes) -> bytes:
        try:
            out = self._inflate.decompress(chunk, self._limit + 1)
        except zlib.error as error:
            raise _Broken from error
        if self._inflate.unconsumed_tail:
            raise _TooLarge
        if self._inflate.unused_data:
            raise _Broken
        return out

    def finish(self) -> None:
        if not self._inflate.eof:
            raise _Broken


class _Brotli:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inflate = brotli.Decompressor()

    def feed(self, chunk: bytes) -> bytes:
        try:
            out: bytes = self._inflate.process(chunk, output_buffer_limit=self._limit + 1)
        except brotli.error as error:
            raise _Broken from error
        if not self._inflate.can_accept_more_data():
            raise _TooLarge
        return out

    def finish(self) -> None:
        if not self._inflate.is_finished():
            raise _Broken


_DECODERS: dict[str, Callable[[int], _Decoder]] = {
    "": _Identity,
    "identity": _Identity,
    "gzip": lambda limit: _Zlib(limit, zlib.MAX_WBITS | 16),
    "deflate": lambda limit: _Zlib(limit, zlib.MAX_WBITS),
    "br": _Brotli,
}
