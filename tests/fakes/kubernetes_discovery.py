"""What the fake of Kubernetes says of itself: versions, groups, kinds, and the OpenAPI that `kubectl` needs.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/
"""

from tests.fakes.kubernetes_kinds import Json, Kind, kinds

VERSION = {"major": "1", "minor": "32", "gitVersion": "v1.32.4", "gitCommit": "", "gitTreeState": "clean",
           "buildDate": "", "goVersion": "", "compiler": "gc", "platform": "linux/amd64"}  # fmt: skip
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def discovery(path: str) -> Json | None:
    """What a path answers to anybody; None for one that is no discovery."""
    versions = sorted({(each.group, each.version) for each in kinds()})
    path = path.rstrip("/")
    if path == "/version":
        return VERSION
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [_group(group, version) for group, version in versions if group]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    if path == DEFINITIONS:
        items = [_definition(each) for each in kinds() if each.custom]
        named = {"kind": "CustomResourceDefinitionList", "apiVersion": "apiextensions.k8s.io/v1"}
        return {**named, "metadata": {}, "items": items}
    if path == "/openapi/v3":
        roots = [f"apis/{group}/{version}" if group else f"api/{version}" for group, version in versions]
        return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots}}
    for group, version in versions:
        name = f"{group}/{version}" if group else version
        if path == (f"/apis/{name}" if group else f"/api/{name}"):
            here = [each for each in kinds() if each.api_version == name]
            listed = [entry for each in here for entry in each.listed()]
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": listed}
        if path == (f"/openapi/v3/apis/{name}" if group else f"/openapi/v3/api/{name}"):
            return _described(group, version)
        if group and path == f"/apis/{group}":
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, version)}
    return None


def _group(group: str, version: str) -> Json:
    named = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [named], "preferredVersion": named}


def _described(group: str, version: str) -> Json:
    """That every kind may be patched, and fields be checked by the server."""
    field = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    paths: Json = {}
    for each in kinds():
        if (each.group, each.version) == (group, version):
            named = {"group": group, "version": version, "kind": each.kind}
            operation = {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": named,
                         "parameters": [field], "responses": {}}  # fmt: skip
            paths[f"{root}/{each.plural}/{{name}}"] = {"patch": operation}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.32.4"}, "paths": paths}


def _definition(kind: Kind) -> Json:
    """A custom resource's definition without its schema."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": {"kind": kind.kind, "plural": kind.plural},
            "scope": "Namespaced",
            "versions": [{"name": kind.version, "served": True, "storage": True}],
        },
    }
