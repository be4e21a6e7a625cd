"""Requests and answers against GitHub's published description of its REST API."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator

_FILE = Path(__file__).parent / "schemas" / "github_rest.json"
_NOT_DESCRIBED = ("/graphql",)
_MANY_SEGMENTS = ("ref", "branch", "basehead")


def check_exchange(request: httpx.Request, answer: httpx.Response) -> list[str]:
    """What of a request or its answer the description does not allow, in sentences."""
    if request.url.path in _NOT_DESCRIBED:
        return []
    found = _operation(request.method.lower(), request.url.path)
    where = f"{request.method} {request.url.path}"
    if found is None:
        return [f"{where} is not described"]
    name, operation = found
    told = [
        f"{where}: unknown parameter {each}" for each in request.url.params if each not in operation["query"]
    ]
    for each, value in request.url.params.items():
        allowed = operation["query"].get(each, {}).get("enum")
        if allowed and value not in allowed:
            told.append(f"{where}: {each} is none of {allowed}")
    if request.content:
        told += _wrong(name, "request", json.loads(request.content), where)
    status = str(answer.status_code)
    if status not in operation["responses"]:
        return [*told, f"{where}: an answer {status} is not described"] if answer.status_code < 400 else told
    if answer.content:
        told += _wrong(name, status, answer.json(), where)
    return told


@functools.cache
def _described() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_FILE.read_text())
    return document


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[str], str]]:
    """Method, path and name of each operation; those with fewer variable parts first."""
    made = []
    for name in sorted(_described()["operations"], key=lambda name: name.count("{")):
        method, _, path = name.partition(" ")
        pattern = re.sub(r"\\{(\w+)\\}", _part, re.escape(path))
        made.append((method, re.compile(pattern), name))
    return made


def _part(found: re.Match[str]) -> str:
    return ".+" if found[1] in _MANY_SEGMENTS else "[^/]+"


def _operation(method: str, path: str) -> tuple[str, dict[str, Any]] | None:
    for known, pattern, name in _patterns():
        if known == method and pattern.fullmatch(path):
            return name, _described()["operations"][name]
    return None


@functools.cache
def _validator(name: str, part: str) -> Draft202012Validator:
    operation = _described()["operations"][name]
    schema = operation["request"] if part == "request" else operation["responses"][part]
    return Draft202012Validator({"refs": _described()["refs"], "allOf": [schema]})


def _wrong(name: str, part: str, document: object, where: str) -> list[str]:
    errors = sorted(_validator(name, part).iter_errors(document), key=lambda error: error.json_path)
    return [f"{where} ({part}): {error.json_path}: {error.message[:200]}" for error in errors[:3]]
