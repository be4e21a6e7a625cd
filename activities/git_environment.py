"""The environment of every git that we run: no configuration, hook, prompt or helper of the machine.

Only the transports that a declared repository may use are allowed, whatever a remote redirects to.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType

_PASSED_ON = ("PATH", "HOME", "SSH_AUTH_SOCK", "TMPDIR")

_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", os.devnull),
    ("core.quotePath", "false"),
    ("credential.helper", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("protocol.allow", "never"),
    ("protocol.file.allow", "always"),
    ("protocol.https.allow", "always"),
    ("protocol.http.allow", "always"),
    ("protocol.ssh.allow", "always"),
    ("tar.umask", "0022"),
    ("merge.directoryRenames", "false"),
)


def git_environment(more_settings: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """All variables of a git process. `more_settings` are settings of git that no argument may show."""
    settings = (*_SETTINGS, *more_settings.items())
    ours = {
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=15",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for index, (key, value) in enumerate(settings):
        ours[f"GIT_CONFIG_KEY_{index}"] = key
        ours[f"GIT_CONFIG_VALUE_{index}"] = value
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed | ours
