"""Every process reaches the engine by one client."""

from pathlib import Path

import pytest

from leverframe.client import connect, worker_runtime
from leverframe.model.errors import Unavailable
from leverframe.settings import Settings, TemporalSettings


async def test_an_engine_that_does_not_answer_is_unavailable_in_words(tmp_path: Path) -> None:
    nowhere = Settings(home=tmp_path, temporal=TemporalSettings(address="127.0.0.1:1"))
    with pytest.raises(Unavailable, match="start it with `leverframe up`"):
        await connect(nowhere)


async def test_a_lazy_client_lets_a_process_start_while_the_engine_is_away(tmp_path: Path) -> None:
    nowhere = Settings(home=tmp_path, temporal=TemporalSettings(address="127.0.0.1:1", namespace="fleet"))
    assert (await connect(nowhere, lazy=True)).namespace == "fleet"


def test_a_worker_without_a_metrics_port_has_no_runtime_of_its_own(tmp_path: Path) -> None:
    assert worker_runtime(Settings(home=tmp_path)) is None
