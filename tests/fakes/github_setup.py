"""The GitHub backend on the fake: two declared repositories, a token or an App."""

from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr
from sqlalchemy import Engine

from activities.backends.changes_github import GithubChanges
from activities.backends.checks_github import GithubChecks
from activities.backends.github_account import App, GithubAccount
from activities.backends.queue_github import GithubQueue
from activities.backends.refs_github import GithubRefs
from activities.backends.reports_github import GithubReports
from leverframe.model.changes import Change
from leverframe.model.checks import Check
from leverframe.model.topology import CanaryPlan, CanaryStep, Repository, Service, TrainRules
from tests.fakes.github import FakeGithub
from tests.fakes.github_shapes import APP_ID, INSTALLATION, TOKEN, Fault
from tests.fakes.github_world import GithubWorld

OWNER_REPO = {"shop": "acme/shop", "till": "acme/till"}


@dataclass(frozen=True)
class Key:
    """An App's key pair, in PEM."""

    private: str
    public: str


def new_key() -> Key:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = made.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Key(private.decode(), public.decode())


def an_app(private_key: str) -> App:
    return App(app_id=APP_ID, installation_id=INSTALLATION, private_key=private_key)


def account(github: FakeGithub, credential: SecretStr | App | None = None) -> GithubAccount:
    names = tuple(OWNER_REPO.values())
    return GithubAccount(credential or SecretStr(TOKEN), names=names, transport=github.transport)


def on_github(github: FakeGithub, store: Engine, credential: SecretStr | App | None = None) -> GithubChanges:
    return GithubChanges(
        account(github, credential),
        store,
        repositories=[declared(name) for name in OWNER_REPO],
        owner_repo=OWNER_REPO,
    )


def queue_on(github: FakeGithub, credential: SecretStr | App | None = None, **train: str) -> GithubQueue:
    shop = declared("shop")
    shop = shop.model_copy(update={"train": TrainRules.model_validate(train)})
    return GithubQueue(account(github, credential), repositories=[shop], owner_repo=OWNER_REPO)


def checks_on(github: FakeGithub, credential: SecretStr | App | None = None, *checks: Check) -> GithubChecks:
    shop = declared("shop")
    shop = shop.model_copy(update={"checks": (*shop.checks, *checks)})
    return GithubChecks(account(github, credential), repositories=[shop], owner_repo=OWNER_REPO)


def reports_on(
    github: FakeGithub, *wanted: str, jobs: tuple[str, ...] = (), credential: SecretStr | App | None = None
) -> GithubReports:
    return GithubReports(
        account(github, credential),
        repositories=[declared("shop")],
        owner_repo=OWNER_REPO,
        wanted={"shop": wanted} if wanted else {},
        jobs={"shop": jobs} if jobs else {},
    )


def refs_on(github: FakeGithub) -> GithubRefs:
    return GithubRefs(account(github), repositories=[declared("shop")], owner_repo=OWNER_REPO)


def declared(name: str) -> Repository:
    steps = (CanaryStep(percent=100, min_requests=0, min_seconds=0, max_seconds=600),)
    return Repository(
        name=name,
        url=f"https://github.com/acme/{name}.git",
        checks=(Check(name="unit", command=("true",)),),
        service=Service(
            name=name, command=("true",), overlays={}, image=name, canary=CanaryPlan(steps=steps)
        ),
    )


def another(github: GithubWorld, branch: str, files: dict[str, str | None]) -> Change:
    number, head = github.opened(branch, files)
    return github.git.change(head, number=number, branch=branch)


def mutation(status: int = 0, *, applied: bool = False, **body: object) -> Fault:
    """The next GraphQL mutation goes wrong."""
    return Fault("POST", "/graphql$", status, dict(body), applied=applied, about="mutation")
