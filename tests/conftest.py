"""What holds for every test: nothing of the machine's own Leverframe reaches one."""

import os

import pytest

for name in [name for name in os.environ if name.startswith("LEVERFRAME_")]:
    if not name.startswith("LEVERFRAME_TEST_"):
        del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
