"""What Slack says that people did, as clicks. Only ids are read: names, texts and addresses are not ours.

Payloads: https://docs.slack.dev/reference/interaction-payloads. `response_url` is not looked at: where things
are shown is in our store.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activities.forms import Click
from leverframe.model.errors import BadInput

_BUTTONS: Mapping[str, Literal["form_yes", "form_no", "details"]] = MappingProxyType(
    {"form_yes": "form_yes", "form_no": "form_no", "details": "details"}
)
_FORMS: Mapping[str, Literal["yes", "no"]] = MappingProxyType({"yes": "yes", "no": "no"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Team(_Part):
    id: str


class _User(_Part):
    id: str
    team_id: str | None = None


class _Action(_Part):
    action_id: str
    action_ts: str = ""
    value: str = ""


class _Option(_Part):
    value: str


class _Entered(_Part):
    value: str | None = None
    selected_option: _Option | None = None

    def text(self) -> str:
        """What was typed or chosen; empty for nothing."""
        return self.selected_option.value if self.selected_option else self.value or ""


class _State(_Part):
    values: dict[str, dict[str, _Entered]] = Field(default_factory=dict)


class _View(_Part):
    id: str
    callback_id: str = ""
    private_metadata: str = ""
    state: _State = _State()


class Interaction(_Part):
    """The parts of an interaction that we read."""

    type: str
    workspace: _Team = Field(alias="team")
    user: _User
    trigger_id: str = ""
    actions: tuple[_Action, ...] = ()
    view: _View | None = None

    @property
    def team(self) -> str:
        """The workspace that the interaction came from."""
        return self.workspace.id

    @classmethod
    def read(cls, payload: dict[str, object]) -> "Interaction":
        """Raises BadInput for what is no interaction of Slack's."""
        try:
            return cls.model_validate(payload)
        except ValidationError as error:
            raise _unusable(error) from error


def clicks_in(interaction: Interaction, *, at: datetime) -> list[Click]:
    """The clicks of an interaction; none for kinds that start nothing here. Raises BadInput."""
    match interaction.type:
        case "block_actions":
            actions = (each for each in interaction.actions if each.action_id in _BUTTONS)
            return [_button(interaction, action, at) for action in actions]
        case "view_submission":
            view = interaction.view
            return [_form(interaction, view, at)] if view and view.callback_id in _FORMS else []
        case _:
            return []


def _button(interaction: Interaction, action: _Action, at: datetime) -> Click:
    return _click(
        interaction,
        at,
        kind=_BUTTONS[action.action_id],
        card=action.value,
        id=_name(interaction, action.action_id, action.value, action.action_ts),
        trigger=interaction.trigger_id,
    )


def _form(interaction: Interaction, view: _View, at: datetime) -> Click:
    entered = {
        block: next(iter(fields.values())).text() for block, fields in view.state.values.items() if fields
    }
    return _click(
        interaction,
        at,
        kind=_FORMS[view.callback_id],
        card=view.private_metadata,
        id=_name(interaction, view.callback_id, view.private_metadata, view.id),
        values=entered,
    )


def _click(interaction: Interaction, at: datetime, **fields: object) -> Click:
    team = interaction.user.team_id or interaction.team
    try:
        return Click.model_validate({"team": team, "user": interaction.user.id, "received_at": at, **fields})
    except ValidationError as error:
        raise _unusable(error) from error


def _name(interaction: Interaction, *parts: str) -> str:
    """What two deliveries of one click have in common: who, what on, and when or in which form."""
    named = "\0".join((interaction.team, interaction.user.id, interaction.type, *parts))
    return sha256(named.encode()).hexdigest()


def _unusable(error: ValidationError) -> BadInput:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"])) or "payload"
    return BadInput(f"the interaction is not usable: {place}: {first['msg']}")
