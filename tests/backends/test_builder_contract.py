"""What a builder promises: one artifact of one commit, the same one again, and words when there is none."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from activities.backends.builder_command import CommandBuilder
from activities.backends.builder_forge import ForgeBuilder
from activities.backends.builder_local import LocalBuilder
from activities.backends.delivery_local import LocalDelivery
from activities.backends.oci_registry import Registries
from activities.build_ports import Builder
from activities.ports import Health
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Build, Check
from leverframe.model.errors import BadConfiguration, DiskFull, Interrupted, Refused, Unavailable
from leverframe.model.releases import Artifact
from leverframe.model.topology import Repository
from tests.fakes.oci_registry import HOST, FakeRegistry
from tests.fakes.release_world import repository
from tests.fakes.trees import SHA, artifact_of, write_tar

IMAGE = f"{HOST}/acme/shop"
OTHER = f"sha256:{'9' * 64}"
PUSHED = f"sha256:{'7' * 64}"

DOCKER = """
import json, os, pathlib, sys
image, context, metadata = sys.argv[1:4]
log = pathlib.Path(context).parent.parent / "builds"
log.write_text(log.read_text() + "x" if log.exists() else "x")
digest = "sha256:" + str(len(log.read_text())) * 64
assert sorted(os.listdir(context)) == ["Dockerfile"], os.listdir(context)
open(metadata, "w").write(json.dumps({"containerimage.digest": digest, "image.name": image}))
"""
"""A build that is never the same twice, and counts itself."""


class Pipeline:
    """The forge's checks: what its pipeline says of each commit."""

    def __init__(self) -> None:
        self.results: dict[str, CheckResult] = {}

    def says(self, outcome: str, sha: str = SHA) -> None:
        said = {"check": "image", "sha": sha, "outcome": outcome, "seconds": 1, "summary": "docker push"}
        self.results[sha] = CheckResult.model_validate(said)

    def result(self, repository: Repository, *, sha: str, check: Check) -> CheckResult | None:
        assert check.context == "build / image"
        return self.results.get(sha)

    def run_again(self, repository: Repository, *, sha: str, check: Check) -> None: ...

    def cancel(self, repository: Repository, *, sha: str) -> None: ...

    def health(self) -> Health:
        return Health(ok=True, detail="fake")


def declared(**build: object) -> Repository:
    return repository().model_copy(update={"build": Build.model_validate(build)})


def commanded(*command: str, seconds: int = 60) -> Repository:
    return declared(by="command", image=IMAGE, command=command, timeout_seconds=seconds)


def python(text: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text, *arguments)


@pytest.fixture
def source(tmp_path: Path) -> Artifact:
    (tmp_path / "artifacts").mkdir()
    return artifact_of(write_tar(tmp_path / "artifacts" / "a.tar", {"Dockerfile": "FROM scratch\n"}))


@pytest.fixture
def builder(tmp_path: Path) -> CommandBuilder:
    return CommandBuilder(artifacts=tmp_path / "artifacts", home=tmp_path / "builds")


def built(builder: Builder, repository: Repository, source: Artifact) -> Artifact:
    return builder.build(repository, source, heartbeat=lambda: None)


@pytest.mark.parametrize("kind", ["local", "command", "forge"])
def test_a_commit_is_built_once_and_is_the_same_the_second_time(
    kind: str, source: Artifact, builder: CommandBuilder
) -> None:
    registry, pipeline = FakeRegistry(), Pipeline()
    pushed = registry.push("acme/shop", SHA)
    pipeline.says("passed")
    ways: dict[str, tuple[Builder, Repository]] = {
        "local": (LocalBuilder(), declared()),
        "command": (builder, commanded(*python(DOCKER, "{image}:{sha}", "{context}", "{metadata}"))),
        "forge": (
            ForgeBuilder(pipeline, Registries(transport=registry.transport())),
            declared(by="forge", image=IMAGE, context="build / image"),
        ),
    }
    way, what = ways[kind]
    first = built(way, what, source)
    assert (first.service, first.sha, first.image) == ("shop", SHA, what.build.image)
    assert first.digest == {"local": source.digest, "command": f"sha256:{'1' * 64}", "forge": pushed}[kind]
    assert built(way, what, source) == first
    assert way.health().ok


@pytest.mark.parametrize(
    "text",
    [
        f"open(sys.argv[1], 'w').write('{PUSHED}\\n')",
        f"print('noise sha256:1'); print('{IMAGE}@{PUSHED}')",
        f'json.dump({{"containerimage.digest": "{PUSHED}"}}, open(sys.argv[1], "w")); print("{OTHER}")',
    ],
)
def test_the_digest_is_in_the_metadata_file_as_json_or_alone_or_the_last_word(
    text: str, source: Artifact, builder: CommandBuilder
) -> None:
    command = python(f"import json, sys; {text}", "{metadata}")
    assert built(builder, commanded(*command), source).digest == PUSHED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pass", "told no digest"),
        (f"print('{PUSHED} and more')", "told no digest"),
        ("open(sys.argv[1], 'w').write('{\"image.name\": \"x\"}')", "no containerimage.digest"),
        ("sys.exit('no space left')", "ended with 1: no space left"),
    ],
)
def test_a_command_that_fails_or_tells_no_digest_is_refused_in_words(
    text: str, words: str, source: Artifact, builder: CommandBuilder
) -> None:
    command = python(f"import os, sys; {text}", "{metadata}")
    with pytest.raises(Refused, match=words):
        built(builder, commanded(*command), source)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("os.kill(os.getppid(), 9)", "was ended by SIGKILL"),
        (
            "print('no route to the registry', file=sys.stderr); sys.exit(28)",
            "ended with 28: no route to the re",
        ),
    ],
)
def test_a_command_that_something_else_than_the_commit_has_ended_was_interrupted(
    text: str, words: str, source: Artifact, builder: CommandBuilder
) -> None:
    command = python(f"import os, sys; {text}")
    declared_so = declared(by="command", image=IMAGE, command=command, interrupted_by=[6, 28])
    with pytest.raises(Interrupted, match=words):
        built(builder, declared_so, source)


def test_a_command_that_fails_on_a_full_disk_waits_for_room(
    source: Artifact, builder: CommandBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.backends.builder_command.is_full", lambda place: True)
    with pytest.raises(DiskFull, match="make room there"):
        built(builder, commanded(*python("import sys; sys.exit(1)")), source)


def test_a_command_gets_the_named_variables_an_empty_home_and_shows_no_secret(
    source: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", "s3cret-of-the-registry")
    monkeypatch.setenv("GITHUB_TOKEN", "never")
    builder = CommandBuilder(
        artifacts=tmp_path / "artifacts",
        home=tmp_path / "builds",
        pass_environment=["REGISTRY_TOKEN", "GONE"],
    )
    text = (
        "import os, sys; home = os.listdir(os.environ['HOME'])\n"
        "sys.exit(f'{sorted(os.environ)} {home!s} ' + os.environ['REGISTRY_TOKEN'])"
    )
    with pytest.raises(Refused) as told:
        built(builder, commanded(*python(text)), source)
    said = str(told.value)
    assert "s3cret" not in said
    assert said.endswith("[] ***")
    assert "GITHUB_TOKEN" not in said
    for name in ("HOME", "LC_ALL", "PATH", "REGISTRY_TOKEN", "SOURCE_DATE_EPOCH"):
        assert f"'{name}'" in said
    assert "GONE" in builder.health().detail


def test_the_local_delivery_refuses_an_image_before_it_asks_anybody() -> None:
    delivery = LocalDelivery(admin_url="http://127.0.0.1:1", ports={})
    image = Artifact(service="shop", sha=SHA, digest=PUSHED, image=IMAGE)
    with pytest.raises(Refused, match=r"runs trees, not images such as registry\.example/acme/shop"):
        delivery.deploy_artifact(repository(), image)


def test_a_program_that_is_not_there_is_bad_configuration(source: Artifact, builder: CommandBuilder) -> None:
    with pytest.raises(BadConfiguration, match="there is no no-such-docker"):
        built(builder, commanded("no-such-docker"), source)


def test_a_build_that_takes_too_long_is_ended_with_all_it_started(
    source: Artifact, builder: CommandBuilder, tmp_path: Path
) -> None:
    text = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); time.sleep(600)"
    with pytest.raises(Interrupted, match="took longer than 1 seconds"):
        built(builder, commanded(*python(text), seconds=1), source)


def test_a_build_whose_worker_was_killed_is_waited_for_and_its_digest_is_taken(
    source: Artifact, builder: CommandBuilder, tmp_path: Path
) -> None:
    """The worker is a process of its own here. The command goes on when it is killed."""
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    os.mkfifo(gate)
    os.mkfifo(begun)
    text = f"open({str(begun)!r}, 'w').close(); open({str(gate)!r}).read()\n{DOCKER}"
    what = commanded(*python(text, "{image}:{sha}", "{context}", "{metadata}"))
    worker = subprocess.Popen(
        python(
            "import sys, pathlib; from activities.backends.builder_command import CommandBuilder\n"
            "from leverframe.model.topology import Repository\n"
            "from leverframe.model.releases import Artifact\n"
            "home = pathlib.Path(sys.argv[1])\n"
            "CommandBuilder(artifacts=home / 'artifacts', home=home / 'builds').build(\n"
            "    Repository.model_validate_json(sys.argv[2]), Artifact.model_validate_json(sys.argv[3]),\n"
            "    heartbeat=lambda: None)",
            str(tmp_path),
            what.model_dump_json(),
            source.model_dump_json(),
        )
    )
    begun.read_text()
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    with pytest.raises(Unavailable, match="an earlier attempt still builds") as told:
        built(builder, what, source)
    assert told.value.wait == timedelta(seconds=10)
    gate.write_text("")
    for _ in range(10_000):
        try:
            made = built(builder, what, source)
            break
        except Unavailable:
            continue
    assert made.digest == f"sha256:{'1' * 64}", "built once"


def test_a_pipeline_that_runs_is_waited_for_and_a_red_one_is_refused(source: Artifact) -> None:
    registry, pipeline = FakeRegistry(), Pipeline()
    builder = ForgeBuilder(pipeline, Registries(transport=registry.transport()))
    what = declared(by="forge", image=IMAGE, context="build / image")
    with pytest.raises(Unavailable, match="has not finished"):
        built(builder, what, source)
    for outcome in ("failed", "inconclusive"):
        pipeline.says(outcome)
        with pytest.raises(Refused, match=f"build / image is {outcome} on {SHA[:12]}: docker push"):
            built(builder, what, source)
    pipeline.says("passed")
    with pytest.raises(Unavailable, match="not in the registry"):
        built(builder, what, source)
    digest = registry.push("acme/shop", SHA)
    assert built(builder, what, source).reference == f"{IMAGE}:{SHA}@{digest}"
    with pytest.raises(BadConfiguration, match=r"changes\.backend"):
        ForgeBuilder(None, Registries())


@pytest.mark.parametrize(
    "wrong",
    [
        {"by": "command", "image": IMAGE},
        {"by": "forge", "image": IMAGE, "command": ["x"], "context": "image"},
        {"image": IMAGE},
        {"by": "command", "image": "shop", "command": ["x"]},
        {"by": "command", "image": f"{IMAGE}:latest", "command": ["x"]},
        {"by": "command", "image": IMAGE, "command": ["build", "{metdata}"]},
    ],
)
def test_a_declaration_that_cannot_work_is_refused_as_it_is_read(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"build|image"):
        Build.model_validate(wrong)
