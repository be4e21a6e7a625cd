"""What a platform team asks of a time series database for each signal of a service."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from leverframe.model.frozen import Frozen
from leverframe.model.releases import SignalName

ARM_PLACEHOLDERS = ("{sha}", "{arm}", "{hash}")
"""What tells one arm's series from the other's."""

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_MATCHER = rf"[a-zA-Z_][a-zA-Z0-9_]*\s*(?:=~|!~|!=|=)\s*{_STRING}"
_SELECTOR = re.compile(
    rf"^\s*[a-zA-Z_:][a-zA-Z0-9_:]*\s*\{{\s*{_MATCHER}(?:\s*,\s*{_MATCHER})*\s*,?\s*\}}\s*$", re.ASCII
)


def _selector(text: str) -> str:
    if not _SELECTOR.match(text):
        raise ValueError(
            f"{text!r} is not one metric with label matchers, such as "
            'http_requests_total{revision="{sha}"}: without functions, since counts are added up here'
        )
    return text


def _of_one_arm(text: str) -> str:
    if not any(placeholder in text for placeholder in ARM_PLACEHOLDERS):
        raise ValueError(f"{text!r} names no arm: put one of {', '.join(ARM_PLACEHOLDERS)} into a label")
    return text


Selector = Annotated[str, Field(max_length=2000), AfterValidator(_selector)]
"""A PromQL instant vector selector with placeholders in its strings."""

ArmSelector = Annotated[Selector, AfterValidator(_of_one_arm)]


class SignalQuery(Frozen):
    """Counters whose growth makes one signal."""

    bad: ArmSelector | None = None
    """Counters of the bad events, or …"""
    good: ArmSelector | None = None
    """… counters of the good ones: `…_bucket{le="0.25"}` is all that was not slow."""
    total: ArmSelector | None = None
    """Counters of all events, or …"""
    seconds: ArmSelector | None = None
    """… a series of each instance whose time is the exposure, such as `up`: instance-seconds."""
    absent: Literal["blind", "zero"] = "blind"
    """What it means that there is no bad counter at all. `zero` is right for counters that are born with
    their first event; a wrong label looks the same."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.bad is None) == (self.good is None):
            raise ValueError("give either `bad` or `good`")
        if (self.total is None) == (self.seconds is None):
            raise ValueError("give either `total` or `seconds`")
        if self.good is not None and (self.seconds is not None or self.absent == "zero"):
            raise ValueError('`good` is counted out of `total`, and its absence is never "zero"')
        return self

    @property
    def selectors(self) -> tuple[str, ...]:
        """Everything that is asked."""
        return tuple(one for one in (self.bad, self.good, self.total, self.seconds) if one is not None)


class ServiceQueries(Frozen):
    """The signals of one service."""

    signals: dict[SignalName, SignalQuery] = Field(min_length=1, max_length=50)
    hashes: ArmSelector | None = None
    """Series whose label `hash_label` tells which pod template hashes run `{sha}`; needed for `{hash}`."""
    hash_label: str = Field(default="label_pod_template_hash", pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")

    @model_validator(mode="after")
    def _hashes_are_known(self) -> Self:
        if self.hashes is not None and "{hash}" in self.hashes:
            raise ValueError("`hashes` finds {hash}, so it can't contain it")
        if self.hashes is None and any(
            "{hash}" in selector for query in self.signals.values() for selector in query.selectors
        ):
            raise ValueError("{hash} needs `hashes`, which tells the hashes of a {sha}")
        return self


def filled(selector: str, values: dict[str, str]) -> str:
    """The selector with its placeholders replaced; the values hold no quote and no backslash."""
    for name, value in values.items():
        selector = selector.replace(f"{{{name}}}", value)
    return selector
