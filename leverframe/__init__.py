"""Leverframe: bounded remediation agents on one merge train and one canary, interlocked by policy."""
