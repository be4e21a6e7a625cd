"""DORA's definitions, as its guide gives them, and what each comes to in our records."""

from leverframe.model.frozen import Frozen

SOURCE = "https://dora.dev/guides/dora-metrics/"
"""DORA's software delivery performance metrics, as updated on 2026-01-05."""


class Definition(Frozen):
    """One figure: DORA's words and ours."""

    figure: str
    """Its name here, in the JSON."""
    name: str
    """DORA's name."""
    quoted: str
    here: str
    source: str = SOURCE


DEFINITIONS = (
    Definition(
        figure="deployment_frequency",
        name="Deployment frequency",
        quoted="The number of deployments over a given period or the time between deployments.",
        here="Releases that became stable at 100 % of production.",
    ),
    Definition(
        figure="lead_time",
        name="Change lead time",
        quoted="The amount of time it takes for a change to go from committed to version control to deployed "
        "in production.",
        here="For each change, from the oldest of its commits, and from its opening on the forge, until the "
        "first release that contains it was live at 100 %.",
    ),
    Definition(
        figure="change_failure_rate",
        name="Change fail rate",
        quoted="The ratio of deployments that require immediate intervention following a deployment. Likely "
        "resulting in a rollback of the changes or a “hotfix” to quickly remediate any issues.",
        here="Of the releases that production's requests could reach: those taken back before they had "
        "reached everybody (caught in canary), and those that had (escaped): taken back at 100 %, or pointed "
        "back, reverted or hotfixed by something that began within seven days.",
    ),
    Definition(
        figure="failed_deployment_recovery_time",
        name="Failed deployment recovery time",
        quoted="The time it takes to recover from a deployment that fails and requires immediate "
        "intervention.",
        here="From the first request that could reach the failed release until all were served by another: "
        "an upper bound, since it is not counted from when somebody noticed.",
    ),
    Definition(
        figure="rework_rate",
        name="Deployment rework rate",
        quoted="The ratio of deployments that are unplanned but happen as a result of an incident in "
        "production.",
        here="Of the releases that production's requests could reach: those of a change that rode as a "
        "hotfix, that undoes a landed commit which users met, or that an agent which watches errors made.",
    ),
)

NOTES = (
    "The figures are for one service over time. All services together are a sum, not a comparison.",
    "A release that was taken back at 1 % counts as failed, as one that everybody met: read the two apart.",
    "Rates of few deployments say little: the interval beside each is where the true rate lies, at 95 %.",
)
