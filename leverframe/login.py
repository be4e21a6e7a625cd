"""The person at this terminal, as people.yaml may know them: `login:<name>`."""

import os
import pwd


def me() -> str:
    """The account as the operating system knows the process: no variable can change it."""
    user = os.getuid()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"uid-{user}"
