"""Prometheus' query API as far as `metrics_prometheus` uses it, with a memory of samples.

Written from https://prometheus.io/docs/prometheus/latest/querying/api/ and …/querying/basics/: selectors with
matchers and a range, raw samples in the answer, staleness markers that hide a series from instant queries and
that ranges leave out, values as strings, errors as JSON with their status.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx

URL = "http://prometheus.example:9090"
LOOKBACK_SECONDS = 300.0
STALE = "stale"

_QUERY = re.compile(r"^\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\}\s*(?:\[(\d+)s\])?\s*$", re.DOTALL)
_MATCHER = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')

Labels = tuple[tuple[str, str], ...]


def labels(name: str, **more: str) -> Labels:
    """The labels of one series."""
    return tuple(sorted({"__name__": name, **more}.items()))


@dataclass
class FakePrometheus:
    """Samples by series, and the ways in which a server disappoints."""

    samples: dict[Labels, list[tuple[float, float | str]]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    token: str = ""
    password: str = ""
    fault: httpx.Response | Exception | None = None
    warnings: list[str] = field(default_factory=list)
    only: str = ""
    """The fault and the warnings meet only queries that contain this."""

    def scrape(self, at: float, values: Mapping[Labels, float | str]) -> None:
        """One look at the targets: what they show gets a sample, what they no longer show gets stale."""
        for series, value in values.items():
            self.samples.setdefault(series, []).append((at, value))
        for series, seen in self.samples.items():
            if series not in values and seen[-1][1] != STALE:
                seen.append((at, STALE))

    def transport(self) -> httpx.MockTransport:
        """What an `httpx.Client` speaks to."""
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST" or request.url.path != "/api/v1/query":
            return httpx.Response(404, text="404 page not found")
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        self.asked.append(form)
        if not self._known(request.headers.get("Authorization", "")):
            return httpx.Response(401, text="Unauthorized")
        hit = self.only in form["query"]
        if hit and isinstance(self.fault, Exception):
            raise self.fault
        if hit and self.fault is not None:
            return self.fault
        answer = self._data(form["query"], float(form["time"]))
        return httpx.Response(
            200, json=answer | ({"warnings": self.warnings} if hit and self.warnings else {})
        )

    def _known(self, said: str) -> bool:
        if self.token:
            return said == f"Bearer {self.token}"
        if self.password:
            return said == f"Basic {base64.b64encode(f'gate:{self.password}'.encode()).decode()}"
        return True

    def _data(self, query: str, at: float) -> dict[str, Any]:
        if query == "vector(1)":
            return _success("vector", [{"metric": {}, "value": [at, "1"]}])
        found = _QUERY.match(query)
        assert found is not None, query
        name, matchers, seconds = found.groups()
        assert _MATCHER.sub("", matchers).strip(", ") == "", query
        wanted = [("__name__", "=", name), *_MATCHER.findall(matchers)]
        matching = [series for series in self.samples if all(_matches(series, *one) for one in wanted)]
        if seconds is None:
            instants = [self._instant(series, at) for series in matching]
            return _success("vector", [one for one in instants if one is not None])
        return _success(
            "matrix", [one for series in matching if (one := self._range(series, at, int(seconds)))]
        )

    def _instant(self, series: Labels, at: float) -> dict[str, Any] | None:
        seen = [sample for sample in self.samples[series] if at - LOOKBACK_SECONDS <= sample[0] <= at]
        if not seen or seen[-1][1] == STALE:
            return None
        return {"metric": dict(series), "value": [at, _text(seen[-1][1])]}

    def _range(self, series: Labels, at: float, seconds: int) -> dict[str, Any] | None:
        seen = [
            [moment, _text(value)]
            for moment, value in self.samples[series]
            if at - seconds <= moment <= at and value != STALE
        ]
        return {"metric": dict(series), "values": seen} if seen else None


def _success(kind: str, result: list[dict[str, Any]]) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}}


def _matches(series: Labels, label: str, operator: str, text: str) -> bool:
    value, text = dict(series).get(label, ""), json.loads(f'"{text}"')
    same = value == text if operator in ("=", "!=") else re.fullmatch(text, value) is not None
    return same == operator.startswith("=")


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.17g}".replace("nan", "NaN")
