"""The shared words: frozen pydantic models with no I/O, no clock and no import of the other rooms."""
