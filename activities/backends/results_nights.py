"""The night of quarantined tests: which of them are executed how often, once in each UTC day."""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, select, update

from activities.backends.results_asking import Asker, Wish, tally_of
from activities.backends.results_fold import Standing
from activities.backends.results_shelf import StoreShelf
from activities.backends.results_tables import execution_states, test_fixes, test_nights
from activities.backends.store_sql import insert
from agents.flaky_tests.detector import caught_up
from agents.flaky_tests.nightly import next_batch, planned
from leverframe.model.executions import Kind

NIGHTS = 2
"""The nights get at most one part in so many of a day's executions: the days need some, too."""


def plan_tests(asker: Asker, standing: Standing, tip: str, day: int, wanted: Mapping[int, int]) -> None:
    """The first round of each test that the night is for."""
    connection, repository = asker.connection, asker.repository
    for test, count in wanted.items():
        night = {"repository": repository, "day": day, "number": test, "planned": count}
        connection.execute(insert(connection, test_nights).on_conflict_do_nothing(), night)
        asker.ask(
            Wish(
                number=test,
                purpose="night",
                series=str(day),
                sha=tip,
                check=asker.check_of(asker.last_job(test)),
                kinds=[Kind.AS_IT_RAN] * next_batch(count, 0, 0),
                executions=1,
                noise=standing.suite.noise.bound,
            )
        )


def wanted_tonight(
    asker: Asker, tip: str, day: int, contains: Callable[[str, str], bool], budget: int
) -> dict[int, int]:
    """Executions of this night by test, without those whose fix the tip lacks.

    Nor those that ran elsewhere and never failed in the sandbox: there they may pass however flaky they are.
    """
    connection, repository = asker.connection, asker.repository
    shelf = StoreShelf(connection, repository, ())
    fixes = select(test_fixes.c.number, test_fixes.c.sha).where(test_fixes.c.repository == repository)
    lacking = {number for number, fix in connection.execute(fixes).all() if not contains(fix, tip)}
    quarantines = {
        test: caught_up(history.quarantine, shelf.seen(test))
        for test in shelf.attentive()
        if (history := shelf.history(test))
        and history.quarantine is not None
        and test not in lacking
        and (asker.is_check(asker.last_job(test)) or _fails_here(asker, test))
    }
    return planned(quarantines, budget, day)


def _fails_here(asker: Asker, test: int) -> bool:
    """Whether a fresh job has seen the test fail."""
    tally = tally_of(asker.connection, asker.repository, test, asker.at)
    return any(jobs.failed for jobs in tally.values())


def state_of(connection: Connection, repository: str) -> tuple[int, str]:
    """The day of the last night that was planned, and the commit up to which claims were read."""
    c = execution_states.c
    row = connection.execute(select(c.night, c.read_to).where(c.repository == repository)).one_or_none()
    return (0, "") if row is None else (row.night, row.read_to)


def set_state(connection: Connection, repository: str, **values: int | str) -> None:
    begun = insert(connection, execution_states).on_conflict_do_nothing()
    connection.execute(begun, {"repository": repository, "night": 0, "read_to": ""})
    connection.execute(
        update(execution_states).where(execution_states.c.repository == repository).values(**values)
    )
