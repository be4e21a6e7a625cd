"""The privilege classes of worker."""

HANDS = "leverframe-hands"
"""Holds credentials and runs every workflow; never runs repository code."""

SANDBOX = "leverframe-sandbox"
"""Runs repository code; holds no credentials."""

BUILD = "leverframe-build"
"""Runs the declared build commands, and with them repository code; holds the registry's credentials alone."""
