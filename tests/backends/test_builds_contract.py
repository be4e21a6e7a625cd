"""What is recorded of builds: one artifact a commit, for good."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from activities.backends.builds_store import StoreBuilds
from activities.backends.store_tables import metadata
from activities.build_ports import Builds
from leverframe.model.errors import Conflict, LeverframeError, Unavailable
from leverframe.model.releases import Artifact

SHA, OTHER = "a" * 40, "b" * 40
TAR = Artifact(service="shop", sha=SHA, digest=f"sha256:{'1' * 64}", path="shop/a.tar")
IMAGE = Artifact(service="shop", sha=OTHER, digest=f"sha256:{'2' * 64}", image="ghcr.io/acme/shop")


@pytest.fixture
def builds(engine: Engine) -> Builds:
    return StoreBuilds(engine)


def test_a_build_is_found_by_its_repository_and_commit_and_by_nothing_else(builds: Builds) -> None:
    for artifact in (TAR, IMAGE, TAR):
        assert builds.keep("shop", artifact) == artifact
    assert (builds.find("shop", SHA), builds.find("shop", OTHER)) == (TAR, IMAGE)
    assert (builds.find("till", SHA), builds.find("shop", "c" * 40)) == (None, None)
    assert builds.health().detail.endswith(": 2")


def test_a_second_build_of_a_commit_is_a_conflict_and_the_first_one_stands(builds: Builds) -> None:
    builds.keep("shop", IMAGE)
    others = (
        IMAGE.model_copy(update={"digest": f"sha256:{'3' * 64}"}),
        IMAGE.model_copy(update={"image": "ghcr.io/evil/shop"}),
        TAR.model_copy(update={"sha": OTHER}),
    )
    for other in others:
        with pytest.raises(Conflict, match=r"recorded as sha256:2+ \(ghcr\.io/acme/shop\), and now comes as"):
            builds.keep("shop", other)
    assert builds.find("shop", OTHER) == IMAGE


def test_of_two_that_record_at_once_one_is_told_that_it_lost(builds: Builds) -> None:
    def recorded(number: int) -> str:
        try:
            return builds.keep("shop", IMAGE.model_copy(update={"digest": f"sha256:{number:064x}"})).digest
        except LeverframeError as error:
            return type(error).__name__

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(recorded, range(4)))
    found = builds.find("shop", OTHER)
    assert found is not None
    assert sorted(answers) == sorted([found.digest, *["Conflict"] * 3])


def test_a_store_that_does_not_answer_is_unavailable(builds: Builds, engine: Engine) -> None:
    metadata.drop_all(engine)
    for ask in (lambda: builds.find("shop", SHA), lambda: builds.keep("shop", TAR)):
        with pytest.raises(Unavailable, match="the store does not answer"):
            ask()
    assert not builds.health().ok
    metadata.create_all(engine)
