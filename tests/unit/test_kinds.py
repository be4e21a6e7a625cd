"""Signals, requests for facts and effects of several kinds: what was written before there were any reads."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from temporalio.contrib.pydantic import pydantic_data_converter

from leverframe.model.facts import ErrorFactsRequest, FactsRequest, FlakyFactsRequest
from leverframe.model.proposals import ChangeQuarantine, Effect, FlipFlag, RevertChange, RollBack
from leverframe.model.signals import ErrorBatch, ReportArrived, Signal
from tests.fakes.quarantines import change, entering
from tests.unit.agents.samples import SAMPLES

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
REVERT = {
    "lever": "open_merge_request", "repository": "shop", "commit": "a" * 40, "title": "Undo", "body": "why",
}  # fmt: skip
ASKED = {"repository": "shop", "service": "shop", "subject": "SHOP-1", "since": AT.isoformat()}


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (REVERT, RevertChange),
        ({"lever": "flip_flag", "flag": "new", "on": False}, FlipFlag),
        ({"lever": "roll_back", "service": "shop", "to": "a" * 40}, RollBack),
        (change(entering("a")).model_dump(mode="json"), ChangeQuarantine),
    ],
)
def test_an_effect_is_read_by_its_lever_and_what_it_changes(payload: dict[str, Any], kind: type) -> None:
    assert isinstance(TypeAdapter(Effect).validate_python(payload), kind)
    assert isinstance(TypeAdapter(Effect).validate_json(json.dumps(payload)), kind)


@pytest.mark.parametrize("change", ["quarantine", "else"])
def test_an_effect_that_says_to_be_of_another_kind_is_refused(change: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Effect).validate_python({**REVERT, "change": change})


def test_a_quarantine_that_changes_nothing_or_names_a_test_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="no test enters or leaves"):
        change()
    with pytest.raises(ValidationError, match="named twice"):
        change(entering("a"), leave=("tests/test_a.py::a",))


@pytest.mark.parametrize(
    ("payload", "hint", "kind"),
    [
        (ASKED, FactsRequest, ErrorFactsRequest),
        ({**ASKED, "kind": "flaky_tests", "agent": "flaky_tests"}, FactsRequest, FlakyFactsRequest),
        (SAMPLES["sentry_spike"].alarm[0].model_dump(mode="json"), Signal, ErrorBatch),
        (SAMPLES["flaky_tests"].alarm[0].model_dump(mode="json"), Signal, ReportArrived),
        (REVERT, Effect, RevertChange),
        (change(entering("a")).model_dump(mode="json"), Effect, ChangeQuarantine),
    ],
)
async def test_the_engine_reads_a_payload_as_its_kind(payload: Any, hint: Any, kind: type) -> None:
    """As a handler or an activity does, whose hints have lost what tells the kinds apart."""
    bare = hint.__origin__ if hasattr(hint, "__metadata__") else hint
    encoded = await pydantic_data_converter.encode([payload])
    for wanted in (hint, bare):
        [read] = await pydantic_data_converter.decode(encoded, [wanted])
        assert isinstance(read, kind)
