"""GitLab's own summary of a pipeline's JUnit files: https://docs.gitlab.com/api/pipelines/#get-a-test-report-for-a-pipeline.

GitLab keeps the first of several cases of one name, so attempts of rerun plugins are lost in it.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leverframe.model.errors import BadInput
from leverframe.model.test_reports import Outcome, Report
from leverframe.reports.facts import Facts
from leverframe.reports.gathering import Gathering
from leverframe.reports.junit_cases import Problem, identity, place_of, signature_of

_OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {"success": "pass", "failed": "fail", "error": "error", "skipped": "skip"}
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Case(_Part):
    status: str = ""
    name: str = ""
    classname: str | None = None
    file: str | None = None
    execution_time: float | None = None
    system_output: object = None
    stack_trace: str | None = None


class _Suite(_Part):
    name: str = ""
    test_cases: tuple[_Case, ...] = ()
    suite_error: str | None = None


class TestReportDocument(_Part):
    """The part of the answer that is used."""

    __test__ = False
    """It is no test, whatever pytest makes of its name."""
    test_suites: tuple[_Suite, ...] = Field(default=(), max_length=1000)


def read_document(document: object, facts: Facts, *, now: datetime) -> list[Report]:
    """One report for each suite, which is a job of the pipeline. Suites without a usable test are left out.

    Raises BadInput for a document of another shape.
    """
    try:
        read = TestReportDocument.model_validate(document)
    except ValidationError as error:
        raise BadInput("the test report is not one of GitLab's API") from error
    reports = []
    for suite in read.test_suites:
        gathered = Gathering(now=now)
        if suite.suite_error:
            gathered.complain("GitLab could not read a report of the job")
        unknown = 0
        for case in suite.test_cases:
            outcome = _OUTCOMES.get(case.status)
            if outcome is None or not (case.name or case.classname):
                unknown += 1
                continue
            gathered.add(
                # The suite is the job, which is no part of a test's name.
                identity(suite="", classname=case.classname or "", name=case.name, file=case.file or ""),
                outcome,
                _signature(case),
                at=now,
                duration_ms=round(1000 * min(max(case.execution_time or 0.0, 0.0), 1e9)),
                path=place_of(case.file or ""),
                markers=None,
            )
        if unknown:
            gathered.complain(f"{unknown:,} cases have no name, or a status that is not known")
        if len(gathered):
            reports.append(gathered.report(facts.filled(run="", sha="", branch="", job=suite.name[:500])))
    return reports


def _signature(case: _Case) -> str:
    said = case.system_output if isinstance(case.system_output, str) else str(case.system_output or "")
    text = "\n".join(part for part in (said, case.stack_trace) if part)
    return signature_of(Problem("failure", "", "", text), of_pytest=False)
