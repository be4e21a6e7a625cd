"""Argo CD's own API over the Applications of the fake cluster, as far as `gitops_argocd` uses it.

https://argo-cd.readthedocs.io/en/stable/developer-guide/api-docs/
"""

import json

import httpx

from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_kinds import kinds
from tests.fakes.kubernetes_store import Problem

TOKEN = "token-of-argocd"
AT = "/api/v1/applications/"


def argocd_server(cluster: FakeKubernetes) -> httpx.MockTransport:
    """GET, and PATCH with the patch as text. It writes upon whatever version is there."""
    kind = next(each for each in kinds() if each.kind == "Application")

    def answered(request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _problem(403, "permission denied")
        assert request.url.path.startswith(AT)
        name, namespace = request.url.path.removeprefix(AT), request.url.params["appNamespace"]
        try:
            if request.method == "PATCH":
                body = json.loads(request.content)
                assert (body["name"], body["patchType"]) == (name, "merge")
                cluster.store.patch(kind, namespace, name, json.loads(body["patch"]))
            return httpx.Response(200, json=cluster.store.get(kind, namespace, name))
        except Problem as problem:
            return _problem(problem.code, problem.message)

    return httpx.MockTransport(answered)


def _problem(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"code": status, "error": message, "message": message})
