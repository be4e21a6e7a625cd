"""What holds for every test of the policies."""

import pytest

from policies import protected


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    """Each test judges its paths anew: what an earlier one found out about the same path tells nothing."""
    for remembering in (protected.forms, protected._malformed, protected._named):
        remembering.cache_clear()
