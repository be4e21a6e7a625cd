"""Who may do what in the fake of Kubernetes, as RBAC has it, and the review in which one asks about oneself.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from dataclasses import dataclass
from typing import Any

from tests.fakes.kubernetes_kinds import Kind
from tests.fakes.kubernetes_store import Problem

Json = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """One rule of a Role; `*` is everything. A subresource is named: `rollouts/status`."""

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    namespace: str = ""
    """Where it holds; empty: in all of them."""

    @classmethod
    def of_role(cls, role: Json) -> tuple["Rule", ...]:
        """The rules of a Role or ClusterRole as it is written in a manifest."""
        namespace = role["metadata"].get("namespace", "") if role["kind"] == "Role" else ""
        return tuple(
            cls(
                tuple(rule["apiGroups"]),
                tuple(rule["resources"]),
                tuple(rule["verbs"]),
                tuple(rule.get("resourceNames", ())),
                namespace,
            )
            for rule in role["rules"]
        )

    def covers(self, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
        return (
            _holds(self.groups, group)
            and _holds(self.resources, resource)
            and _holds(self.verbs, verb)
            and (not self.names or name in self.names)
            and self.namespace in ("", namespace)
        )


@dataclass(frozen=True)
class Account:
    """Who asks."""

    name: str
    rules: tuple[Rule, ...]

    def may(self, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
        return any(rule.covers(verb, group, resource, namespace, name) for rule in self.rules)

    def require(self, verb: str, kind: Kind, namespace: str, name: str, subresource: str) -> None:
        """Raises Problem 403."""
        resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
        if not self.may(verb, kind.group, resource, namespace, name):
            about = f' "{name}"' if name else ""
            raise Problem(
                403,
                "Forbidden",
                f'{kind.plural}.{kind.group}{about} is forbidden: User "{self.name}" cannot {verb} resource '
                f'"{resource}" in API group "{kind.group}" in the namespace "{namespace}"',
            )


def review(account: Account, document: Json) -> Json:
    """A SelfSubjectAccessReview with its answer."""
    asked = document["spec"]["resourceAttributes"]
    resource = asked["resource"] + (f"/{asked['subresource']}" if asked.get("subresource") else "")
    allowed = account.may(
        asked["verb"],
        asked.get("group", ""),
        resource,
        asked.get("namespace", ""),
        asked.get("name", ""),
    )
    return {**document, "status": {"allowed": allowed}}


def _holds(listed: tuple[str, ...], value: str) -> bool:
    return "*" in listed or value in listed
