"""Every error that a room raises on purpose.

LeverframeError
├── BadInput             a person or an outside system sent something unusable: fix the input
│   └── BadConfiguration     settings, policies or a repository's description are wrong
├── NotFound             the named thing does not exist
├── Conflict             the world moved, or an id was reused with other content
│   ├── TargetMoved          the branch is not where the car was tested
│   ├── Unproven             more is required of a commit than was proven of it
│   └── CanaryBusy           another release holds the canary
├── Refused              a rule or an outside system said no; retrying can't help
├── Interrupted          what was begun was cut short; nothing says that it would be again
└── Unavailable          an outside system did not answer; retrying may help
    └── DiskFull             this machine's disk has no space left; retrying helps once there is room

Activities turn these into Temporal's `ApplicationError` with the class name as type; all but
`Unavailable` (with `DiskFull`) and `CanaryBusy` are final (see `activities.failures`). After an
`Interrupted` a workflow may begin anew, as often as its plan says.
"""

from datetime import timedelta


class LeverframeError(Exception):
    """An error with a sentence for people: what was wrong, where, and what to do."""


class BadInput(LeverframeError):
    """Input from outside that can't be used as it is."""


class BadConfiguration(BadInput):
    """Settings, policies or a repository's description that can't be used as they are."""


class NotFound(LeverframeError):
    """The named thing does not exist."""


class Conflict(LeverframeError):
    """The world is not as the caller saw it."""


class TargetMoved(Conflict):
    """The target branch is not at the commit the car was tested on: compose and test again."""


class Unproven(Conflict):
    """More is required of a commit by now than was proven of it: prove the rest."""


class CanaryBusy(Conflict):
    """Another release of the service is in canary: wait for it."""


class Refused(LeverframeError):
    """A rule or an outside system said no, and asking again can't change it."""


class Interrupted(LeverframeError):
    """What was begun was cut short: killed, out of time, or without a network. Worth a few more attempts."""


class Unavailable(LeverframeError):
    """An outside system did not answer or is overloaded: ask again later.

    `wait` is how long the system asked us to stay away, if it said so.
    """

    def __init__(self, *words: object, wait: timedelta | None = None) -> None:
        super().__init__(*words)
        self.wait = wait


class DiskFull(Unavailable):
    """A disk of this machine has no space left: make room, and it goes on by itself."""
