"""Whatever a webhook says, it names a run as the forge's backend takes it, or none."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from activities.backends.jobs_github import SUITE
from leverframe.gateway.github import suite_run
from leverframe.gateway.gitlab import pipeline_run

PIPELINE = re.compile(r"[1-9][0-9]{0,17}(\+[1-9][0-9]{0,17})?")

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=True),
    st.text(max_size=30),
    st.sampled_from(["2026-03-01T12:00:00Z", "2026-03-01 12:00:00 UTC", "0001-01-01T00:00:00Z", "work"]),
)
KEYS = st.sampled_from(
    ["check_suite", "app", "id", "slug", "head_branch", "updated_at", "builds", "started_at", "finished_at"]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)
SUITES = st.fixed_dictionaries(
    {"id": LEAVES, "head_branch": LEAVES, "updated_at": LEAVES, "app": st.fixed_dictionaries({"id": LEAVES})}
)


@given(JSON | st.fixed_dictionaries({"check_suite": SUITES}))
def test_a_check_suite_is_named_as_the_backend_takes_it_or_not_at_all(payload: Any) -> None:
    named = suite_run(payload, 4711)
    assert named is None or SUITE.fullmatch(named)


@given(st.integers(1, 10**18 - 1), st.dictionaries(KEYS, JSON, max_size=4))
def test_a_pipeline_is_always_named_as_the_backend_takes_it(pipeline: int, payload: dict[str, Any]) -> None:
    assert PIPELINE.fullmatch(pipeline_run(pipeline, payload))
