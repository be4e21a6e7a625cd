"""Deterministic orchestration: no vendor, no parsing, no arithmetic worth a name."""
