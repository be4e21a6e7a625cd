"""Who gets a flag, as a flagd definition says it (https://flagd.dev/reference/flag-definitions). Pure.

A flag that everybody has alike has no targeting, only its `defaultVariant`. One on its way has

    "targeting": {"if": [<is internal>, "leverframe-internal", {"fractional": [["on", 5], ["off", 95]]}]}

`fractional` puts a user into one of 100 buckets by flag and targeting key, and gives the first ones to `on`:
who is in at 5 is in at 25. A user without a targeting key gets the default, which is off.
"""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from leverframe.model.errors import BadConfiguration
from leverframe.model.flags import INTERNAL, Audience, InternalUsers, Part, Whole

_DECIDES = ("state", "variants", "defaultVariant", "targeting")
"""The parts of a definition that decide what anybody gets."""


class Definition(BaseModel):
    """The part of one flag that matters here; everything else is kept as it is."""

    model_config = ConfigDict(extra="allow")

    state: str = "ENABLED"
    variants: dict[str, object]
    default_variant: str | None = Field(default=None, alias="defaultVariant")
    metadata: dict[str, bool | int | float | str] = {}
    targeting: dict[str, object] | None = None

    @property
    def is_switch(self) -> bool:
        """Whether the flag is boolean: exactly these can be switched."""
        return {True, False} == {value for value in self.variants.values() if isinstance(value, bool)}

    @property
    def default(self) -> object:
        """The value of the default variant."""
        return None if self.default_variant is None else self.variants.get(self.default_variant)

    def names_of(self, value: bool) -> tuple[str, ...]:
        """The variants that have the value, but for the one of internal users."""
        return tuple(name for name, each in self.variants.items() if each is value and name != INTERNAL)

    def name_of(self, value: bool, flag: str) -> str:
        """The first of them: who is to have the value gets it. Raises BadConfiguration."""
        names = self.names_of(value)
        if not names:
            raise BadConfiguration(f"flag {flag!r} has no variant that is {str(value).lower()}")
        return names[0]


def audience_of(definition: Definition) -> Audience | None:
    """Who has the flag on, were it enabled; None when targeting decides that is not as we write it."""
    if not definition.targeting:
        return Whole(on=definition.default is True)
    if definition.variants.get(INTERNAL) is not True or definition.default is not False:
        return None
    match definition.targeting:
        case {"if": [dict(), str(variant), rest], **more} if variant == INTERNAL and not more:
            percent = _share(definition, rest)
            return None if percent is None else Part(percent=percent)
    return None


def _share(definition: Definition, rest: object) -> int | None:
    """The share of the users who are not internal."""
    match rest:
        case str(name):
            value = definition.variants.get(name)
            return 100 if value is True else 0 if value is False else None
        case {"fractional": [[str(on), int(percent)], [str(off), int(others)]], **more} if not more:
            fits = definition.variants.get(on) is True and definition.variants.get(off) is False
            return percent if fits and 0 < percent < 100 and percent + others == 100 else None
    return None


def rewritten(raw: dict[str, Any], flag: str, audience: Audience, internal: InternalUsers) -> dict[str, Any]:
    """The definition that gives the flag to this audience, everything else as it was.

    Raises BadConfiguration: it has no on and off variants, its variant for internal users is somebody else's,
    or nobody is declared internal.
    """
    definition = Definition.model_validate(raw)
    on, off = definition.name_of(True, flag), definition.name_of(False, flag)
    variants = {name: value for name, value in raw["variants"].items() if name != INTERNAL}
    if raw["variants"].get(INTERNAL, True) is not True:
        raise BadConfiguration(f"flag {flag!r} has a variant {INTERNAL!r} of its own: name it differently")
    if isinstance(audience, Whole):
        kept = {key: value for key, value in raw.items() if key != "targeting"}
        return kept | {"variants": variants, "defaultVariant": on if audience.on else off}
    if not internal.declared:
        raise BadConfiguration(
            "nobody is declared internal, and internal users come first: set flags.internal.keys, or "
            "flags.internal.attribute with values or endings"
        )
    rest: object = {0: off, 100: on}.get(audience.percent) or {
        "fractional": [[on, audience.percent], [off, 100 - audience.percent]]
    }
    return raw | {
        "variants": variants | {INTERNAL: True},
        "defaultVariant": off,
        "targeting": {"if": [_is_internal(internal), INTERNAL, rest]},
    }


def _is_internal(internal: InternalUsers) -> dict[str, object]:
    """JsonLogic (https://jsonlogic.com) that is true for internal users."""
    ways: list[dict[str, object]] = []
    if internal.keys:
        ways.append({"in": [{"var": "targetingKey"}, list(internal.keys)]})
    if internal.values:
        ways.append({"in": [{"var": internal.attribute}, list(internal.values)]})
    ways += [{"ends_with": [{"var": internal.attribute}, ending]} for ending in internal.endings]
    return ways[0] if len(ways) == 1 else {"or": ways}


def revision_of(raw: dict[str, Any]) -> str:
    """Twelve hex digits of what decides who gets what."""
    deciding = {key: raw.get(key) for key in _DECIDES}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:12]
