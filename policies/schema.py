"""JSON Schemas, generated from the models: for editors of policy files, and for what `policy explain` reads.

A schema knows the shape of a file. What it can't know, such as a calendar that never comes or a group that
does not exist, `leverframe policy check` says.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from policies.inputs import ProposalFile
from policies.rules import PeopleRules, Rules, duration_words
from policies.usage import UsageDocument

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: Mapping[str, tuple[str, type[BaseModel]]] = {
    "policy": ("org.yaml, repos/<repository>.yaml or agents/<agent>.yaml", Rules),
    "people": ("people.yaml", PeopleRules),
    "proposal": ("what `leverframe policy explain --proposal` reads", ProposalFile),
    "usage": ("what `leverframe policy explain --usage` reads", UsageDocument),
}


class _AsWritten(GenerateJsonSchema):
    """Defaults as a file would write them."""

    def encode_default(self, dft: Any) -> Any:
        """A duration as `15m`; pydantic's own form is refused in our files."""
        return duration_words(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def schemas() -> dict[str, dict[str, Any]]:
    """`policy`, `people`, `proposal`, `usage` → its JSON Schema."""
    return {
        name: {
            "$schema": _DIALECT,
            **model.model_json_schema(schema_generator=_AsWritten),
            "title": f"Leverframe: {title}",
        }
        for name, (title, model) in _MODELS.items()
    }


def pages() -> dict[str, str]:
    """File name → text of each schema, as it stands in docs/reference."""
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }
