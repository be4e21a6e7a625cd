"""Everything that is configured can be built, and only from our own tree."""

import importlib.metadata
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest
from pydantic import SecretStr, ValidationError
from temporalio import activity

from activities.backends.changes_github import GithubChanges
from activities.backends.checks_github import GithubChecks
from activities.backends.github_account import GithubAccount
from activities.backends.queue_github import GithubQueue
from activities.backends.refs_github import GithubRefs
from activities.backends.terraform_cloud import TerraformCloud
from activities.backends.terraform_command import TerraformCommand
from activities.backends.terraform_none import NoTerraform
from activities.ports import Backend
from leverframe import backends, bootstrap, crews, forges
from leverframe.client import connect
from leverframe.model.errors import BadConfiguration
from leverframe.settings import (
    ChangesSettings,
    ChatSettings,
    GithubSettings,
    Settings,
    TerraformCloudSettings,
    TerraformSettings,
)
from leverframe.settings_gateway import ReportsSettings
from tests.fakes.github_setup import declared as a_repository


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


@pytest.mark.parametrize(("kind", "name"), sorted(backends.BACKENDS))
def test_every_backend_declares_itself_under_the_name_it_is_known_by(kind: str, name: str) -> None:
    declared = backends.backend(kind, name)  # type: ignore[arg-type]
    assert isinstance(declared, Backend)
    assert (declared.kind, declared.name) == (kind, name)


def test_a_backend_that_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(BadConfiguration, match="there is no flags backend 'nosuch'; there are: flagd"):
        backends.backend("flags", "nosuch")


def test_the_defaults_build_every_port(settings: Settings) -> None:
    ports = bootstrap.build_ports(settings)
    built = {name: getattr(ports, name) for name in type(ports).__dataclass_fields__}
    built |= {f"chat {name}": chat for name, chat in built.pop("chats").items()}
    assert "chat terminal" in built
    assert all(hasattr(port, "health") for port in built.values())


def test_changes_on_github_are_built_from_a_token_and_the_places_of_the_repositories(
    settings: Settings,
) -> None:
    github = GithubSettings(owner_repo={"shop": "acme/shop"}, token=SecretStr("ghp_x"))
    chosen = settings.model_copy(
        update={
            "changes": ChangesSettings(backend="github", github=github),
            "repositories": (a_repository("shop"),),
        }
    )
    assert isinstance(forges.build_changes(chosen), GithubChanges)
    assert isinstance(forges.build_checks(chosen), GithubChecks)
    assert isinstance(forges.build_queue(chosen), GithubQueue)


def test_cars_land_by_githubs_api_only_where_the_settings_say_so(settings: Settings) -> None:
    def moved_by(backend: Literal["store", "github"], land_by: Literal["push", "api"]) -> object:
        github = GithubSettings(owner_repo={"shop": "acme/shop"}, token=SecretStr("ghp_x"), land_by=land_by)
        changes = ChangesSettings(backend=backend, github=github)
        update = {"changes": changes, "repositories": (a_repository("shop"),)}
        return vars(forges.build_track(settings.model_copy(update=update)))["_moves"]

    assert moved_by("github", "push") is None
    assert isinstance(moved_by("github", "api"), GithubRefs)
    with pytest.raises(BadConfiguration, match=r"needs changes\.backend"):
        moved_by("store", "api")


def test_git_wants_a_whole_credential_even_when_changes_stay_in_the_store(settings: Settings) -> None:
    half = ChangesSettings(backend="store", github=GithubSettings(app_id=1))
    with pytest.raises(BadConfiguration, match="all of app_id, installation_id and private_key_file"):
        forges.build_track(settings.model_copy(update={"changes": half}))


@pytest.mark.parametrize(
    ("github", "said"),
    [
        (GithubSettings(), "give a token, or all of app_id"),
        (GithubSettings(app_id=1, installation_id=2), "give a token, or all of app_id"),
        (GithubSettings(app_id=1, token=SecretStr("ghp_x")), "not both"),
        (
            GithubSettings(app_id=1, installation_id=2, private_key_file=Path("/nosuch.pem")),
            "private_key_file: .*No such file",
        ),
        (
            GithubSettings(
                app_id=1,
                installation_id=2,
                private_key_file=Path("/nosuch.pem"),
                owner_repo={"shop": "acme/shop", "till": "other/till"},
            ),
            "several owners",
        ),
        (
            GithubSettings(token=SecretStr("ghp_x"), api_url="http://api.github.com"),
            "must be an https address",
        ),
    ],
)
def test_a_credential_for_github_that_cannot_be_used_is_named(
    settings: Settings, github: GithubSettings, said: str
) -> None:
    chosen = settings.model_copy(update={"changes": ChangesSettings(backend="github", github=github)})
    with pytest.raises(BadConfiguration, match=said) as caught:
        forges.build_changes(chosen)
    assert "ghp_x" not in str(caught.value)


@pytest.mark.parametrize(
    ("api_url", "address"),
    [
        ("https://api.github.com", "https://github.com/"),
        ("https://git.acme.com/api/v3", "https://git.acme.com/"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com/"),
    ],
)
def test_git_gets_the_token_for_the_host_of_the_api_only(api_url: str, address: str) -> None:
    account = GithubAccount(SecretStr("ghp_x"), names=(), api_url=api_url)
    assert account.git_login().address == address


@pytest.mark.parametrize(
    "place", ["acme", "acme/", "/shop", "acme/shop/x", "acme/..", "https://github.com/acme/shop"]
)
def test_a_place_on_github_is_an_owner_and_a_name(place: str) -> None:
    with pytest.raises(ValidationError):
        GithubSettings(owner_repo={"shop": place})


def test_the_sandbox_queue_has_the_sandbox_activities_and_no_other(settings: Settings) -> None:
    names = {activity_name(each) for each in crews.sandbox_activities(settings)}
    assert names == {"run_check", "execute_test", "run_probes", "look_at_pages"}


async def test_the_hands_take_in_reports_of_cars_and_of_the_forge(settings: Settings) -> None:
    client = await connect(settings, lazy=True)
    names = {activity_name(each) for each in crews.hands_activities(settings, client)}
    assert {"take_in_reports", "fetch_reports"} <= names


@pytest.mark.parametrize("kind", ["fetch", "jobs"])
@pytest.mark.parametrize(("repository", "why"), [("shop", "there is no forge"), ("gone", "is not declared")])
def test_what_is_fetched_needs_a_forge_and_a_declared_repository(
    settings: Settings, kind: str, repository: str, why: str
) -> None:
    tests = ReportsSettings.model_validate({kind: {repository: ["*"]}})
    gateway = settings.gateway.model_copy(update={"tests": tests})
    wanted = settings.model_copy(update={"gateway": gateway, "repositories": (a_repository("shop"),)})
    with pytest.raises(BadConfiguration, match=why):
        forges.build_forge_reports(wanted)


def test_dev_can_be_applied_healed_and_compared(settings: Settings) -> None:
    holder = crews.build_infrastructure(settings)
    names = {activity_name(getattr(holder, name)) for name in ("apply_to_dev", "heal_dev", "drift")}
    assert names == {"apply_to_dev", "heal_dev", "drift"}


@pytest.mark.parametrize(("backend", "built"), [("none", NoTerraform), ("command", TerraformCommand)])
def test_terraform_is_built_as_it_is_set(settings: Settings, backend: str, built: type) -> None:
    chosen = TerraformSettings.model_validate({"backend": backend})
    assert isinstance(bootstrap.build_terraform(settings.model_copy(update={"terraform": chosen})), built)


def test_terraform_cloud_needs_an_organisation_and_a_token(settings: Settings) -> None:
    half = TerraformSettings.model_validate({"backend": "cloud"})
    with pytest.raises(BadConfiguration, match="give organisation and token"):
        bootstrap.build_terraform(settings.model_copy(update={"terraform": half}))
    whole = half.model_copy(
        update={"cloud": TerraformCloudSettings(organisation="acme", token=SecretStr("x"))}
    )
    built = bootstrap.build_terraform(settings.model_copy(update={"terraform": whole}))
    assert isinstance(built, TerraformCloud)


@pytest.mark.parametrize(
    "name", ["LEVERFRAME_CHANGES__GITHUB__TOKEN", "TF_CLI_ARGS", "A B", "TF_REATTACH_PROVIDERS"]
)
def test_terraform_is_never_given_our_secrets_or_what_changes_its_commands(name: str) -> None:
    with pytest.raises(ValidationError):
        TerraformSettings(pass_environment=(name,))


def activity_name(method: crews.Activity) -> str | None:
    return activity._Definition.must_from_callable(method).name


def test_the_default_policy_can_be_put_in_force(settings: Settings) -> None:
    assert "org.yaml" in {document.file for document in bootstrap.load_policy(settings).documents}


def _slack(**chosen: object) -> dict[str, ChatSettings]:
    slack = {"bot_token": "xoxb-1", "team": "T0ACME", "notices": "C0NOTICES", "mode": "act", **chosen}
    return {"chat": ChatSettings.model_validate({"backends": ["slack", "terminal"], "slack": slack})}


def test_chats_are_built_in_the_order_of_the_settings(settings: Settings) -> None:
    chosen = settings.model_copy(update=_slack())
    assert list(bootstrap.build_chats(chosen)) == ["slack", "terminal"]
    assert list(bootstrap.build_chats(settings)) == ["terminal"]


def test_a_slack_without_its_settings_is_named(settings: Settings) -> None:
    with pytest.raises(BadConfiguration, match=r"chat\.slack: give bot_token, team and notices"):
        bootstrap.build_chats(settings.model_copy(update=_slack(bot_token=None)))


def test_there_are_forms_only_where_buttons_are(settings: Settings) -> None:
    secret = {"signing_secret": "s"}
    assert bootstrap.build_forms(settings) is None
    assert bootstrap.build_forms(settings.model_copy(update=_slack(mode="notify"))) is None
    assert bootstrap.build_forms(settings.model_copy(update=_slack(**secret))) is not None
    assert bootstrap.build_forms(settings.model_copy(update=_slack(app_token="xapp-1"))) is not None


def test_buttons_without_a_door_for_their_clicks_are_refused(settings: Settings) -> None:
    with pytest.raises(BadConfiguration, match="needs signing_secret, or app_token"):
        bootstrap.build_forms(settings.model_copy(update=_slack()))
