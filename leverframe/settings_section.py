"""What every table of `leverframe.toml` is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the file: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")
