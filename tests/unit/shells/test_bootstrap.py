"""Everything that is configured can be built, and only from our own tree."""

import importlib.metadata
import sys
from pathlib import Path
from types import ModuleType

import pytest
from temporalio import activity

from activities.ports import Backend
from leverframe import bootstrap
from leverframe.model.errors import BadConfiguration, Unavailable
from leverframe.settings import Settings, TemporalSettings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_the_root_packages_are_ours() -> None:
    bootstrap.assert_own_roots()


def test_a_distribution_that_installs_one_of_our_root_names_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "openai_agents-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: openai-agents\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("agents\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "openai-agents" in importlib.metadata.packages_distributions()["agents"]
    with pytest.raises(BadConfiguration, match=r"'agents' is also installed by openai-agents"):
        bootstrap.assert_own_roots()


def test_a_root_package_from_elsewhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = ModuleType("policies")
    foreign.__file__ = str(tmp_path / "policies" / "__init__.py")
    monkeypatch.setitem(sys.modules, "policies", foreign)
    with pytest.raises(BadConfiguration, match=f"'policies' comes from {tmp_path}"):
        bootstrap.assert_own_roots()


@pytest.mark.parametrize(("kind", "name"), sorted(bootstrap.BACKENDS))
def test_every_backend_declares_itself_under_the_name_it_is_known_by(kind: str, name: str) -> None:
    declared = bootstrap.backend(kind, name)  # type: ignore[arg-type]
    assert isinstance(declared, Backend)
    assert (declared.kind, declared.name) == (kind, name)


def test_a_backend_that_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(BadConfiguration, match="there is no flags backend 'nosuch'; there are: flagd"):
        bootstrap.backend("flags", "nosuch")


def test_the_defaults_build_every_port(settings: Settings) -> None:
    ports = bootstrap.build_ports(settings)
    assert all(hasattr(getattr(ports, name), "health") for name in type(ports).__dataclass_fields__)


def test_the_sandbox_queue_has_the_sandbox_activities_and_no_other(settings: Settings) -> None:
    names = {activity_name(each) for each in bootstrap.sandbox_activities(settings)}
    assert names == {"run_check", "run_probes"}


def activity_name(method: bootstrap.Activity) -> str | None:
    return activity._Definition.must_from_callable(method).name


def test_the_default_policy_can_be_put_in_force(settings: Settings) -> None:
    assert "org.yaml" in {document.file for document in bootstrap.load_policy(settings).documents}


async def test_an_engine_that_does_not_answer_is_unavailable_in_words(tmp_path: Path) -> None:
    nowhere = Settings(home=tmp_path, temporal=TemporalSettings(address="127.0.0.1:1"))
    with pytest.raises(Unavailable, match="start it with `leverframe up`"):
        await bootstrap.connect(nowhere)
