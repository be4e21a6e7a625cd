"""The text of `.leverframe/quarantine.yaml`: YAML with one JSON object a line.

A reviewer sees one line a test, git merges line by line, and a reader needs no YAML library. A file that does
not have exactly this form is refused as a whole: then no failure is hidden.
"""

import json
from datetime import UTC, datetime

from pydantic import ValidationError

from leverframe.model.errors import BadInput
from leverframe.model.quarantine import MOST_ENTRIES, Quarantined, QuarantineFile

LONGEST = 20_000
"""Bytes of one entry."""
_HEAD = (
    "# Tests whose known failures can't fail a build until they expire. Written by merge request only.",
    "version: 1",
    "tests:",
)
_EMPTY = (*_HEAD[:2], "tests: []")
_ENTRY = "  - "


def rendered(file: QuarantineFile) -> str:
    """The same text for the same entries, whatever their order."""
    if not file.entries:
        return "\n".join(_EMPTY) + "\n"
    entries = sorted(file.entries, key=lambda entry: entry.test.stored())
    return "\n".join((*_HEAD, *(_ENTRY + _line(entry) for entry in entries))) + "\n"


def read(text: str) -> QuarantineFile:
    """Raises BadInput with the line that is not of the form, or names a test that another line names."""
    lines = text.split("\n")
    if lines[-1] != "":
        raise BadInput(f"quarantine.yaml:{len(lines)}: the last line has no end: it may be cut off")
    lines = [line for line in lines[:-1] if not line.startswith("#")]
    if tuple(lines) == _EMPTY[1:]:
        return QuarantineFile()
    if tuple(lines[:2]) != _HEAD[1:]:
        raise BadInput("quarantine.yaml: it must begin with `version: 1` and `tests:`, each on its line")
    if len(lines) - 2 > MOST_ENTRIES:
        raise BadInput(f"quarantine.yaml: more than {MOST_ENTRIES} tests")
    entries: dict[str, Quarantined] = {}
    for line in lines[2:]:
        entry = _entry(line)
        if entry.test.stored() in entries:
            raise BadInput(f"quarantine.yaml: two lines name {entry.test.for_terminal()}")
        entries[entry.test.stored()] = entry
    return QuarantineFile(entries=tuple(entries[test] for test in sorted(entries)))


def _line(entry: Quarantined) -> str:
    fields = {
        "test": entry.test.stored(),
        "masks": list(entry.masks),
        "since": _time(entry.since),
        "expires": _time(entry.expires),
        "evidence": entry.evidence,
        "owner": entry.owner,
        "link": entry.link,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def _entry(line: str) -> Quarantined:
    if not line.startswith(_ENTRY) or len(line) > LONGEST:
        raise BadInput(
            f"quarantine.yaml: {line[:60]!r} is no entry; write `  - ` and a JSON object on one line"
        )
    try:
        return Quarantined.model_validate_json(line[len(_ENTRY) :])
    except ValidationError as error:
        why = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'entry'}: {one['msg']}" for one in error.errors()
        )
        raise BadInput(f"quarantine.yaml: {line[:60]!r} can't be used: {why}") from error


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
