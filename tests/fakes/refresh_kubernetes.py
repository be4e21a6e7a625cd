"""Writes `schemas/kubernetes_crds.json` again from the published resource definitions; for developers.

    python -m tests.fakes.refresh_kubernetes DIRECTORY

DIRECTORY holds git clones of the projects below, each under its own name. All are licensed under Apache-2.0.
Each definition keeps what the API server checks and what the clients ask for: names, scope, subresources and
the schema of its stored version. Descriptions are left out, and the large parts that neither our code nor a
fake controller looks at are cut down to "an object with anything in it".
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

FILE = Path(__file__).parent / "schemas" / "kubernetes_crds.json"

Json = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Where a definition is published, and which parts of its schema are cut."""

    project: str
    commit: str
    path: str
    name: str
    cut: tuple[str, ...] = ()
    """Paths of properties; `[]` goes into the items of a list."""


_ROLLOUTS = ("argo-rollouts", "9f8d111d8f8e3e88b6d7f8bbdf62fd3cd863ef9d")
_POD = "spec.template.spec"
_SOURCES = ("source", "sources")
SOURCES = (
    Source(
        *_ROLLOUTS,
        "manifests/crds/rollout-crd.yaml",
        "rollouts.argoproj.io",
        (
            *(f"{_POD}.{name}" for name in ("affinity", "ephemeralContainers", "initContainers", "volumes")),
            *(f"{_POD}.{name}" for name in ("topologySpreadConstraints", "tolerations", "securityContext")),
            *(
                f"{_POD}.containers[].{name}"
                for name in ("env", "envFrom", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
            ),
            f"{_POD}.containers[].securityContext",
            "spec.strategy.blueGreen",
            "spec.strategy.canary.steps[].experiment",
            "spec.strategy.canary.steps[].setMirrorRoute",
            "spec.strategy.canary.trafficRouting.managedRoutes",
            "status.alb",
            "status.albs",
            "status.blueGreen",
        ),
    ),
    *(
        Source(
            *_ROLLOUTS,
            f"manifests/crds/analysis-{kind}-crd.yaml",
            f"analysis{kind}s.argoproj.io",
            tuple(
                f"spec.metrics[].provider.{name}"
                for name in ("job", "cloudWatch", "datadog", "graphite", "influxdb", "kayenta", "newRelic",
                             "plugin", "prometheus", "skywalking", "wavefront")
            ),
        )
        for kind in ("template", "run")
    ),
    Source(
        "argo-cd",
        "37ee0097cf851bc2dd7665fc081bbce61a7e836e",
        "manifests/crds/application-crd.yaml",
        "applications.argoproj.io",
        (
            *(f"operation.sync.{name}" for name in _SOURCES),
            *(f"spec.source.{name}" for name in ("directory", "helm", "plugin")),
            "spec.sources",
            "spec.sourceHydrator",
            "status.sourceHydrator",
            *(f"status.history[].{name}" for name in _SOURCES),
            "status.operationState.operation.sync",
            *(f"status.operationState.syncResult.{name}" for name in _SOURCES),
            "status.sync.comparedTo",
        ),
    ),
    Source(
        "kustomize-controller",
        "186fb3b29138ce82ff61ba1a9370b96a3dd598fe",
        "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
        "kustomizations.kustomize.toolkit.fluxcd.io",
    ),
    Source(
        "source-controller",
        "39b711b111fa906c3db0a424e252a5d12e48646d",
        "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
        "gitrepositories.source.toolkit.fluxcd.io",
    ),
    Source(
        "flagger",
        "15bd6ad555e6c935da55f0ab95977be74c149bd6",
        "artifacts/flagger/crd.yaml",
        "canaries.flagger.app",
        tuple(f"spec.service.{name}" for name in ("match", "corsPolicy", "trafficPolicy", "gatewayRefs")),
    ),
)  # fmt: skip


def published(clones: Path, source: Source) -> Json:
    """The definition as its project publishes it."""
    text = subprocess.run(
        ["git", "-C", str(clones / source.project), "show", f"{source.commit}:{source.path}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    documents = YAML(typ="safe").load_all(text)
    return next(each for each in documents if each["metadata"]["name"] == source.name)


def trimmed(source: Source, definition: Json) -> Json:
    """What is kept of a definition, with where it comes from."""
    spec = definition["spec"]
    version = next(each for each in spec["versions"] if each["storage"])
    schema = _without_descriptions(version["schema"]["openAPIV3Schema"])
    for path in source.cut:
        _cut(schema, path)
    return {
        "from": f"{source.project}@{source.commit}:{source.path}",
        "group": spec["group"],
        "version": version["name"],
        "names": spec["names"],
        "scope": spec["scope"],
        "subresources": sorted(version.get("subresources", {})),
        "schema": schema,
    }


def _without_descriptions(schema: Any) -> Any:
    """A property that is called `description` stays: its value is a schema, no text."""
    if isinstance(schema, list):
        return [_without_descriptions(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _without_descriptions(value)
        for name, value in schema.items()
        if not (name == "description" and isinstance(value, str))
    }


def _cut(schema: Json, path: str) -> None:
    *parents, last = path.split(".")
    for name in parents:
        schema = schema["properties"][name.removesuffix("[]")]
        schema = schema["items"] if name.endswith("[]") else schema
    anything: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    whole = schema["properties"][last]
    schema["properties"][last] = {"type": "array", "items": anything} if "items" in whole else anything


def main(clones: Path) -> None:
    found = {source.name: trimmed(source, published(clones, source)) for source in SOURCES}
    FILE.write_text(json.dumps(found, separators=(",", ":"), sort_keys=True) + "\n")
    print(f"{FILE}: {len(found)} definitions, {FILE.stat().st_size} bytes")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
