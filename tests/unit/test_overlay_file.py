"""The edit of an overlay: the SHA and its digest, and not a character more."""

import shutil
import subprocess
from pathlib import Path

import pytest

from activities.overlay_file import named, point_at
from leverframe.model.errors import BadInput

OLD, NEW = "a" * 40, "b" * 40
ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"

OVERLAY = f"""# who runs what
resources: [../../base]   # the base
images:
  - name: till
    newTag: {OLD}
    digest: {TWO}
  - name: shop  # ours
    newTag: {OLD}  # the live commit

namePrefix: prod-
"""


def test_a_digest_is_written_below_the_tag_and_follows_it_from_then_on() -> None:
    pinned = point_at(OVERLAY, "shop", NEW, ONE)
    line = f"    newTag: {NEW}  # the live commit\n"
    assert pinned == OVERLAY.replace(f"    newTag: {OLD}  # the live commit\n", f"{line}    digest: {ONE}\n")
    assert named(pinned, "shop") == (NEW, ONE)
    moved = point_at(pinned, "shop", OLD, TWO)
    assert moved == pinned.replace(NEW, OLD).replace(ONE, TWO)
    assert named(moved, "till") == (OLD, TWO)


def test_back_to_a_commit_without_a_digest_the_line_goes() -> None:
    assert point_at(point_at(OVERLAY, "shop", NEW, ONE), "shop", OLD) == OVERLAY


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "images: [{{name: shop, newTag: {old}}}]\n",
            "images: [{{name: shop, newTag: {new}, digest: {one}}}]\n",
        ),
        (
            "images:\n- newTag: '{old}'\n  name: shop",
            "images:\n- newTag: '{new}'\n  digest: {one}\n  name: shop",
        ),
        ("images:\n- name: shop\n  newTag: {old}", "images:\n- name: shop\n  newTag: {new}\n  digest: {one}"),
        (
            "images:\r\n- name: shop\r\n  newTag: {old}\r\n",
            "images:\r\n- name: shop\r\n  newTag: {new}\r\n  digest: {one}\r\n",
        ),
        (
            'images:\n- digest: "{two}" # built\n  newTag: {old}\n  name: shop\n',
            'images:\n- digest: "{one}" # built\n  newTag: {new}\n  name: shop\n',
        ),
    ],
)
def test_a_digest_is_written_however_the_entry_is_laid_out(before: str, after: str) -> None:
    values = {"old": OLD, "new": NEW, "one": ONE, "two": TWO}
    assert point_at(before.format(**values), "shop", NEW, ONE) == after.format(**values)


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (f"images: [{{name: shop, newTag: {OLD}, digest: {ONE}}}]\n", None),
        (f"images:\n- digest: {ONE}\n  newTag: {OLD}\n  name: shop\n", None),
        (f"images:\n- name: shop\n  newTag: {OLD}\n  digest: >-\n    {ONE}\n", TWO),
        (f"images:\n- name: shop\n  newTag: {OLD}\n  digest: &built {ONE}\nnewTag: *built\n", TWO),
        (f"images:\n- name: shop\n  newTag: {OLD}\n", "sha256:short"),
        (f"images:\n- name: shop\n  newTag: {OLD}\n", f"{ONE}\n  newName: evil"),
    ],
)
def test_what_cannot_be_edited_safely_is_left_to_a_person(text: str, digest: str | None) -> None:
    with pytest.raises(BadInput):
        point_at(text, "shop", NEW, digest)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kustomize_renders_the_image_at_that_digest_with_the_commit_as_its_tag(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: shop}\n"
        "spec: {template: {spec: {containers: [{name: shop, image: shop}]}}}\n"
    )
    overlay = (
        f"resources: [base.yaml]\nimages:\n- name: shop\n  newName: ghcr.io/acme/shop\n  newTag: {OLD}\n"
    )
    for sha, digest, expected in (
        (NEW, ONE, f"ghcr.io/acme/shop:{NEW}@{ONE}"),
        (OLD, TWO, f"ghcr.io/acme/shop:{OLD}@{TWO}"),
        (NEW, None, f"ghcr.io/acme/shop:{NEW}"),
    ):
        overlay = point_at(overlay, "shop", sha, digest)
        (tmp_path / "kustomization.yaml").write_text(overlay)
        rendered = subprocess.run(
            ["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, check=True
        ).stdout
        assert [line.split("image: ")[1] for line in rendered.splitlines() if "image: " in line] == [expected]
