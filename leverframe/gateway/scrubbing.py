"""Secrets leave an event here, by the name of their key and by their shape. Pure.

The sender's SDK scrubs too, but by default only the top level of what it sends; this goes all the way down.
"""

import re

from pydantic import JsonValue

FILTERED = "[Filtered]"
MAX_TEXT = 1000
MAX_ITEMS = 50
MAX_DEPTH = 6

_NAMES = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|apikey|auth(?:orization)?|bearer|cookies?|"
    r"credentials?|private[_-]?key|session(?:[_-]?id)?|sid|csrf|xsrf|dsn|card[_-]?number|cvv|ssn|"
    r"signature|otp|pin"
)

_SECRET_KEY = re.compile(rf"(?i)(?:^|[^a-z])(?:{_NAMES})s?(?:$|[^a-z])")
"""A key that has one of the names as a word: `user_password`, `X-Api-Key`, but not `passenger`."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_ASSIGNED = re.compile(
    rf"""(?ix) (?<![a-z]) (?P<name> (?:{_NAMES})s? ) (?P<between> ["']? \s{{0,3}} [:=] \s{{0,3}} )
    (?! {re.escape(FILTERED)} ) (?: "[^"]{{0,{MAX_TEXT}}}"? | '[^']{{0,{MAX_TEXT}}}'? | [^\s"',;&)}}\]]+ )"""
)
"""`password='hunter2'`, `"token": "x"`, `api_key=x&…`: secrets inside a text, as `repr` prints them."""

_SHAPES = re.compile(
    r"""(?x)
      -----BEGIN\ [A-Z\ ]{0,40}PRIVATE\ KEY-----.*
    | \beyJ[\w-]{8,}\.[\w-]{4,}\.?[\w-]*                      # a JSON web token
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                           # an AWS access key
    | \bgh[pousr]_\w{20,} | \bgithub_pat_\w{20,} | \bglpat-[\w-]{16,}
    | \bxox[abeoprs]-[\w-]{10,} | \bsk-[\w-]{16,} | \bsk_live_\w{10,} | \bAIza[\w-]{30,}
    | (?i:\b(?:bearer|basic)\s+)[\w+/=.~-]{8,}
    | (?<=://)[^\s/@:]{1,100}:[^\s/@]{1,200}(?=@)             # user and password in an address
    | \b(?:\d[\ -]?){13,18}\d\b                               # a payment card
    """,
    re.DOTALL,
)


def scrub_text(text: str, limit: int = MAX_TEXT) -> str:
    """The text with secrets replaced, without NUL (PostgreSQL has none), at most `limit` characters."""
    clean = text[: min(limit, MAX_TEXT)].replace("\0", "")
    return _ASSIGNED.sub(rf"\g<name>\g<between>{FILTERED}", _SHAPES.sub(FILTERED, clean))[:limit]


def scrub(value: object, depth: int = 0) -> JsonValue:
    """A copy with secrets replaced at every level, bounded in depth, in items and in text."""
    if isinstance(value, str):
        return scrub_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth == MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        return {
            scrub_text(str(key), 100): FILTERED if is_secret_key(str(key)) else scrub(item, depth + 1)
            for key, item in list(value.items())[:MAX_ITEMS]
        }
    if isinstance(value, list):
        return [scrub(item, depth + 1) for item in value[:MAX_ITEMS]]
    return "…"


def is_secret_key(key: str) -> bool:
    """Whether a key by this name holds a secret."""
    return _SECRET_KEY.search(_CAMEL.sub("_", key[:200])) is not None
