"""The two privilege classes of worker."""

HANDS = "leverframe-hands"
"""Holds credentials and runs every workflow; never runs repository code."""

SANDBOX = "leverframe-sandbox"
"""Runs repository code; holds no credentials."""
