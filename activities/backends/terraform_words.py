"""What Terraform's own words prove, wherever it ran: a lock or a lost connection is nobody's fault."""

import re

LOG_CHARACTERS = 8000

_LOCKED = re.compile(
    r"error acquiring the state lock|error locking state"
    r"|state blob is already locked|workspace already locked",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"connection (?:refused|reset|timed out)|i/o timeout|tls handshake timeout|no such host|unexpected eof"
    r"|context deadline exceeded|could not connect to|send request failed|broken pipe"
    r"|network is unreachable|temporary failure in name resolution|too many requests|service unavailable"
    r"|bad gateway|gateway timeout|requestlimitexceeded|throttling",
    re.IGNORECASE,
)

STATE_IS_LOCKED = (
    "somebody else holds the lock on dev's state; if nobody does any more, a person releases it"
    " with `terraform force-unlock`"
)


def no_proof(command: str, told: str) -> str:
    """Why a failed command says nothing about the change, as a sentence; empty when it does."""
    if _LOCKED.search(told):
        return STATE_IS_LOCKED
    return f"terraform {command} lost a connection" if _LOST.search(told) else ""


def failure(command: str) -> str:
    """The sentence about a command that failed by itself."""
    part = ", perhaps after a part of it was done" if command == "apply" else ""
    return f"terraform {command} failed{part}"
