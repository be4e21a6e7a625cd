"""What flags did, from a JSON address: whatever answers with a flag's health document can feed a rollout."""

from urllib.parse import quote

import httpx
from pydantic import ValidationError

from activities.ports import Backend, Health
from leverframe.model.errors import NotFound, Unavailable
from leverframe.model.flags import FlagHealthDocument

TIMEOUT_SECONDS = 5


class HttpFlagMetrics:
    """The port `FlagMetrics` over GET. The template has `{service}` and `{flag}` in it."""

    def __init__(self, *, url_template: str, remedy: str = "see that it answers") -> None:
        """`remedy`: what to do when nothing answers there."""
        self._template = url_template
        self._remedy = remedy
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False)

    def flag_health(self, service: str, flag: str) -> FlagHealthDocument:
        """One document. Whatever is wrong with the answer, the rollout is blind, so it is Unavailable.

        Raises:
            NotFound: the source knows no such service.
            Unavailable: no answer, an error status, or a document that is not one, or is about another flag.
        """
        url = self._url(service, flag)
        try:
            response = self._client.get(url)
        except httpx.HTTPError as error:
            raise Unavailable(f"no health document from {url}: {type(error).__name__}") from error
        if response.status_code == 404:
            raise NotFound(f"{url} knows no such service or flag")
        if not response.is_success:
            raise Unavailable(f"{url} answered {response.status_code}")
        try:
            document = FlagHealthDocument.model_validate_json(response.content)
        except ValidationError as error:
            raise Unavailable(f"{url} did not answer with a flag's health document") from error
        if (document.service, document.flag) != (service, flag):
            raise Unavailable(f"{url} answered with the flag {document.flag!r} of {document.service!r}")
        return document

    def health(self) -> Health:
        """Only whether the source answers at all."""
        try:
            self._client.get(self._url("-", "-"))
        except httpx.HTTPError as error:
            detail = f"{self._template} does not answer: {type(error).__name__}"
            return Health(ok=False, detail=detail, remedy=self._remedy)
        return Health(ok=True, detail=f"{self._template} answers")

    def _url(self, service: str, flag: str) -> str:
        return self._template.format(service=quote(service, safe=""), flag=quote(flag, safe=""))


BACKEND = Backend(kind="flag_metrics", name="http", scopes=(), build=HttpFlagMetrics)
