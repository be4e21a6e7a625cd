"""A release's marker and notes: signed, made again under the same name, and of no weight in what runs."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.backends.builds_store import StoreBuilds
from activities.backends.changes_store import ChangesStore
from activities.backends.notes_store import NotesStore
from activities.backends.store_sql import open_store
from activities.backends.store_tables import release_notes
from activities.backends.track_git import GitTrack
from activities.backends.track_markers import SshKey
from activities.marking import MarkActivities, MarkRequest, made_again
from activities.overlay_file import point_at
from leverframe.model.changes import Car, ChangeSpec
from leverframe.model.deployments import Moments
from leverframe.model.errors import BadConfiguration, Unavailable
from leverframe.model.releases import Artifact, GateVerdict
from tests.fakes.git_world import AT, OVERLAY, GitWorld
from tests.fakes.tracks import ADA, land

LIVE = AT + timedelta(hours=2)
NAME = f"live/shop/{LIVE:%Y%m%d-%H%M%S}-"

needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen")


class Begun:
    """A shop whose first release is live, and two changes that have landed since."""

    def __init__(self, root: Path) -> None:
        self.root, self.world = root, GitWorld(root)
        self.repository = self.world.repository
        engine = open_store(f"sqlite:///{root}/store.db")
        self.changes = ChangesStore(engine)
        self.track = GitTrack(mirrors=root / "mirrors", artifacts=root / "artifacts")
        self.first = self._landed("first", {"a.py": "1\n"}, "First things first")
        self._point(self.first)
        self._landed("second", {"b.py": "2\n"}, "Take cards [now](https://evil.example) @all <b>")
        self.sha = self._landed("third", {"c.py": "3\n"}, "Third")
        self._point(self.sha)
        engine.dispose()  # all of it is in the one file now

    def _landed(self, branch: str, files: dict[str, str], title: str) -> str:
        """Carry a change in, as the train does."""
        head = self.world.commit(branch, files, message=title)
        change = self.changes.open_change(
            ChangeSpec(repository="shop", branch=branch, head=head, title=title, author=ADA)
        )
        base = self.track.tip(self.repository)
        car = self.track.compose(self.repository, change=change, base=base, at=AT, method="squash")
        assert isinstance(car, Car)
        return land(self.track, self.repository, car).sha

    def _point(self, sha: str) -> None:
        """Point production's overlay at a commit, by a change of its own."""
        text = self.world.git("show", f"main:{OVERLAY}") + "\n"
        self._landed(f"point-{sha[:5]}", {OVERLAY: point_at(text, "shop", sha)}, "Point")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    return Begun(tmp_path_factory.mktemp("begun"))


class Shop:
    """The shop in a place of its own."""

    def __init__(self, root: Path, begun: Begun, key: Path | None = None) -> None:
        shutil.copy(begun.root / "store.db", root / "store.db")
        self.root, self.world = root, begun.world.copied(root)
        self.first, self.sha = begun.first, begun.sha
        self.repository = self.world.repository
        self.engine = open_store(f"sqlite:///{root}/store.db")
        self.changes, self.notes = ChangesStore(self.engine), NotesStore(self.engine)
        self.builds = StoreBuilds(self.engine)
        self.track = self.a_track("one", key)
        self.artifact = self.builds.keep("shop", self.track.export(self.repository, self.sha))

    def a_track(self, home: str, key: Path | None = None) -> GitTrack:
        place = self.root / home
        return GitTrack(mirrors=place / "mirrors", artifacts=place / "artifacts", signing_key=key)

    def acts(self, track: GitTrack | None = None) -> MarkActivities:
        return MarkActivities(track or self.track, self.changes, self.notes, {"shop": self.repository})

    def request(self, **other: object) -> MarkRequest:
        verdict = GateVerdict(
            colour="green", percent=1, reason="errors: canary 0 of 100", canary_requests=100,
            canary_errors=0, stable_requests=9900, stable_errors=9,
        )  # fmt: skip
        moments = Moments(
            began_at=AT,
            in_dev_at=AT + timedelta(seconds=65),
            entered_at=AT + timedelta(hours=1),
            live_at=LIVE,
        )
        given = {
            "previous": self.first,
            "verdicts": (verdict,),
            "moments": moments,
            "artifact": self.artifact,
        }
        return MarkRequest(repository="shop", sha=self.sha, **(given | other))  # type: ignore[arg-type]

    def tag(self, name: str) -> str:
        return self.world.git("cat-file", "tag", name)


def key_at(root: Path) -> Path:
    path = root / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "marker", "-f", str(path)], check=True
    )
    return path


def verified(shop: Shop, name: str, signers: str) -> subprocess.CompletedProcess[str]:
    (shop.root / "signers").write_text(signers)
    settings = ("-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={shop.root / 'signers'}")
    return subprocess.run(
        ["git", f"--git-dir={shop.world.remote}", *settings, "tag", "-v", name],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_marker_carries_notes_of_what_landed_since_the_release_before(tmp_path: Path, begun: Begun) -> None:
    shop = Shop(tmp_path, begun)
    marked = shop.acts().mark(shop.request())
    assert (marked.name, marked.signed) == (NAME + shop.sha[:12], False)
    assert marked.words == f"marked, unsigned, as {marked.name}"
    assert [change.change for change in marked.notes.landed] == ["shop/4", "shop/3"], "no overlay change"
    said = shop.tag(marked.name).partition("\n\n")[2]
    assert said == marked.notes.markdown().rstrip().replace("\u2060", ""), "a tag shows no mention"
    for part in (
        "At 100 % of production since 2026-03-01 14:00:00 UTC.",
        f"Before it: {shop.first}.",
        f"Built once as `{shop.artifact.digest}`",
        "- shop/4: Third, by ada;",
        "receipt 4 (exact; passed: unit)",
        "- shop/3: Take cards ",
        "- 1 %: green. errors",
        "- runs in dev: 1 min 5 s after it landed",
        "- at 100 %: 2 h after it landed",
    ):
        assert part in said, part
    assert "[now](https" not in said
    assert "<b>" not in said
    assert shop.notes.find("shop") == shop.notes.find("shop", shop.sha) == marked
    assert shop.notes.find("shop", shop.first) is None


def test_a_marker_is_made_again_exactly_and_its_changes_are_told_once(tmp_path: Path, begun: Begun) -> None:
    shop = Shop(tmp_path, begun)
    acts = shop.acts()
    marked = acts.mark(shop.request())
    before = shop.world.git("rev-parse", marked.name)
    shop.world.git("update-ref", "-d", f"refs/tags/{marked.name}")
    assert shop.acts(shop.a_track("two")).mark(shop.request()) == marked
    assert shop.world.git("rev-parse", marked.name) == before
    for _ in range(2):
        acts.tell(marked)
    [(key, body)] = shop.changes.comments("shop/3")
    assert (key, body.startswith("Live: at 100 % of shop in production since 2026-03-01 14:00:00 UTC")) == (
        "live",
        True,
    )
    assert shop.changes.comments("shop/1") == []


def test_a_crash_between_the_tag_and_its_record_leaves_a_marker_that_is_found(
    tmp_path: Path, begun: Begun
) -> None:
    shop = Shop(tmp_path, begun)
    release_notes.drop(shop.engine)
    with pytest.raises(ApplicationError) as told:
        shop.acts().mark(shop.request())
    assert (told.value.type, told.value.non_retryable) == ("Unavailable", False)
    before = shop.world.git("rev-parse", NAME + shop.sha[:12])
    release_notes.create(shop.engine)
    marked = shop.acts().mark(shop.request())
    assert shop.world.git("rev-parse", marked.name) == before
    assert shop.notes.find("shop") == marked


@needs_ssh_keygen
def test_a_signed_marker_is_verified_by_git_itself(tmp_path: Path, begun: Begun) -> None:
    key = key_at(tmp_path)
    shop = Shop(tmp_path, begun, key)
    marked = shop.acts().mark(shop.request())
    assert marked.signed
    assert marked.words == f"marked and signed as {marked.name}"
    ours = (tmp_path / "key.pub").read_text()
    good = verified(shop, marked.name, f"train@leverframe.invalid {ours}")
    assert good.returncode == 0, good.stderr
    assert SshKey(key).fingerprint() in good.stderr
    (tmp_path / "other").mkdir()
    key_at(tmp_path / "other")
    other = (tmp_path / "other" / "key.pub").read_text()
    assert verified(shop, marked.name, f"train@leverframe.invalid {other}").returncode != 0
    again = shop.acts(shop.a_track("two", key)).mark(shop.request())
    assert again == marked


@needs_ssh_keygen
def test_a_key_that_cannot_sign_makes_no_unsigned_marker_but_words(tmp_path: Path, begun: Begun) -> None:
    broken = tmp_path / "broken"
    broken.write_text("no key")
    shop = Shop(tmp_path, begun, broken)
    with pytest.raises(ApplicationError, match="nothing can be signed with") as told:
        shop.acts().mark(shop.request())
    assert not told.value.non_retryable
    assert shop.world.git("tag", "--list") == ""
    with pytest.raises(Unavailable, match="nothing can be signed"):
        SshKey(broken).fingerprint()
    with pytest.raises(BadConfiguration, match="there is no file"):
        SshKey(tmp_path / "gone").fingerprint()


def test_a_marker_that_is_moved_or_deleted_changes_nothing_of_what_runs(tmp_path: Path, begun: Begun) -> None:
    shop = Shop(tmp_path, begun)
    marked = shop.acts().mark(shop.request())

    def decisions() -> tuple[object, ...]:
        track, what = shop.a_track("fresh"), shop.repository
        return (
            track.overlay(what, "production"),
            track.overlay_history(what, "production"),
            track.live_before(what, sha=shop.sha),
            made_again(track, shop.builds, what, shop.sha),
        )

    before = decisions()
    assert before[0] == (shop.sha, None)
    assert before[2] == shop.first
    shop.world.git("tag", "--force", marked.name, shop.first)
    assert decisions() == before
    with pytest.raises(ApplicationError, match=f"marks {shop.first[:12]}, not {shop.sha[:12]}"):
        shop.acts().mark(shop.request())
    shop.world.git("tag", "--delete", marked.name)
    assert decisions() == before


def test_notes_are_made_again_from_git_and_receipts_alone(tmp_path: Path, begun: Begun) -> None:
    shop = Shop(tmp_path, begun)
    marked = shop.acts().mark(shop.request())
    again = made_again(shop.a_track("two"), shop.builds, shop.repository, shop.sha)
    known = {"landed", "previous", "artifact", "left_out", "sha"}
    assert again.model_dump(include=known) == marked.notes.model_dump(include=known)
    assert (again.marker, again.verdicts) == (None, ())
    first = made_again(shop.track, shop.builds, shop.repository, shop.first)
    assert [change.change for change in first.landed] == ["shop/1"]
    assert first.artifact is None


def test_a_release_that_never_became_stable_is_not_marked(tmp_path: Path, begun: Begun) -> None:
    shop = Shop(tmp_path, begun)
    with pytest.raises(ApplicationError, match="is marked once it is stable"):
        shop.acts().mark(shop.request(moments=Moments()))
    with pytest.raises(ApplicationError, match="is not declared"):
        shop.acts().mark(shop.request().model_copy(update={"repository": "till"}))


def test_an_image_is_named_with_its_commit_and_digest(tmp_path: Path, begun: Begun) -> None:
    shop = Shop(tmp_path, begun)
    image = Artifact(service="shop", sha=shop.sha, digest=f"sha256:{'1' * 64}", image="ghcr.io/acme/shop")
    marked = shop.acts().mark(shop.request(artifact=image, previous=None))
    assert f"`ghcr.io/acme/shop:{shop.sha}@sha256:{'1' * 64}`" in shop.tag(marked.name)
    assert "Nothing was stable before it." in shop.tag(marked.name)
