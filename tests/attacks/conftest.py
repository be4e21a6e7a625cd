"""The attacks run against the real application with a real engine behind it."""

from tests.workflows.conftest import env, skipping

__all__ = ["env", "skipping"]
