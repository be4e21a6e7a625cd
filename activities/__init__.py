"""Side effects: thin, typed, idempotent. Ports say what is needed, backends say how."""
