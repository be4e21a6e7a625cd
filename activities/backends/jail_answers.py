"""What the probe driver printed, read as hostile data: code of the repository shares the jail with it."""

from collections.abc import Sequence

from pydantic import Field, ValidationError

from activities.ports import ProbeResult
from leverframe.model.frozen import Frozen
from leverframe.model.topology import Probe
from leverframe.model.untrusted import Untrusted


class _Answer(Frozen):
    """One probe as the driver reports it."""

    probe: str = Field(max_length=100)
    status: int = Field(ge=0, le=599)
    detail: str = Field(max_length=2000)


class _Answers(Frozen):
    answers: tuple[_Answer, ...] = Field(max_length=1000)
    log: str = Field(max_length=4000)


def read_answers(probes: Sequence[Probe], output: bytes, summary: str) -> list[ProbeResult]:
    """One result for each asked probe, whatever was printed; an unreadable answer is no response."""
    try:
        read = _Answers.model_validate_json(output)
    except ValidationError:
        given: dict[str, _Answer] = {}
        missing = f"no readable answer came out of the jail: {summary}"
    else:
        given = {answer.probe: answer for answer in read.answers}
        missing = "the probe was not sent"
    results = []
    for probe in probes:
        answer = given.get(probe.name)
        detail = Untrusted(answer.detail).for_terminal() if answer else missing
        if answer and answer.status == 0 and read.log:
            detail += ": " + Untrusted(read.log.strip().rpartition("\n")[2]).for_terminal()
        results.append(ProbeResult(probe=probe.name, status=answer.status if answer else 0, detail=detail))
    return results
