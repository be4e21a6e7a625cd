"""Reports in a zip file, as forges hand artifacts out. Nothing is written anywhere: names are only names."""

import io
import zipfile
from collections.abc import Callable
from datetime import datetime

from leverframe.model.errors import BadInput
from leverframe.model.test_reports import Report
from leverframe.reports.facts import Facts
from leverframe.reports.reading import MAX_BYTES, read

MOST_FILES = 500
MOST_NAMES = 100_000
ENDINGS = (".xml", ".jsonl", ".ndjson", ".xml.gz", ".jsonl.gz")
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_PIECE = 1 << 16


def reports_in(
    packed: bytes, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[list[tuple[str, bytes]], tuple[str, ...]]:
    """Name and content of each file that may be a report, `MAX_BYTES` together at the most, and complaints.

    What a file says of its size is not believed: it is counted as it is unpacked.
    """
    found, complaints, left = list[tuple[str, bytes]](), list[str](), MAX_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as opened:
            members = opened.infolist()
            if len(members) > MOST_NAMES:
                return [], (f"it has more than {MOST_NAMES:,} names",)
            for member in members:
                if member.is_dir() or not member.filename.lower().endswith(ENDINGS):
                    continue
                if not wanted(member.filename):
                    continue
                if len(found) >= MOST_FILES:
                    complaints.append(f"reports after the first {MOST_FILES} were left out")
                    break
                if member.compress_type not in _METHODS or member.flag_bits & 1:
                    complaints.append("a file that is encrypted, or compressed in a rare way, was left out")
                    continue
                content = _content(opened, member, left)
                if content is None:
                    complaints.append(f"what is after {MAX_BYTES:,} bytes was left out")
                    break
                left -= len(content)
                found.append((member.filename, content))
    except Exception as error:  # zipfile raises more kinds than it says for what is made to break it
        complaints.append(f"it is no sound zip file: {type(error).__name__}")
    return found, tuple(complaints)


def read_zipped(
    packed: bytes, facts: Facts, *, of: str, now: datetime, wanted: Callable[[str], bool] = lambda name: True
) -> tuple[tuple[Report, ...], tuple[str, ...]]:
    """Each report in a zip file, as `read` takes it, and complaints that begin with what the file is `of`."""
    found, complaints = reports_in(packed, wanted)
    reports, told = [], [f"{of}: {each}" for each in complaints]
    for number, (_, body) in enumerate(found, start=1):
        try:
            reports.append(read(body, facts, now=now))
        except BadInput as error:
            told.append(f"{of}, file {number}: {error}")
    return tuple(reports), tuple(told)


def _content(opened: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes | None:
    """None for more than fits."""
    content = bytearray()
    with opened.open(member) as file:
        while piece := file.read(_PIECE):
            content += piece
            if len(content) > most:
                return None
    return bytes(content)
