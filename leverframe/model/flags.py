"""Flags that not everybody has: who gets one, who the internal users are, and what each variant did."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.releases import LATENCY_EDGES_MS

INTERNAL = "leverframe-internal"
"""The variant that internal users get while a flag is rolled out. It means `on`; its own name keeps them
apart from the others, who are picked by chance: only these compare with users without the flag."""

FlagName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
VariantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,49}$")]


class Whole(Frozen):
    """Everybody has the same."""

    kind: Literal["whole"] = "whole"
    on: bool

    def words(self) -> str:
        """`on for everybody`."""
        return f"{'on' if self.on else 'off'} for everybody"


class Part(Frozen):
    """Internal users have it on, and so does a share of the others, always the same users of it."""

    kind: Literal["part"] = "part"
    percent: int = Field(ge=0, le=100)
    """Of the users who are not internal; who is in at 5 is in at 25."""

    def words(self) -> str:
        """`on for internal users and 5 % of the others`."""
        return "on for internal users" + (f" and {self.percent} % of the others" if self.percent else "")


Audience = Annotated[Whole | Part, Field(discriminator="kind")]
"""Who has a flag on."""


class InternalUsers(Frozen):
    """How an internal user is recognised, by what services put into the evaluation context.

    One of the keys, or an attribute with one of the values or endings, is enough.
    """

    keys: tuple[str, ...] = ()
    """Targeting keys."""
    attribute: str = Field(default="", pattern=r"^([A-Za-z_][A-Za-z0-9_.-]{0,99})?$")
    """Name of an attribute, such as `email`."""
    values: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()
    """Of the attribute's text, such as `@acme.example`."""

    @model_validator(mode="after")
    def _attribute_is_named(self) -> Self:
        if bool(self.attribute) != bool(self.values or self.endings):
            raise ValueError("`attribute` belongs together with `values` or `endings`")
        if "" in (*self.keys, *self.values, *self.endings):
            raise ValueError("an empty key, value or ending would make everybody internal")
        return self

    @property
    def declared(self) -> bool:
        """Whether anybody can be internal."""
        return bool(self.keys or self.attribute)

    def example(self) -> tuple[str, dict[str, str]]:
        """Targeting key and attributes of one internal user. Raises ValueError: none is declared."""
        if self.keys:
            return self.keys[0], {}
        if not self.attribute:
            raise ValueError("no internal user is declared")
        value = self.values[0] if self.values else f"leverframe-verify{self.endings[0]}"
        return "leverframe-verify", {self.attribute: value}


class FlagReading(Frozen):
    """One flag, as its backend has it now."""

    flag: FlagName
    audience: Audience | None
    """None: somebody's own targeting rules decide."""
    on: tuple[str, ...] = ()
    """Names of the variants that mean on, but for internal users' own."""
    off: tuple[str, ...] = ()
    revision: str
    """Another one after every change of what anybody gets, whoever made it."""
    changed_by: str | None = None
    """The key it was last written with; a hand in the file leaves it as it was."""

    def words(self) -> str:
        """Who has it on."""
        if self.audience is None:
            return "under targeting rules of somebody's own"
        return self.audience.words()


class VariantCounts(Frozen):
    """Cumulative counts of the requests in which a flag had one variant; they begin anew with the source."""

    variant: VariantName
    requests: int = Field(ge=0)
    errors: int = Field(ge=0)
    """Responses 500 to 599."""
    latency: tuple[int, ...] = Field(default=(0,) * (len(LATENCY_EDGES_MS) + 1), min_length=11, max_length=11)
    """Requests per bucket of `LATENCY_EDGES_MS`."""


class FlagHealthDocument(Frozen):
    """What real requests did under each variant of one flag.

    Only requests in which the service evaluated the flag, and said so, are counted.
    """

    service: Slug
    flag: FlagName
    counting_since: Instant
    """Counts are comparable only between documents of the same beginning."""
    taken_at: Instant
    variants: tuple[VariantCounts, ...] = Field(default=(), max_length=20)
