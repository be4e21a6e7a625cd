"""Bytes of a report, of whichever kind, to the report."""

from codecs import BOM_UTF8
from datetime import datetime

from leverframe.model.errors import BadInput
from leverframe.model.test_reports import Report
from leverframe.reports import gzipped
from leverframe.reports.facts import Facts
from leverframe.reports.junit_xml import read_junit
from leverframe.reports.lines import read_lines

MAX_BYTES = 50_000_000
"""Of one report, decompressed."""
_LOOKED_AT = 1024


def read(body: bytes, facts: Facts, *, now: datetime, max_bytes: int = MAX_BYTES) -> Report:
    """The report: JUnit XML or JSON lines of attempts, gzipped or not, as its first bytes say.

    What is broken in a part of it is in its complaints. Attempts that say no time
    are of the beginning of the hour of `now`.

    Raises BadInput: nothing of it can be used, or it is made to do harm; the text says what and where.
    """
    if len(body) > max_bytes:
        raise BadInput(f"the report is larger than {max_bytes:,} bytes: send it in parts, job by job")
    if body.startswith(gzipped.MAGIC):
        body = gzipped.unpacked(body, max_bytes=max_bytes)
    start = body[:_LOOKED_AT].removeprefix(BOM_UTF8).lstrip()
    if start.startswith(b"{"):
        return read_lines(body, facts, now=now)
    if start.startswith(b"<") or body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return read_junit(body, facts, now=now)
    raise BadInput(
        "the report is neither JUnit XML nor JSON lines of attempts: it begins with "
        f"{body[:20].decode('ascii', 'replace')!r}"
        if body
        else "the report is empty"
    )
