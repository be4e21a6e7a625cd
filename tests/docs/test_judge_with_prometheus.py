"""The page about Prometheus says what the settings take, and they build what they say."""

import re
from pathlib import Path

import pytest

from activities.backends.metrics_joined import JoinedMetrics
from activities.backends.metrics_prometheus import PrometheusMetrics
from leverframe.bootstrap import build_metrics
from leverframe.model.errors import BadConfiguration
from leverframe.model.queries import ARM_PLACEHOLDERS
from leverframe.settings import Settings, load

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/judge-with-prometheus.md").read_text()
FIRST = (ROOT / "docs/how-to/point-at-a-repository.md").read_text()


def blocks(page: str) -> list[str]:
    return [re.sub(r"(?m)^ {3}", "", block) for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The settings of the page, for the repository of the first page."""
    path = tmp_path / "prometheus.toml"
    path.write_text("\n".join((blocks(FIRST)[0], blocks(PAGE)[0])))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEVERFRAME_CONFIG", str(path))
    return load()


def test_the_settings_can_be_used_and_name_every_placeholder(told: Settings) -> None:
    signals = told.metrics.prometheus.services["shop"].signals
    assert set(signals) == {"errors", "slower than 250 ms", "restarts", "abandoned checkouts"}
    assert [placeholder for placeholder in ARM_PLACEHOLDERS if f"| `{placeholder}` |" not in PAGE] == []
    assert isinstance(build_metrics(told), PrometheusMetrics)


def test_several_sources_are_joined_and_an_unknown_service_is_named(told: Settings) -> None:
    both = told.metrics.model_copy(update={"backends": ("http", "prometheus")})
    assert isinstance(build_metrics(told.model_copy(update={"metrics": both})), JoinedMetrics)
    with pytest.raises(BadConfiguration, match="builds the service 'shop'"):
        build_metrics(told.model_copy(update={"repositories": ()}))
