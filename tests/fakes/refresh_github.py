"""Writes `schemas/github_*` again from what GitHub publishes; for developers, needs npm and a network.

    python -m tests.fakes.refresh_github

`@octokit/openapi` describes version 2022-11-28 of the REST API; we speak 2026-03-10, which has fewer fields:
so what the description requires of an answer is not asked for; githubkit's models of 2026-03-10 do that.

Each file holds only what our code and the fake use: operations with the schemas that they reference, the
GraphQL fields of our queries, and the events that the gateway knows. Packages (all MIT): `@octokit/openapi`,
`@octokit/graphql-schema`, `@octokit/webhooks-examples`.
"""

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.fakes.github_sdl import trimmed_sdl

SCHEMAS = Path(__file__).parent / "schemas"
PACKAGES = {
    "openapi": "@octokit/openapi@23.0.2",
    "graphql": "@octokit/graphql-schema@15.26.1",
    "webhooks": "@octokit/webhooks-examples@7.6.1",
}

_AT = "/repos/{owner}/{repo}"
OPERATIONS = (
    ("get", "/user"),
    ("get", "/app/installations/{installation_id}"),
    ("post", "/app/installations/{installation_id}/access_tokens"),
    ("get", _AT),
    ("get", f"{_AT}/pulls"),
    ("post", f"{_AT}/pulls"),
    ("get", f"{_AT}/pulls/{{pull_number}}"),
    ("patch", f"{_AT}/pulls/{{pull_number}}"),
    ("put", f"{_AT}/pulls/{{pull_number}}/merge-async"),
    ("get", f"{_AT}/pulls/{{pull_number}}/merge-async/{{uuid}}"),
    ("get", f"{_AT}/issues"),
    ("post", f"{_AT}/issues"),
    ("patch", f"{_AT}/issues/{{issue_number}}"),
    ("get", f"{_AT}/issues/{{issue_number}}/comments"),
    ("post", f"{_AT}/issues/{{issue_number}}/comments"),
    ("patch", f"{_AT}/issues/comments/{{comment_id}}"),
    ("get", f"{_AT}/git/ref/{{ref}}"),
    ("get", f"{_AT}/git/matching-refs/{{ref}}"),
    ("post", f"{_AT}/git/blobs"),
    ("get", f"{_AT}/git/blobs/{{file_sha}}"),
    ("get", f"{_AT}/compare/{{basehead}}"),
    ("get", f"{_AT}/commits/{{ref}}/check-runs"),
    ("get", f"{_AT}/commits/{{ref}}/check-suites"),
    ("get", f"{_AT}/commits/{{ref}}/statuses"),
    ("post", f"{_AT}/check-runs"),
    ("patch", f"{_AT}/check-runs/{{check_run_id}}"),
    ("get", f"{_AT}/check-suites/{{check_suite_id}}"),
    ("get", f"{_AT}/check-suites/{{check_suite_id}}/check-runs"),
    ("post", f"{_AT}/check-suites/{{check_suite_id}}/rerequest"),
    ("get", f"{_AT}/actions/runs"),
    ("get", f"{_AT}/actions/runs/{{run_id}}/attempts/{{attempt_number}}"),
    ("get", f"{_AT}/actions/runs/{{run_id}}/attempts/{{attempt_number}}/jobs"),
    ("get", f"{_AT}/actions/runs/{{run_id}}/artifacts"),
    ("get", f"{_AT}/actions/artifacts/{{artifact_id}}/{{archive_format}}"),
    ("post", f"{_AT}/actions/runs/{{run_id}}/rerun-failed-jobs"),
    ("post", f"{_AT}/actions/runs/{{run_id}}/cancel"),
    ("get", f"{_AT}/rules/branches/{{branch}}"),
    ("get", f"{_AT}/releases"),
    ("post", f"{_AT}/releases"),
    ("patch", f"{_AT}/releases/{{release_id}}"),
)
EVENTS = ("check_run", "check_suite", "merge_group", "pull_request", "push", "status", "workflow_run")

_PROSE = frozenset(
    {"description", "summary", "example", "examples", "externalDocs", "title", "tags", "format"}
)
_KEPT_OF_A_REPOSITORY = ("id", "name", "full_name", "private", "default_branch")


def main() -> None:
    """Download the packages and write the three files."""
    with tempfile.TemporaryDirectory() as directory:
        unpacked = {name: _unpacked(package, Path(directory) / name) for name, package in PACKAGES.items()}
        rest = json.loads((unpacked["openapi"] / "generated/api.github.com.json").read_text())
        sdl = (unpacked["graphql"] / "schema.graphql").read_text()
        examples = json.loads((unpacked["webhooks"] / "api.github.com/index.json").read_text())
    _write("github_rest.json", {"source": PACKAGES["openapi"], **_trimmed_rest(rest)})
    _write("github_webhooks.json", {"source": PACKAGES["webhooks"], "events": _trimmed_examples(examples)})
    (SCHEMAS / "github.graphql").write_text(f"# Trimmed from {PACKAGES['graphql']}\n{trimmed_sdl(sdl)}\n")


def _unpacked(package: str, directory: Path) -> Path:
    directory.mkdir()
    subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", str(directory), package],
        check=True,
        stdout=sys.stderr,
    )
    with tarfile.open(next(directory.glob("*.tgz"))) as archive:
        archive.extractall(directory, filter="data")
    return directory / "package"


def _write(name: str, document: object) -> None:
    text = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    (SCHEMAS / name).write_text(text + "\n")


def _trimmed_rest(document: dict[str, Any]) -> dict[str, Any]:
    """The operations, and under `refs` every schema that they reach, without prose, as JSON Schema."""
    refs: dict[str, Any] = {}

    def trim(node: Any, *, names: bool = False) -> Any:
        if isinstance(node, list):
            return [trim(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            name = node["$ref"]
            if name not in refs:
                refs[name] = None
                refs[name] = _lenient(trim(_follow(document, name)))
            return {"$ref": "#/refs/" + name.replace("~", "~0").replace("/", "~1")}
        kept = {
            key: trim(value, names=key == "properties")
            for key, value in node.items()
            if names or (key not in _PROSE and not key.startswith("x-"))
        }
        return kept if names else _nullable(kept)

    operations = {
        f"{method} {path}": {
            "query": {
                each["name"]: each["schema"]
                for each in trim([_resolved(document, one) for one in about.get("parameters", [])])
                if each["in"] == "query"
            },
            "request": trim(_body(about.get("requestBody", {}))),
            "responses": {
                status: _lenient(trim(_body(_resolved(document, answer))))
                for status, answer in about["responses"].items()
            },
        }
        for method, path in OPERATIONS
        for about in [document["paths"][path][method]]
    }
    return {"operations": operations, "refs": refs}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.0 says `nullable`, JSON Schema has a type for it."""
    if not schema.pop("nullable", False):
        return schema
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _lenient(schema: Any, *, names: bool = False) -> Any:
    """The same without required fields; of alternatives several may fit then."""
    if isinstance(schema, list):
        return [_lenient(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        "anyOf" if key == "oneOf" and not names else key: _lenient(value, names=key == "properties")
        for key, value in schema.items()
        if names or key != "required"
    }


def _resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    return _follow(document, node["$ref"]) if "$ref" in node else node


def _follow(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document
    for part in name.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _body(about: dict[str, Any]) -> dict[str, Any]:
    return about.get("content", {}).get("application/json", {}).get("schema", {})


def _trimmed_examples(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """One example of each action of our events, without what is the same everywhere."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event["name"] in EVENTS:
            first = {
                example.get("action", example.get("ref")): example for example in event["examples"][::-1]
            }
            found[event["name"]] = [_trimmed_example(example) for example in first.values()]
    return found


def _trimmed_example(example: dict[str, Any]) -> dict[str, Any]:
    return {key: _trimmed_value(value) for key, value in example.items() if key not in ("organization",)}


def _trimmed_value(value: Any) -> Any:
    """Addresses and empty fields say nothing that we read; repositories keep what names them."""
    if isinstance(value, list):
        return [_trimmed_value(each) for each in value[:2]]
    if not isinstance(value, dict):
        return value
    if "full_name" in value:
        return {key: value[key] for key in _KEPT_OF_A_REPOSITORY if key in value}
    return {
        key: _trimmed_value(each)
        for key, each in value.items()
        if not key.endswith("url") and key not in ("_links", "node_id", "permissions") and each is not None
    }


if __name__ == "__main__":
    main()
