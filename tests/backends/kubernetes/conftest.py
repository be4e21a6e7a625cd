"""A cluster with controllers, and our backends on it."""

import pytest

from tests.fakes.argo_world import ArgoWorld


@pytest.fixture
def world() -> ArgoWorld:
    """A is stable everywhere; production climbs 1, 25, 100."""
    return ArgoWorld(1, 25, 100)
