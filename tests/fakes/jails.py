"""Which jails work on this machine, asked once."""

import functools

from activities.backends.sandbox_jail import JailKind, JailSandbox

KINDS: tuple[JailKind, ...] = ("bubblewrap", "unshare")


@functools.cache
def why_not(kind: JailKind) -> str:
    """Why this kind of jail can't be tried here, or an empty text."""
    health = JailSandbox(kind).health()
    return "" if health.ok else health.detail
