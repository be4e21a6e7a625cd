import pytest
from openfeature import api
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider
from starlette.testclient import TestClient

from shop.app import create_app


def switch_on(*flags: str) -> None:
    """These flags are on and all others off."""
    on = {flag: InMemoryFlag("on", {"on": True, "off": False}) for flag in flags}
    api.set_provider_and_wait(InMemoryProvider(on))


@pytest.fixture
def client():
    switch_on()
    with TestClient(create_app()) as client:
        yield client


@pytest.fixture
def switch():
    yield switch_on
    switch_on()
