"""Reading overlays from git: what a killed git leaves behind, and two who look at once."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from activities.overlay_file import Named
from leverframe.delivery.overlays import Overlays
from leverframe.delivery.reconciler import Reconciler
from leverframe.model.errors import Unavailable
from leverframe.model.releases import Environment
from leverframe.model.topology import Repository
from tests.fakes.git_world import FIRST_SHA, KUSTOMIZATION, OVERLAY, GitWorld

OLD, NEW = FIRST_SHA, "b" * 40


class TwoLooks:
    """Overlays whose first look sees the past, and ends only when it may."""

    def __init__(self) -> None:
        self.looks = 0
        self.first_may_end = asyncio.Event()

    async def read(self, repository: Repository) -> dict[Environment, Named]:
        self.looks += 1
        if self.looks == 1:
            await self.first_may_end.wait()
            return {"production": Named(OLD, None)}
        return {"production": Named(NEW, None)}


@pytest.mark.parametrize("left", ["shallow.lock", "refs/heads/main.lock", "HEAD.lock"])
async def test_locks_of_a_git_that_was_killed_do_not_blind_the_router_for_ever(
    tmp_path: Path, left: str
) -> None:
    world, overlays = GitWorld(tmp_path), Overlays(tmp_path / "git")
    assert (await overlays.read(world.repository))["production"].sha == OLD
    (tmp_path / "git" / "shop.git" / left).write_text("")
    world.commit("main", {OVERLAY: KUSTOMIZATION.replace(OLD, NEW)})
    named = {}
    for _ in range(2):
        try:
            named = await overlays.read(world.repository)
        except Unavailable:
            continue
    assert named["production"].sha == NEW


async def test_the_users_git_configuration_takes_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, elsewhere = GitWorld(tmp_path), f"url.{tmp_path}/elsewhere.insteadOf"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", elsewhere)
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(tmp_path))
    assert (await Overlays(tmp_path / "git").read(world.repository))["production"].sha == OLD


@pytest.mark.parametrize("url", ["ext::touch ran", "git://127.0.0.1:1/shop.git"])
async def test_a_transport_that_is_not_on_the_list_is_never_tried(tmp_path: Path, url: str) -> None:
    repository = GitWorld(tmp_path).repository.model_copy(update={"url": url})
    with pytest.raises(Unavailable, match=r"transport '\w+' not allowed"):
        await Overlays(tmp_path / "git").read(repository)


async def test_half_a_mirror_is_made_anew(tmp_path: Path) -> None:
    mirror = tmp_path / "git" / "shop.git"
    mirror.mkdir(parents=True)
    (mirror / "HEAD").write_text("ref: refs/heads/main\n")
    world, overlays = GitWorld(tmp_path), Overlays(tmp_path / "git")
    with pytest.raises(Unavailable):
        await overlays.read(world.repository)
    assert (await overlays.read(world.repository))["production"].sha == OLD


async def test_of_two_looks_at_once_the_later_one_is_believed(tmp_path: Path) -> None:
    world, looks = GitWorld(tmp_path), TwoLooks()
    async with aiohttp.ClientSession() as http:
        reconciler = Reconciler(
            repositories=(world.repository,),
            home=tmp_path / "home",
            artifacts=tmp_path / "artifacts",
            variables={},
            http=http,
        )
        reconciler._overlays = looks  # type: ignore[assignment]  # it reads as the real one does
        early, late = (asyncio.create_task(reconciler.refresh("shop")) for _ in range(2))
        await asyncio.sleep(0)
        looks.first_may_end.set()
        await asyncio.gather(early, late)
        assert reconciler.deployment("shop", "production").state().wanted == NEW
        await reconciler.close()
