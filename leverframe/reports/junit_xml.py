"""JUnit XML, read as a stream by expat, the library of Python itself, with everything refused that expands.

A document type, an entity, deep nesting, an encoding that we don't know and a document of something else are
refused whole. A file that breaks off, or breaks somewhere, keeps the test cases that end before.
"""

import math
from datetime import datetime
from xml.parsers import expat

from leverframe.model.errors import BadInput
from leverframe.model.test_reports import MOST_MARKERS, Report
from leverframe.reports.facts import Facts
from leverframe.reports.gathering import MOST_ATTEMPTS, Gathering
from leverframe.reports.junit_cases import (
    Case,
    Namesake,
    Problem,
    attempts,
    identity,
    is_of_teardown,
    outcome_of,
    place_of,
    shared,
    signature_of,
)
from leverframe.reports.lines import instant

DEEPEST = 50
"""Elements in elements; test runners nest suites a few deep."""
MOST_ATTRIBUTES = 100
LONGEST_TOKEN = 2_000_000
"""Bytes of one tag or comment, which expat reads again from its start with each piece."""
_PIECE = 262_144
_FIRST_PIECE = 4_096
"""Until the first element: a document type stands before it, and its piece is read to the end."""
_LONGEST_TEXT = 8_000
_KEPT_TEXT = 2_000
"""Of a failure's text, at its beginning and at its end."""

_ENCODINGS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "windows-1252"})
_OF_PYTEST = ("pytest", "pytest tests")
"""What pytest calls its suite, and later versions all suites together."""
_ONE_CASE_EACH = ("jest tests", "rspec")
"""What runners call their suites that tell a test once, whatever they ran again."""
_OF_SUREFIRE = "surefire-test-report"
"""Its schema, which an attribute of the suite names: it tells reruns inside a case."""
_OF_GO = "go.version"
"""A property of gotestsum's suites: Go has no two tests of one name, and may run one many times."""
_ROOTS = ("testsuites", "testsuite")
_PROBLEMS = frozenset(
    {"failure", "error", "flakyFailure", "flakyError", "rerunFailure", "rerunError"},
)
_FORGIVEN = "quarantined_failure"
"""The property in which our pytest plugin keeps the text of a failure that it forgave."""
_FORGIVEN_FOR = "quarantined_signature"
"""The one after it, with the failure's signature, which is made of less than the text."""
_MARKERS = "leverframe_markers"
"""The property in which whoever writes the file may tell the marks of a test, parted by commas."""
_MANY = ("",) * (MOST_MARKERS + 1)
"""In the place of more marks than are kept: of such a test none is known."""


def read_junit(body: bytes, facts: Facts, *, now: datetime) -> Report:
    """The report in a JUnit file.

    Raises BadInput: the file is hostile, it is no JUnit file, or no test case of it is sound.
    """
    reading = _Reading()
    gathered = Gathering(now=now, variant=facts.variant)
    if defect := reading.read(body):
        gathered.complain(f"{defect}; the {len(reading.cases):,} test cases that end before it are kept")
    if reading.nameless:
        gathered.complain(f"{reading.nameless:,} test cases have no name and were left out")
    if reading.surplus:
        gathered.complain(f"{reading.surplus:,} test cases after the first {MOST_ATTEMPTS:,} were left out")
    if outside := reading.outside:
        gathered.complain(
            f"{outside:,} failures are counted that no test case has: they lie outside of tests"
        )
    lost, mixed = 0, shared(reading.cases)
    if mixed:
        gathered.complain(
            f"{len(mixed):,} names are shared by tests that failed and tests that did not: only the failures "
            "are taken, until each test has a name of its own"
        )
    for test, outcome, signature, case in attempts(reading.cases, mixed):
        lost += case.of_pytest and outcome == "fail" and not signature
        gathered.add(
            test,
            outcome,
            signature,
            at=case.at,
            duration_ms=case.duration_ms,
            path=case.path,
            markers=case.markers,
        )
    if lost:
        gathered.complain(
            f"{lost:,} failed attempts have lost what failed, as rerun plugins write them: "
            "leverframe_pytest writes all of it (--leverframe-results)"
        )
    return gathered.report(facts)


class _Suite:
    """A `testsuite` that is open."""

    def __init__(self, attributes: dict[str, str], outer: "_Suite | None") -> None:
        self.name: str = attributes.get("name") or (outer.name if outer else "")
        self.file: str = attributes.get("file") or (outer.file if outer else "")
        self.host: str = attributes.get("hostname") or (outer.host if outer else "")
        self.at: datetime | None = _instant(attributes.get("timestamp", "")) or (outer.at if outer else None)
        self.of_pytest: bool = self.name in _OF_PYTEST or (outer is not None and outer.of_pytest)
        self.namesake: Namesake = outer.namesake if outer else "unknown"
        if self.of_pytest:
            self.namesake = "again"
        elif self.name in _ONE_CASE_EACH or any(_OF_SUREFIRE in each for each in attributes.values()):
            self.namesake = "another"
        failures, errors = attributes.get("failures"), attributes.get("errors")
        self.declared: int = _count(failures) + _count(errors)
        """Failures and errors that it says to have, those of the suites inside it among them."""
        self.tells: bool = failures is not None or errors is not None


class _Reading:
    """One pass over one document."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.nameless = 0
        self.surplus = 0
        self.declared = self.failed = self.reran = 0
        """Failures and errors that the outermost suites say to have; test cases that have some; and, besides,
        failures after or before which a case ran again."""
        self._depth = 0
        self._rooted = False
        self._suites: list[_Suite] = []
        self._case: dict[str, str] | None = None
        self._case_depth = 0
        self._problems: list[Problem] = []
        self._skipped = False
        self._markers: tuple[str, ...] | None = None
        self._text: list[str] | None = None
        self._text_length = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartDoctypeDeclHandler = _refuse_document_type
        self._parser.EntityDeclHandler = _refuse_entity
        self._parser.ExternalEntityRefHandler = _refuse_entity
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def read(self, body: bytes) -> str:
        """Read all of it; what broke it, or an empty text. Raises BadInput."""
        if body.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise BadInput("the file is in UTF-16: write it in UTF-8")
        fed = 0
        try:
            while fed < len(body):
                piece = body[fed : fed + (_PIECE if self._rooted else _FIRST_PIECE)]
                self._parser.Parse(piece, False)
                fed += len(piece)
                if fed - self._parser.CurrentByteIndex > LONGEST_TOKEN:
                    return f"a tag or comment is longer than {LONGEST_TOKEN:,} bytes"
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            return self._broken(error, body)
        except (ValueError, LookupError) as error:
            raise BadInput(f"the file's encoding can't be read: {error}") from error
        return ""

    def _broken(self, error: expat.ExpatError, body: bytes) -> str:
        place = f"line {error.lineno}, column {error.offset + 1}"
        said = expat.ErrorString(error.code) or "it is not XML"
        at = self._parser.ErrorByteIndex
        if any(byte > 0x7F for byte in body[max(at, 0) : max(at, 0) + 4]):
            said += ", and the bytes there are not of the encoding that the file is said to be in"
        return f"{place}: {said}"

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise BadInput(f"the file says that it is in {encoding[:40]!r}: write it in UTF-8")

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise BadInput(f"the file nests elements more than {DEEPEST} deep: no report of tests does")
        if len(attributes) > MOST_ATTRIBUTES:
            raise BadInput(f"an element has more than {MOST_ATTRIBUTES} attributes: no report of tests has")
        if not self._rooted:
            self._rooted = True
            if element not in _ROOTS:
                raise BadInput(f"the file is no JUnit report: its root is <{element[:40]}>, not <testsuites>")
        if self._case is not None:
            self._inside(element, attributes)
        elif element in _ROOTS:
            outer = self._suites[-1] if self._suites else None
            suite = _Suite(attributes, outer)
            if not any(one.tells for one in self._suites):
                self.declared += suite.declared
            self._suites.append(suite)
        elif element == "property" and attributes.get("name") == _OF_GO and self._suites:
            self._suites[-1].namesake = "again"
        elif element == "testcase":
            self._case, self._case_depth = attributes, self._depth
            self._problems, self._skipped, self._markers = [], False, None

    def _inside(self, element: str, attributes: dict[str, str]) -> None:
        """An element of the test case that is open."""
        if element in _PROBLEMS and self._depth == self._case_depth + 1:
            self._problems.append(
                Problem(element, attributes.get("type", ""), attributes.get("message", ""), "")
            )
            self._text, self._text_length = [], 0
        elif element == "skipped":
            self._skipped = True
        elif element == "property" and attributes.get("name") == _FORGIVEN:
            self._problems.append(Problem(_FORGIVEN, "", "", attributes.get("value", "")))
        elif element == "property" and attributes.get("name") == _FORGIVEN_FOR:
            if self._problems and self._problems[-1].element == _FORGIVEN:
                self._problems[-1] = Problem(_FORGIVEN, "", "", attributes.get("value", ""))
        elif element == "property" and attributes.get("name") == _MARKERS:
            told = attributes.get("value", "").split(",", MOST_MARKERS)
            names = [name for name in map(str.strip, told) if name] if len(told) <= MOST_MARKERS else _MANY
            self._markers = (*(self._markers or ()), *names)[: MOST_MARKERS + 1]

    def _characters(self, text: str) -> None:
        if self._text is None:
            return
        self._text.append(text)
        self._text_length += len(text)
        if self._text_length > _LONGEST_TEXT:
            whole = "".join(self._text)
            self._text = [whole[:_KEPT_TEXT], whole[-_KEPT_TEXT:]]
            self._text_length = 2 * _KEPT_TEXT

    def _end(self, element: str) -> None:
        if self._case is None:
            if element in _ROOTS and self._suites:
                self._suites.pop()
        elif self._depth == self._case_depth:
            self._close(self._case)
            self._case = None
        elif self._text is not None and self._depth == self._case_depth + 1:
            self._problems[-1] = self._problems[-1]._replace(text="".join(self._text))
            self._text = None
        self._depth -= 1

    @property
    def outside(self) -> int:
        """Failures that are counted and in no test case. Some runners count a case that failed, Surefire 2
        each of its executions that did; what is between is neither.
        """
        more = self.declared - self.failed
        return 0 if more <= 0 or more == self.reran else more - self.reran if more > self.reran else more

    def _close(self, told: dict[str, str]) -> None:
        suite = self._suites[-1] if self._suites else _Suite({}, None)
        name, classname = told.get("name", ""), told.get("classname", "")
        if not (name or classname):
            self.nameless += 1
            return
        if len(self.cases) >= MOST_ATTEMPTS:
            self.surplus += 1
            return
        file = told.get("file") or suite.file
        problems = [problem for problem in self._problems if not problem.element.startswith("flaky")]
        again = sum(one.element.startswith(("flaky", "rerun")) for one in self._problems)
        self.failed += again < len(self._problems)
        self.reran += again
        self.cases.append(
            Case(
                test=identity(suite=suite.name, classname=classname, name=name, file=file),
                path=place_of(file),
                host=suite.host,
                of_pytest=suite.of_pytest,
                namesake=suite.namesake,
                at=suite.at,
                duration_ms=_milliseconds(told.get("time", "")),
                skipped=self._skipped,
                problems=tuple(
                    (outcome_of(problem), signature_of(problem, of_pytest=suite.of_pytest))
                    for problem in self._problems
                ),
                passed_last=not problems,
                markers=self._markers,
                of_teardown=any(is_of_teardown(problem) for problem in self._problems),
            )
        )


def _refuse_document_type(*_: object) -> None:
    raise BadInput("the file has a document type (<!DOCTYPE …>), which may hold entities: leave it out")


def _refuse_entity(*_: object) -> int:
    raise BadInput("the file declares or names an entity: leave entities out")


def _instant(text: str) -> datetime | None:
    try:
        return instant(text) if text else None
    except ValueError:
        return None


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _milliseconds(text: str) -> int:
    """Seconds, which Surefire writes with commas between thousands."""
    try:
        seconds = float(text.replace(",", "")) if len(text) < 40 else 0.0
    except ValueError:
        return 0
    return round(1000 * min(seconds, 1e9)) if math.isfinite(seconds) else 0
