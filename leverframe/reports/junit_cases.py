"""What a JUnit file says of one test case, and which attempts that makes.

Formats that were looked at: pytest (xunit1, xunit2, with rerunfailures and flaky), Maven Surefire with
`rerunFailingTestsCount`, gotestsum, jest-junit, Playwright, RspecJunitFormatter.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from leverframe.model.test_reports import MOST_TEST, Outcome
from leverframe_pytest.signatures import fingerprint

_OWN_NAMES = frozenset({"pytest", "pytest tests", "rspec", "jest tests"})
"""What test runners call a suite that nobody gave a name: it tells no test from another."""
Namesake = Literal["again", "another", "unknown"]
"""A further case of the same name: the test once more, another test, or that can't be said."""
_CRASH = re.compile(r"^(?P<file>[^\n:]+):\d+:[^\n]*\Z", re.MULTILINE)
"""How pytest ends a failure."""
_PHASE = re.compile(r'failed on (?:setup|teardown) with "(?P<message>.*)"\Z', re.DOTALL)
_TEARDOWN = "failed on teardown with "


class Problem(NamedTuple):
    """A `failure` or `error`, or one of Surefire's `flakyFailure`, `rerunError` and the like."""

    element: str
    type: str
    message: str
    text: str
    """Its beginning and its end."""


class Case(NamedTuple):
    """One `testcase` element."""

    test: str
    path: str
    host: str
    of_pytest: bool
    namesake: Namesake
    """What its runner means by a further case of its name."""
    at: datetime | None
    duration_ms: int
    skipped: bool
    problems: tuple[tuple[Outcome, str], ...]
    """Outcome and fingerprint of each failed attempt that it tells of."""
    passed_last: bool
    """It had no problems, or passed after them, as Surefire's flaky tests do."""
    markers: tuple[str, ...] | None
    """What a property of the case tells; None without one."""
    of_teardown: bool
    """Its error is one of the teardown, which pytest gives a case of its own after a failed call."""


def identity(*, suite: str, classname: str, name: str, file: str) -> str:
    """File or suite, then the whole name. pytest's xunit1 gives node ids.

    >>> identity(suite="pytest", classname="tests.test_a.TestX", name="test_y[1]", file="tests/test_a.py")
    'tests/test_a.py::TestX::test_y[1]'
    """
    if file:
        place, module = _placed(file)
        if classname == module:
            return f"{place}::{name}"
        if classname.startswith(f"{module}."):
            inner = classname.removeprefix(f"{module}.").replace(".", "::")
            return f"{place}::{inner}::{name}"
        return "::".join((place, *_parts(classname, name)))
    parts = _parts(classname, name)
    if suite and suite not in _OWN_NAMES and not parts[0].startswith(suite):
        return "::".join((suite, *parts))
    return "::".join(parts)


def place_of(file: str) -> str:
    """The file as a path in the repository; whether it is one is for others to say."""
    return _placed(file)[0] if file else ""


def _placed(file: str) -> tuple[str, str]:
    """The file with its parts parted by `/`, and as the name of a module."""
    # What is longer is in no name that is kept, and is not remembered either.
    return _parsed(file[: MOST_TEST + 1])


@lru_cache(maxsize=4096)
def _parsed(file: str) -> tuple[str, str]:
    path = PurePosixPath(file.replace("\\", "/"))
    place = str(path)
    return place, place.removesuffix(path.suffix).replace("/", ".")


def _parts(classname: str, name: str) -> tuple[str, ...]:
    """jest-junit writes the whole title into both by default."""
    if not name or name == classname:
        return (classname,)
    return (classname, name) if classname else (name,)


def signature_of(problem: Problem, *, of_pytest: bool) -> str:
    """The fingerprint of a failure; of pytest's the same that our plugin writes.

    Of others all that is known goes in: a message may be the same for every failure ("Failed").
    """
    crash = _CRASH.search(problem.text) if of_pytest else None
    if crash is not None and problem.message:
        phase = _PHASE.match(problem.message)
        message = phase["message"] if phase else problem.message
        return fingerprint(f"{PurePosixPath(crash['file'].strip()).name}\n{message}")
    known = (problem.type, problem.message, problem.text.strip())
    return fingerprint("\n".join(part for part in known if part))


def outcome_of(problem: Problem) -> Outcome:
    """`error` for what ends so, `fail` for all else."""
    return "error" if problem.element.lower().endswith("error") else "fail"


def is_of_teardown(problem: Problem) -> bool:
    """Whether pytest says that the teardown failed."""
    return problem.message.startswith(_TEARDOWN)


class Executed(NamedTuple):
    """One attempt of a case."""

    test: str
    outcome: Outcome
    fingerprint: str
    case: Case


def names(cases: Sequence[Case]) -> list[str]:
    """What the test of each case is called.

    The same test in suites of several hosts is several variants, as browsers are to Playwright, and is named
    by the host.
    """
    hosts: defaultdict[str, set[str]] = defaultdict(set)
    for case in cases:
        hosts[case.test].add(case.host)
    return [
        f"{case.test} ({case.host})" if len(hosts[case.test]) > 1 and case.host else case.test
        for case in cases
    ]


def shared(cases: Sequence[Case]) -> frozenset[str]:
    """Names that several tests have, of which one failed and another did not.

    Nobody runs a test again that has passed, but Go, which tells two tests by their names.
    """
    by_name: defaultdict[str, list[Case]] = defaultdict(list)
    for name, case in zip(names(cases), cases, strict=True):
        by_name[name].append(case)
    return frozenset(
        name
        for name, same in by_name.items()
        if len({case.passed_last for case in same}) > 1 and _are_several(same)
    )


def _are_several(same: Sequence[Case]) -> bool:
    namesake = same[0].namesake
    return namesake == "another" or (
        namesake == "unknown" and any(case.passed_last and not case.skipped for case in same[:-1])
    )


def attempts(cases: Sequence[Case], shared: frozenset[str]) -> Iterator[Executed]:
    """The attempts of a file's cases, a test's in their order.

    Cases of one name are attempts of one test; where it is `shared` only what failed is told, since a pass of
    another test would make a broken one look flaky. pytest's rerun plugins leave an attempt that failed
    without a failure, so that of pytest every case without one but the last has failed.
    """
    last = {case.test: number for number, case in enumerate(cases)}
    failed_call: dict[str, bool] = {}
    for number, (name, case) in enumerate(zip(names(cases), cases, strict=True)):
        if case.of_pytest and case.of_teardown and failed_call.get(case.test):
            continue
        if case.passed_last and name in shared:
            continue
        failed_call[case.test] = any(outcome == "fail" for outcome, _ in case.problems)
        if case.problems:
            for outcome, signature in case.problems:
                yield Executed(name, outcome, signature, case)
            if case.passed_last:
                yield Executed(name, "pass", "", case)
        elif case.skipped:
            yield Executed(name, "skip", "", case)
        elif case.of_pytest and number < last[case.test]:
            yield Executed(name, "fail", "", case)
        else:
            yield Executed(name, "pass", "", case)
