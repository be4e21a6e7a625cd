"""The forge's page of a release: one for each marker, with its notes, however often it is asked for."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from activities.backends.pages_github import GithubReleasePages
from activities.backends.pages_gitlab import GitlabReleasePages
from activities.marking import MarkActivities
from leverframe.forges import build_pages
from leverframe.model.deployments import Moments
from leverframe.model.errors import BadConfiguration, Unavailable
from leverframe.model.release_notes import LandedChange, Marked, ReleaseNotes
from leverframe.settings import ReleaseSettings, Settings
from tests.fakes import github_setup, gitlab, gitlab_setup
from tests.fakes.github import FakeGithub
from tests.fakes.github_releases import GithubReleases
from tests.fakes.github_shapes import Fault
from tests.fakes.gitlab import FakeGitlab
from tests.fakes.release_world import NEW, OLD, T0, receipt

SHOP = github_setup.declared("shop")


def marked(title: str = "Take cards") -> Marked:
    notes = ReleaseNotes(
        service="shop", repository="shop", sha=NEW, previous=OLD, moments=Moments(live_at=T0),
        landed=(LandedChange.of(receipt(NEW), title),),
    )  # fmt: skip
    return Marked(name=str(notes.marker), signed=True, notes=notes)


@pytest.fixture(params=["github", "gitlab"])
def forge(request: pytest.FixtureRequest) -> Any:
    """The backend, the faults to come, and the pages that people see: tag, name and text."""
    if request.param == "gitlab":
        lab = FakeGitlab()
        account = gitlab_setup.account(lab)
        yield (
            GitlabReleasePages(account, repositories=[SHOP], projects=gitlab_setup.PROJECTS),
            lambda: lab.faults.append(gitlab.Fault("POST", "/releases$", applied=True)),
            lambda: [(tag, page["name"], page["description"]) for tag, page in lab.releases.made.items()],
        )
        return
    hub = FakeGithub()
    desk = GithubReleases(hub)
    hub.desks.append(desk)
    yield (
        GithubReleasePages(
            github_setup.account(hub), repositories=[SHOP], owner_repo=github_setup.OWNER_REPO
        ),
        lambda: hub.faults.append(Fault("POST", "/releases$", applied=True)),
        lambda: [(page["tag_name"], page["name"], page["body"]) for page in desk.made],
    )
    assert hub.problems == []


def test_a_release_gets_one_page_by_its_marker_which_is_kept_up_to_date(forge: Any) -> None:
    pages, lose_the_answer, seen = forge
    assert pages.health().ok
    lose_the_answer()
    with pytest.raises(Unavailable, match="make the release page of live/shop/20260101-000000-bbbbbbbbbbbb"):
        pages.publish(SHOP, marked())
    for said in (marked(), marked(), marked("Take cards [now](https://evil.example)")):
        pages.publish(SHOP, said)
        assert seen() == [(said.name, "shop at bbbbbbbbbbbb", said.notes.markdown())]


def test_the_page_comes_with_the_word_to_the_changes(forge: Any) -> None:
    pages, _, seen = forge
    commented: list[str] = []
    changes = SimpleNamespace(comment=lambda change, key, body: commented.append(change))
    acts = MarkActivities(cast(Any, None), cast(Any, changes), cast(Any, None), {"shop": SHOP}, pages)
    acts.tell(marked())
    assert (commented, [name for name, *_ in seen()]) == (["shop/1"], [marked().name])


def test_no_page_is_made_unless_it_is_wanted_and_there_is_a_forge() -> None:
    assert build_pages(Settings()) is None
    with pytest.raises(BadConfiguration, match="needs a forge"):
        build_pages(Settings(release=ReleaseSettings(forge_page=True)))
