"""Metrics from a JSON address: whatever answers with a HealthDocument can feed the gate."""

import httpx
from pydantic import ValidationError

from activities.ports import Backend, Health
from leverframe.model.errors import NotFound, Unavailable
from leverframe.model.releases import HealthDocument

TIMEOUT_SECONDS = 5


class HttpMetrics:
    """The port `Metrics` over GET. The template has `{service}` in it."""

    def __init__(self, *, url_template: str, remedy: str = "see that it answers") -> None:
        """`remedy`: what to do when nothing answers there."""
        self._template = url_template
        self._remedy = remedy
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False)

    def release_health(self, service: str) -> HealthDocument:
        """One document. Whatever is wrong with the answer, the gate is blind, so it is Unavailable.

        Raises:
            NotFound: the source knows no such service.
            Unavailable: no answer, an error status, or a document that is not one.
        """
        url = self._template.format(service=service)
        try:
            response = self._client.get(url)
        except httpx.HTTPError as error:
            raise Unavailable(f"no health document from {url}: {type(error).__name__}") from error
        if response.status_code == 404:
            raise NotFound(f"{url} knows no service {service!r}")
        if not response.is_success:
            raise Unavailable(f"{url} answered {response.status_code}")
        try:
            document = HealthDocument.model_validate_json(response.content)
        except ValidationError as error:
            raise Unavailable(f"{url} did not answer with a health document") from error
        if document.service != service:
            raise Unavailable(f"{url} answered with the health of {document.service!r}")
        return document

    def health(self) -> Health:
        """Only whether the source answers at all: a service without a release yet is no fault."""
        try:
            self._client.get(self._template.format(service="-"))
        except httpx.HTTPError as error:
            detail = f"{self._template} does not answer: {type(error).__name__}"
            return Health(ok=False, detail=detail, remedy=self._remedy)
        return Health(ok=True, detail=f"{self._template} answers")


BACKEND = Backend(kind="metrics", name="http", scopes=(), build=HttpMetrics)
