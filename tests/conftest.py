"""What holds for every test: nothing of the machine's own Leverframe reaches one."""

import os

import pytest
from hypothesis import Phase, settings

for name in [name for name in os.environ if name.startswith("LEVERFRAME_")]:
    if not name.startswith("LEVERFRAME_TEST_"):
        del os.environ[name]

# `make mutation` asks each change the same examples, and wants to know only that one of them fails.
settings.register_profile(
    "mutation", deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)
if "LEVERFRAME_TEST_MUTATION" in os.environ:
    settings.load_profile("mutation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
