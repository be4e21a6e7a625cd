"""What a registry says that a tag is: tokens, logins, and every way of saying no."""

import pytest
from pydantic import SecretStr

from activities.backends.oci_registry import Registries
from leverframe.model.errors import NotFound, Refused, Unavailable
from tests.fakes.oci_registry import HOST, MANIFEST, REALM, FakeRegistry

IMAGE, TAG = f"{HOST}/acme/shop", "a" * 40
LOGIN = ("robot", "pull-me")


def registries(fake: FakeRegistry, *, login: tuple[str, str] | None = None, host: str = HOST) -> Registries:
    logins = {host: (login[0], SecretStr(login[1]))} if login else {}
    return Registries(logins=logins, transport=fake.transport())


@pytest.mark.parametrize("kind", ["application/vnd.oci.image.index.v1+json", MANIFEST])
@pytest.mark.parametrize("says_digest", [True, False])
def test_a_tag_is_the_digest_of_its_manifest_whether_the_registry_says_it_or_not(
    kind: str, says_digest: bool
) -> None:
    fake = FakeRegistry(says_digest=says_digest)
    digest = fake.push("acme/shop", TAG, kind=kind)
    assert registries(fake).digest(IMAGE, TAG) == digest
    fake.push("acme/shop", TAG, layer="another", kind=kind)
    assert registries(fake).digest(IMAGE, TAG) != digest, "a tag may be moved"


@pytest.mark.parametrize(("challenge", "shown_to"), [("Bearer", ["auth.example"]), ("Basic", [HOST])])
def test_a_private_image_is_read_with_a_login_that_only_who_asks_for_it_gets(
    challenge: str, shown_to: list[str]
) -> None:
    fake = FakeRegistry(login=LOGIN, challenge=challenge)
    digest = fake.push("acme/shop", TAG)
    assert registries(fake, login=LOGIN).digest(IMAGE, TAG) == digest
    assert fake.credentials == shown_to


@pytest.mark.parametrize("login", [None, ("robot", "wrong")])
@pytest.mark.parametrize("challenge", ["Bearer", "Basic"])
def test_without_the_right_login_it_is_refused(login: tuple[str, str] | None, challenge: str) -> None:
    fake = FakeRegistry(login=LOGIN, challenge=challenge)
    fake.push("acme/shop", TAG)
    with pytest.raises(Refused, match=r"builder\.registries"):
        registries(fake, login=login).digest(IMAGE, TAG)


def test_a_login_is_never_sent_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRegistry(login=LOGIN)
    fake.push("acme/shop", TAG)
    monkeypatch.setattr("tests.fakes.oci_registry.REALM", REALM.replace("https", "http"))
    with pytest.raises(Refused):
        registries(fake, login=LOGIN).digest(IMAGE, TAG)
    assert fake.credentials == []


def test_what_is_not_there_is_no_image_or_does_not_answer_is_told_apart() -> None:
    fake = FakeRegistry(challenge="")
    with pytest.raises(NotFound):
        registries(fake).digest(IMAGE, TAG)
    fake.push("acme/shop", TAG, kind="application/vnd.cncf.helm.config.v1+json")
    with pytest.raises(Refused, match="no image"):
        registries(fake).digest(IMAGE, TAG)
    fake.down = 1
    with pytest.raises(Unavailable) as told:
        registries(fake).digest(IMAGE, TAG)
    assert told.value.wait is not None
    assert told.value.wait.total_seconds() == 7
