"""Receipts: blobs of JSON that `refs/train/<target>/landed/<sequence>` point at, one a landed change."""

import re
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from activities.backends.git_process import Git
from leverframe.model.changes import Receipt

MAX_BYTES = 8_000_000
"""A larger blob is no receipt: a car changes a bounded number of paths."""

_AT_ONCE = 16


def landed_ref(target: str, sequence: int) -> str:
    """Where the receipt with this number is kept."""
    return f"refs/train/{target}/landed/{sequence}"


def head_ref(target: str, head: str) -> str:
    """What keeps the head of a squashed or rebased change, which no commit of the target contains."""
    return f"refs/train/{target}/heads/{head}"


def numbered(git: Git, target: str) -> list[tuple[int, str]]:
    """Sequence number and object of each receipt ref, newest first."""
    refs = f"refs/train/{target}/landed/"
    listed = git.run("for-each-ref", "--format=%(refname) %(objectname)", refs).text.splitlines()
    pairs = (line.removeprefix(refs).split() for line in listed)
    found = [(int(number), blob) for number, blob in pairs if re.fullmatch(r"[1-9]\d{0,9}", number)]
    return sorted(found, reverse=True)


def receipts(git: Git, target: str) -> Iterator[Receipt]:
    """The receipts, newest first. A blob that is none (somebody's hand) is passed over."""
    for _, receipt in read(git, target, numbered(git, target)):
        if receipt is not None:
            yield receipt


def read(git: Git, target: str, pairs: Sequence[tuple[int, str]]) -> Iterator[tuple[int, Receipt | None]]:
    """The receipt behind each of `numbered`; None where there is something else."""
    for start in range(0, len(pairs), _AT_ONCE):
        some = pairs[start : start + _AT_ONCE]
        blobs = _blobs(git, [blob for _, blob in some])
        for number, blob in some:
            yield number, _receipt(target, number, blobs.get(blob, b""))


def _receipt(target: str, number: int, content: bytes) -> Receipt | None:
    try:
        receipt = Receipt.model_validate_json(content)
    except ValidationError:
        return None
    return receipt if (receipt.sequence, receipt.target) == (number, target) else None


def _blobs(git: Git, ids: Sequence[str]) -> dict[str, bytes]:
    """The content of those that are blobs of a sane size."""
    told = git.run(
        "cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", stdin=_lines(ids)
    ).text
    sizes = {
        fields[0]: int(fields[2])
        for fields in (line.split() for line in told.splitlines())
        if fields[1] == "blob" and int(fields[2]) <= MAX_BYTES
    }
    contents = dict[str, bytes]()
    room: list[str] = []
    for blob in [*sizes, ""]:
        if room and (not blob or sum(sizes[one] for one in room) + sizes[blob] > MAX_BYTES):
            contents |= _contents(git, room, sizes)
            room = []
        room.append(blob)
    return contents


def _contents(git: Git, ids: Sequence[str], sizes: dict[str, int]) -> dict[str, bytes]:
    raw, contents, at = git.run("cat-file", "--batch", stdin=_lines(ids)).out, dict[str, bytes](), 0
    for blob in ids:
        begin = raw.index(b"\n", at) + 1
        contents[blob] = raw[begin : begin + sizes[blob]]
        at = begin + sizes[blob] + 1
    return contents


def _lines(ids: Sequence[str]) -> bytes:
    return "".join(f"{one}\n" for one in ids).encode()
