"""Failure signatures: what two failures have in common when they have the same cause.

A signature is made of text that a test printed, which anybody can write: it is only ever compared.
"""

import re
from functools import lru_cache
from hashlib import sha256

LONGEST = 4_000
"""Characters of a failure that are looked at, half from its beginning and half from its end."""

_VARYING = (
    (re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]"), ""),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?\b"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
    (re.compile(r"\b0[xX][0-9a-fA-F]+\b"), "<address>"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "<hash>"),
    (re.compile(r"\$\$Lambda(?:\$\d+)?(?:/(?:<address>|\d+))?"), "$$Lambda"),
    (re.compile(r"(\$Proxy|Generated(?:Method|Constructor)Accessor)\d+"), r"\1<n>"),
    (re.compile(r"(?<=[\w$;>])@[0-9a-f]{5,8}\b(?![.@-])"), "@<address>"),
    (re.compile(r"(?:/private)?(?:/tmp|/var/folders|/var/tmp|/dev/shm)(?:/[^\s'\":,;)\]]*)?"), "<temp>"),
    (re.compile(r"[A-Za-z]:\\(?:[^\s\\]+\\)*[Tt]e?mp\\[^\s'\":,;)\]]*"), "<temp>"),
    (re.compile(r"(?<=:)\d+(?=[:)\s,]|$)|\bline \d+"), "<line>"),
    (re.compile(r"\b\d+(?:\.\d+)?\s?(?:ns|us|µs|ms|s|sec|secs|seconds?|minutes?|min)\b"), "<span>"),
    (re.compile(r"\b(?:localhost|127\.0\.0\.1|\[::1\]):<line>"), "<local>"),
    (
        re.compile(r"\b(pid|port|thread|goroutine|worker|process)([ =:#-]*)(?:gw)?\d+", re.IGNORECASE),
        r"\1\2<n>",
    ),
    (re.compile(r"\b\d+\.\d{3,}\b"), "<float>"),
    (re.compile(r"\b\d{5,}\b"), "<number>"),
    (re.compile(r"\s+"), " "),
)
"""What differs from one failure to the next of the same cause, in the order in which it is replaced."""

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


def normalised(failure: str) -> str:
    """The failure without line numbers, addresses, times, durations, ports and temporary paths.

    Small numbers stay: `expected 3, got 4` and `expected 3, got 5` are two failures.
    """
    return _without_varying(_shortened(failure))


def fingerprint(failure: str | None) -> str:
    """16 hexadecimal digits for the normalised failure; `""` where nothing is known of it.

    A fingerprint is its own, so that results may carry either.
    """
    # Not more of it is remembered than is looked at: a text may be as long as a report.
    return _fingerprint(_shortened(failure)) if failure else ""


@lru_cache(maxsize=4096)
def _fingerprint(failure: str) -> str:
    """Of one that is short already."""
    if _FINGERPRINT.fullmatch(failure):
        return failure
    return sha256(_without_varying(failure).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _shortened(failure: str) -> str:
    half = LONGEST // 2
    return failure if len(failure) <= LONGEST else f"{failure[:half]} {failure[-half:]}"


def _without_varying(text: str) -> str:
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return text.strip()
