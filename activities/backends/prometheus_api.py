"""The one call of Prometheus' HTTP API that we make, and what makes its answer unsure.

POST /api/v1/query (https://prometheus.io/docs/prometheus/latest/querying/api/) of an instant vector selector,
or of one with a range, which answers with the raw samples. Warnings, which also tell of partial answers
(Thanos, Mimir), histograms, an unknown shape: whatever is unsure is `Unavailable`.
"""

import ssl
import time
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from activities.backends.prometheus_counts import Series
from leverframe.model.errors import BadConfiguration, Unavailable
from leverframe.model.untrusted import Untrusted

TIMEOUT_SECONDS = 4.0
MOST_BYTES = 32_000_000
"""Of one answer."""
MOST_SERIES = 20_000

Labels = dict[str, str]


class _Vector(BaseModel):
    metric: Labels
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] | None = None
    histogram: Any = None
    histograms: Any = None


class _Data(BaseModel):
    resultType: Literal["vector", "matrix"]  # noqa: N815 - the API's name
    result: list[_Vector]


class _Answer(BaseModel):
    status: Literal["success", "error"]
    data: _Data | None = None
    error: str = ""
    warnings: list[str] = []


class PrometheusApi:
    """Asks one server. Nothing is retried: the next look asks again."""

    def __init__(
        self,
        *,
        url: str,
        token: SecretStr | None = None,
        username: str = "",
        password: SecretStr | None = None,
        ca_file: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Raises BadConfiguration for credentials that exclude each other and an unusable CA file."""
        if token is not None and (username or password):
            raise BadConfiguration("metrics.prometheus: give a token, or username and password, not both")
        if bool(username) != bool(password):
            raise BadConfiguration("metrics.prometheus: username and password belong together")
        if not url:
            raise BadConfiguration("metrics.prometheus.url is not set: where is the server?")
        self._url = url.rstrip("/")
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {token.get_secret_value()}"} if token else None,
            auth=(username, password.get_secret_value()) if password else None,
            verify=_trust(ca_file),
            timeout=TIMEOUT_SECONDS,
            transport=transport,
            trust_env=False,
        )

    def matrix(self, selector: str, *, seconds: int, until: float) -> list[Series]:
        """The raw samples of each series in so many seconds up to an instant. Raises Unavailable."""
        answer = self._query(f"{selector}[{seconds}s]", until)
        if answer.resultType != "matrix" or any(one.values is None for one in answer.result):
            raise Unavailable(f"{selector} is not answered with samples")
        return [[(at, _number(value)) for at, value in one.values or ()] for one in answer.result]

    def labels(self, selector: str, *, at: float) -> list[Labels]:
        """The labels of each series that there is at an instant. Raises Unavailable."""
        return [one.metric for one in self._query(selector, at).result]

    def alive(self) -> None:
        """Raises Unavailable when the server does not answer a query."""
        self._query("vector(1)", time.time())

    def _query(self, query: str, at: float) -> _Data:
        try:
            with self._http.stream(
                "POST",
                f"{self._url}/api/v1/query",
                data={"query": query, "time": f"{at:.3f}", "timeout": f"{TIMEOUT_SECONDS:g}s"},
            ) as response:
                body = _read(response)
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._url} does not answer: {type(error).__name__}") from error
        if response.status_code in (401, 403):
            raise Unavailable(f"{self._url} refuses our credentials ({response.status_code})")
        try:
            answer = _Answer.model_validate_json(body)
        except ValidationError as error:
            raise Unavailable(
                f"{self._url} answered {response.status_code} with something that is no answer to a query"
            ) from error
        if not response.is_success or answer.status != "success" or answer.data is None:
            said = Untrusted(answer.error).for_terminal(200)
            raise Unavailable(f"{self._url} answered {response.status_code}: {said or 'no reason given'}")
        if answer.warnings:
            warned = Untrusted(answer.warnings[0]).for_terminal(200)
            raise Unavailable(f"{self._url} is not sure of its answer: {warned}")
        if any(one.histogram or one.histograms for one in answer.data.result):
            raise Unavailable("a native histogram is no counter: use its classic buckets")
        if len(answer.data.result) > MOST_SERIES:
            raise Unavailable(f"more than {MOST_SERIES} series: narrow the selector {query}")
        return answer.data


def _read(response: httpx.Response) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > MOST_BYTES:
            raise Unavailable(f"an answer is longer than {MOST_BYTES} bytes: narrow the selector")
        chunks.append(chunk)
    return b"".join(chunks)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Unavailable("a sample is no number") from None


def _trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise BadConfiguration(f"metrics.prometheus.ca_file: {ca_file} can't be used: {error}") from error
