"""The page about flows says what the settings take, and what its pages send is what the gateway counts."""

import re
from pathlib import Path
from typing import get_args

import pytest

from activities.backends.metrics_joined import JoinedMetrics
from leverframe.bootstrap import build_metrics
from leverframe.gateway.flow_counts import REMEMBERED, Heard
from leverframe.gateway.flow_door import MAX_BYTES
from leverframe.model.errors import BadConfiguration
from leverframe.model.flows import MOST_EVENTS
from leverframe.settings import MetricsSettings, load

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/count-users-flows.md").read_text()
FIRST = (ROOT / "docs/how-to/point-at-a-repository.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return [
        re.sub(r"(?m)^ {3}", "", block) for block in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    ]


def test_the_settings_can_be_used_and_join_the_flows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "flows.toml"
    path.write_text("\n".join((blocks(FIRST, "toml")[0], blocks(PAGE, "toml")[0])))
    monkeypatch.setenv("LEVERFRAME_CONFIG", str(path))
    told = load()
    assert told.gateway.flows.declared == {"shop": {"checkout": 300}}
    assert isinstance(build_metrics(told), JoinedMetrics)
    path.write_text('[metrics]\nbackends = ["flows"]\n')
    with pytest.raises(BadConfiguration, match="flows tell nothing of `errors`"):
        load()
    assert MetricsSettings().flows_url == ""


def test_every_outcome_and_bound_is_named() -> None:
    outcomes = (*get_args(Heard), "unknown_flow", "unknown_revision", "unsigned")
    assert [outcome for outcome in outcomes if f"| `{outcome}` |" not in PAGE] == []
    assert f"{MOST_EVENTS} events and {MAX_BYTES // 1024} KiB" in PAGE
    assert f"{REMEMBERED:,}".replace(",", " ") in PAGE
