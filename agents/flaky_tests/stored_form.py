"""What a store keeps of a test and of a suite: one JSON text each, with the version of its form.

Every number comes back as it was, so that a fold over a store is the fold in memory. Fields stand by their
place, in the order of `History`; a new one goes to the end of its tuple with a default, and then older texts
can still be read. Anything else needs a new VERSION.
"""

from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from agents.flaky_tests.evidence import RATES
from agents.flaky_tests.history import MOST_COMMITS, MOST_SIGNATURES, History, Quarantine
from agents.flaky_tests.masking import RATES as SHIFTED
from agents.flaky_tests.masking import STUCK
from agents.flaky_tests.suite import Suite
from leverframe.model.errors import BadInput

VERSION = 1
LONGEST = 16_384
"""Characters of a stored history; one with the longest names that git and the reports allow needs about
half of it."""
LONGEST_SUITE = 4_096

T = TypeVar("T")

_FINITE = ConfigDict(allow_inf_nan=False)
_HISTORY: TypeAdapter[tuple[int, History]] = TypeAdapter(tuple[int, History], config=_FINITE)
_SUITE: TypeAdapter[tuple[int, Suite]] = TypeAdapter(tuple[int, Suite], config=_FINITE)


def stored(history: History) -> str:
    """At most LONGEST characters. Raises BadInput for a history with names beyond that."""
    return _written(_HISTORY, (VERSION, history), LONGEST, "a test's history")


def restored(text: str) -> History:
    """Raises BadInput for another version, and for what is no history."""
    history = _read(_HISTORY, text, LONGEST, "a test's history")
    if why := _unfit(history):
        raise BadInput(f"a test's history can't be read back: {why}; fold its reports again")
    return history


def stored_suite(suite: Suite) -> str:
    """At most LONGEST_SUITE characters."""
    return _written(_SUITE, (VERSION, suite), LONGEST_SUITE, "a suite's state")


def restored_suite(text: str) -> Suite:
    """Raises BadInput for another version, and for what is no suite."""
    return _read(_SUITE, text, LONGEST_SUITE, "a suite's state")


def _written(form: TypeAdapter[tuple[int, T]], value: tuple[int, T], longest: int, what: str) -> str:
    text = form.dump_json(value).decode()
    if len(text) > longest:
        raise BadInput(f"{what} needs {len(text):,} characters, more than the {longest:,} that are kept")
    return text


def _read(form: TypeAdapter[tuple[int, T]], text: str, longest: int, what: str) -> T:
    if len(text) > longest:
        raise BadInput(f"{what} can't be read back: {len(text):,} characters, more than {longest:,}")
    version = text[1:].partition(",")[0].strip()
    if text[:1] == "[" and version.isdecimal() and version != str(VERSION):
        raise BadInput(
            f"{what} is stored in form {version[:20]}, and this release reads form {VERSION}: run the "
            "release that wrote it, or fold the reports again"
        )
    try:
        return form.validate_json(text, strict=True)[1]
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"][1:]))
        raise BadInput(f"{what} can't be read back: {place or 'text'}: {first['msg']}") from error


def _unfit(history: History) -> str:
    """Lengths that the fold relies on."""
    if len(history.evidence) != len(RATES):
        return f"evidence has {len(history.evidence)} values, not {len(RATES)}"
    if max(len(history.failed_at), len(history.streak)) > MOST_COMMITS:
        return f"it remembers more than {MOST_COMMITS} commits"
    if len(history.signatures) > MOST_SIGNATURES:
        return f"it remembers more than {MOST_SIGNATURES} failures"
    return "" if history.quarantine is None else _unfit_quarantine(history.quarantine)


def _unfit_quarantine(quarantine: Quarantine) -> str:
    lengths = len(quarantine.evidence), len(quarantine.usual.shifted), len(quarantine.usual.stuck)
    if lengths != (len(RATES), len(SHIFTED), len(STUCK)):
        return f"the quarantine's evidence has {lengths} values"
    return (
        "" if len(quarantine.masked) <= MOST_SIGNATURES else f"it masks more than {MOST_SIGNATURES} failures"
    )
