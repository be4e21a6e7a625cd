"""The shop of the story: its repository, the changes that people make to it, and its users."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from leverframe.demo.load import Load
from leverframe.demo.shop_changes import CHANGES, first_change, shop_change
from leverframe.demo.shop_repository import create_repository, shop_repository
from leverframe.model.errors import NotFound

NAMES = sorted(path.stem for path in CHANGES.glob("*.patch"))


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@shop.example")
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
    )
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    create_repository(tmp_path / "shop.git")
    git(tmp_path, "clone", "--quiet", "shop.git", "clone")
    return tmp_path / "clone"


def write(clone: Path, name: str) -> str:
    """Commit a change; its commit."""
    for path, content in shop_change(name).items():
        (clone / path).write_text(content)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", name)
    return git(clone, "rev-parse", "HEAD").strip()


def run(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=clone, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_same_files_give_the_same_commit(tmp_path: Path) -> None:
    for name in ("one.git", "two.git"):
        create_repository(tmp_path / name)
    tips = [git(tmp_path / name, "rev-parse", "main") for name in ("one.git", "two.git")]
    assert tips[0] == tips[1]


def test_the_repository_holds_the_files_and_nothing_that_running_them_left(clone: Path) -> None:
    files = git(clone, "ls-files").split()
    assert {"shop/app.py", "tests/test_shop.py", "deploy/base/deployment.yaml", "flags.json"} <= set(files)
    assert not [file for file in files if "__pycache__" in file or file.endswith(".pyc")]


def test_the_declared_overlays_begin_without_a_release(clone: Path) -> None:
    service = shop_repository("shop.git").service
    for path in service.overlays.values():
        assert "newTag: none" in (clone / path).read_text()


def test_the_flags_begin_as_the_story_needs_them(tmp_path: Path) -> None:
    flags = json.loads(create_repository(tmp_path / "shop.git"))["flags"]
    assert {name: flag["defaultVariant"] for name, flag in flags.items()} == {
        "new-pricing": "off",
        "gift-wrap": "off",
        "express-checkout": "on",
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_change_changes_the_baseline(clone: Path, name: str) -> None:
    write(clone, name)
    assert set(git(clone, "diff", "--name-only", "HEAD~1").split()) == set(shop_change(name))


def test_no_two_changes_write_the_same_file() -> None:
    paths = Counter(path for name in NAMES for path in shop_change(name))
    assert paths.most_common(1)[0][1] == 1


def test_an_unknown_change_is_named_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match="bulk-pricing"):
        shop_change("no-such-change")


def test_the_first_change_is_harmless_text() -> None:
    assert list(first_change()) == ["shop/words.py"]


@pytest.mark.slow
def test_the_tests_of_both_bad_changes_are_green_the_second_on_the_revert_of_the_first(clone: Path) -> None:
    before = git(clone, "rev-parse", "HEAD^{tree}")
    bulk = write(clone, "bulk-pricing")
    first = run(clone, "-m", "pytest", "-q")
    git(clone, "revert", "--no-edit", bulk)
    assert git(clone, "rev-parse", "HEAD^{tree}") == before
    write(clone, "faster-lookup")
    second = run(clone, "-m", "pytest", "-q")
    assert (first.returncode, second.returncode) == (0, 0), first.stdout + second.stdout


def test_the_faster_lookup_fails_after_some_requests_of_one_process(clone: Path) -> None:
    write(clone, "faster-lookup")
    script = (
        "from starlette.testclient import TestClient\n"
        "from shop.app import create_app\n"
        "client = TestClient(create_app(), raise_server_exceptions=False)\n"
        "print([client.get(f'/orders/{1000 + n}').status_code for n in range(20)])"
    )
    assert json.loads(run(clone, "-c", script).stdout) == [200] * 12 + [500] * 8


class Door:
    """A shop that only counts what comes."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.enough = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        status = 201 if request.method == "POST" else 200
        self.statuses[status] += 1
        if self.statuses.total() >= 300:
            self.enough.set()
        return web.Response(status=status)


def test_users_do_what_the_mix_says() -> None:
    load = Load("http://127.0.0.1:9", rate=1)
    visits = [load.visit() for _ in range(5000)]
    routes = Counter(visit.path.split("/")[1] for visit in visits)
    assert {route: round(count / 50) for route, count in routes.items()} == pytest.approx(
        {"catalogue": 25, "checkout": 35, "orders": 35, "": 5}, abs=2
    )
    bodies = [json.dumps(visit.body) for visit in visits if visit.body is not None]
    for sku in ("sample", "gift-card"):
        assert 0.17 < sum(f'"{sku}"' in body for body in bodies) / len(bodies) < 0.23


async def test_every_answer_is_counted_by_its_status() -> None:
    door = Door()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", door.answer)
    async with TestServer(application) as server:
        load = Load(str(server.make_url("/")), rate=2000)
        stop = asyncio.Event()
        running = asyncio.create_task(load.run(stop))
        await asyncio.wait_for(door.enough.wait(), 30)
        stop.set()
        await running
    assert set(load.counts) <= {"200", "201", "skipped"}
    assert load.counts["201"] <= door.statuses[201]
    assert 0 < load.counts["200"] <= door.statuses[200]


async def test_a_shop_that_is_away_is_counted_and_the_load_goes_on() -> None:
    load = Load("http://127.0.0.1:9", rate=500)
    stop = asyncio.Event()
    running = asyncio.create_task(load.run(stop))
    while load.counts["unreachable"] < 20:  # noqa: ASYNC110 - the counts are plain numbers
        await asyncio.sleep(0)
    stop.set()
    await running
    assert set(load.counts) <= {"unreachable", "skipped"}


def test_the_load_process_prints_its_counts_when_it_is_stopped() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "leverframe.demo.load", "--url", "http://127.0.0.1:9", "--rate", "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        caught = Path(f"/proc/{process.pid}/status")
        while not _handles(caught, signal.SIGTERM):
            assert process.poll() is None
        process.terminate()
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert set(json.loads(output)) <= {"unreachable", "skipped"}


def _handles(status: Path, number: signal.Signals) -> bool:
    """Whether the process has installed a handler for the signal."""
    for line in status.read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) & 1 << (number - 1))
    return False


@pytest.mark.parametrize("rate", ["0", "-1", "many"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    done = run(Path.cwd(), "-m", "leverframe.demo.load", "--url", "http://127.0.0.1:9", "--rate", rate)
    assert done.returncode == 2
    assert "--rate" in done.stderr
