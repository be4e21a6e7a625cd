"""Several sources of metrics as one: each adds its signals, and each may fail on its own."""

from collections.abc import Collection, Mapping, Sequence

from activities.delivery_ports import Metrics
from activities.ports import Backend, Health
from leverframe.model.errors import LeverframeError, NotFound, Unavailable
from leverframe.model.releases import HealthDocument


class JoinedMetrics:
    """The port `Metrics` over others, first choice first."""

    def __init__(self, sources: Mapping[str, Metrics], declared: Mapping[str, Collection[str]]) -> None:
        """`declared`: service → the signals that its gate watches."""
        self._sources = sources
        self._declared = declared

    def release_health(self, service: str) -> HealthDocument:
        """The document of the first source that answers, with the signals of all that see the same arms.

        A signal that several report is the first one's. Where one fails, the declared signals that no other
        source has are blind, with its reason.

        Raises:
            NotFound: no source knows the service.
            Unavailable: no source answers.
        """
        documents, failures = list[HealthDocument](), dict[str, LeverframeError]()
        for name, source in self._sources.items():
            try:
                documents.append(source.release_health(service))
            except LeverframeError as error:
                failures[name] = error
        if not documents:
            said = "; ".join(f"{name}: {error}" for name, error in failures.items())
            unknown = all(isinstance(error, NotFound) for error in failures.values())
            raise NotFound(said) if unknown else Unavailable(said)
        return self._joined(documents, failures)

    def _joined(
        self, documents: Sequence[HealthDocument], failures: Mapping[str, LeverframeError]
    ) -> HealthDocument:
        first = documents[0]
        signals, blind = dict(first.signals), dict(first.blind)
        for other in documents[1:]:
            if (other.stable, other.canary) == (first.stable, first.canary):
                signals = {**other.signals, **signals}
                blind = {**other.blind, **blind}
            else:
                blind = {**dict.fromkeys(other.signals, "its source sees other commits"), **blind}
        why = "; ".join(f"{name}: {error}" for name, error in failures.items())[:500]
        if why:
            blind = {**dict.fromkeys(self._declared.get(first.service, ()), why), **blind}
        return first.model_copy(
            update={
                "signals": signals,
                "blind": {name: said for name, said in blind.items() if name not in signals},
            }
        )

    def health(self) -> Health:
        """The worst of the sources."""
        found = {name: source.health() for name, source in self._sources.items()}
        worst = next((each for each in found.values() if not each.ok), None)
        detail = "; ".join(f"{name}: {each.detail}" for name, each in found.items())
        return Health(ok=worst is None, detail=detail, remedy=worst.remedy if worst else "")


BACKEND = Backend(kind="metrics", name="joined", scopes=(), build=JoinedMetrics)
