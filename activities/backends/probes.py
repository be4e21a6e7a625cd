"""The declared smoke requests, sent to wherever an environment answers."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import httpx

from leverframe.model.topology import Probe

PROBE_SECONDS = 10


def sent(
    origin: str, probes: Sequence[Probe], headers: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """One sentence for each request that was not answered with a status below 400."""
    with httpx.Client(timeout=PROBE_SECONDS, trust_env=False) as client:
        results = [_sent(client, origin.rstrip("/"), probe, headers) for probe in probes]
    return [failure for failure in results if failure is not None]


def _sent(client: httpx.Client, origin: str, probe: Probe, headers: Mapping[str, str]) -> str | None:
    """The sentence about a failed probe; None when it passed."""
    typed = {"Content-Type": "application/json"} if probe.body else {}
    asked = f"{probe.name}: {probe.method} {probe.path}"
    try:
        response = client.request(
            probe.method, f"{origin}{probe.path}", headers={**headers, **typed}, content=probe.body or None
        )
    except httpx.HTTPError as error:
        return f"{asked} got no answer ({type(error).__name__})"
    return f"{asked} answered {response.status_code}" if response.status_code >= 400 else None
