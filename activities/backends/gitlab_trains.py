"""Whether a project's merge trains can carry a repository's changes: pure, from what GitLab tells of it."""

from collections.abc import Iterator

from activities.backends.gitlab_account import Version
from activities.backends.gitlab_answers import Project
from leverframe.model.topology import Repository
from leverframe.model.trains import Capability
from leverframe.model.untrusted import Untrusted

_JOINED_BY_API = (15, 11)
"""Before, REST could not put a merge request on a train."""
_ANY_METHOD = (16, 5)
"""Before, trains took the method `merge` only."""

_METHODS = {"merge": ("merge", "rebase_merge"), "rebase": ("ff",), "squash": ("merge", "rebase_merge", "ff")}
"""Our method → GitLab's methods that make such a commit."""


def capability_of(repository: Repository, project: Project, version: Version, *, guarded: bool) -> Capability:
    """Native only when nothing speaks against it; `why` has all that does. `guarded`: a protected target."""
    against = list(_against(repository, project, version))
    exact = project.merge_method in ("ff", "rebase_merge")
    facts = {
        "version": Untrusted(version.version).for_terminal(40),
        "project": Untrusted(project.path_with_namespace).for_terminal(200),
        "merge_method": Untrusted(project.merge_method or "unknown").for_terminal(40),
        "squash_option": Untrusted(project.squash_option or "unknown").for_terminal(40),
        "merge_trains_enabled": _told(project.merge_trains_enabled),
        "merge_pipelines_enabled": _told(project.merge_pipelines_enabled),
        "merge_trains_skip_train_allowed": _told(project.merge_trains_skip_train_allowed),
        "audit": "by commit" if exact else "by tree",
        "rewinds": "refused" if guarded else "the branch is not protected",
    }
    if against:
        return Capability(native=False, why="; ".join(against), facts=facts)
    landed = "the commit that was tested" if exact else "another commit with the tree that was tested"
    return Capability(native=True, why=f"merge trains are on; what lands is {landed}", facts=facts)


def _against(repository: Repository, project: Project, version: Version) -> Iterator[str]:
    if project.archived:
        yield "the project is archived"
    if project.merge_trains_enabled is None:
        yield "the project tells nothing of merge trains: they need GitLab Premium and a token of a Developer"
    elif not project.merge_trains_enabled:
        yield "merge trains are off in the project's settings"
    if project.merge_trains_enabled and not project.merge_pipelines_enabled:
        yield "merged results pipelines are off in the project's settings, and trains need them"
    if project.merge_trains_skip_train_allowed:
        yield "the project lets people skip the train, so what lands behind them was not tested on it"
    if version.number < _JOINED_BY_API:
        yield f"GitLab {_dotted(_JOINED_BY_API)} or later is needed to put a merge request on a train"
    elif version.number < _ANY_METHOD and project.merge_method != "merge":
        yield f"before GitLab {_dotted(_ANY_METHOD)} trains take merge commits only"
    method = repository.train.method
    if project.merge_method not in _METHODS[method]:
        yield f"the train's method is {method}, and the project's is another"
    if method == "squash" and project.squash_option == "never":
        yield "the train's method is squash, which the project forbids"
    if method != "squash" and project.squash_option == "always":
        yield f"the train's method is {method}, and the project squashes always"


def _dotted(number: tuple[int, int]) -> str:
    return ".".join(map(str, number))


def _told(value: bool | None) -> str:
    return "not told" if value is None else str(value).lower()
