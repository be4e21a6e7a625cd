"""Rows of a test history: one JSON line for each attempt, validated by hand since there are millions."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from agents.flaky_tests.observation import OUTCOMES
from agents.flaky_tests.replay import Row
from leverframe.model.errors import BadInput
from leverframe.reports.facts import unstorable
from leverframe.reports.lines import fields_of, instant, why

_MOST_TEST, _MOST_RUN, _MOST_SHA, _MOST_BRANCH = 2_000, 500, 100, 500
"""Characters."""
_MOST_ATTEMPTS = 10_000


def rows(
    lines: Iterable[tuple[int, bytes]], name: str, skipped: Callable[[str], None] | None = None
) -> Iterator[Row]:
    """The rows of numbered lines; blank lines are none.

    A line that can't be used raises BadInput with its number, or goes to `skipped` in words and is left out.
    """
    last_text, last = "", datetime.min.replace(tzinfo=UTC)
    for number, line in lines:
        if line.isspace():
            continue
        try:
            fields = fields_of(line)
            text = fields["at"]
            if text != last_text:
                last_text, last = text, instant(text)
            run = fields["run"]
            row = Row(
                fields["test"],
                str(run) if type(run) is int else run,
                fields["sha"],
                fields["branch"],
                fields["attempt"],
                last,
                fields["outcome"],
                fields.get("signature"),
            )
            _check(row)
        except (KeyError, ValueError, TypeError) as error:
            sentence = f"{name}:{number}: {why(error)}"
            if skipped is None:
                raise BadInput(sentence) from error
            skipped(sentence)
        else:
            yield row


def _check(row: Row) -> None:
    """Raises ValueError with what is wrong."""
    test, run, sha, branch, attempt, _, outcome, signature = row
    if not (type(test) is type(run) is type(sha) is type(branch) is str and test and run and sha and branch):
        raise ValueError("test, run, sha and branch must be texts that are not empty")
    if len(test) > _MOST_TEST or len(run) > _MOST_RUN or len(sha) > _MOST_SHA or len(branch) > _MOST_BRANCH:
        raise ValueError(
            f"test, run, sha or branch is longer than {_MOST_TEST}, {_MOST_RUN}, {_MOST_SHA} or "
            f"{_MOST_BRANCH} characters"
        )
    if not test.isascii() and unstorable(test):
        raise ValueError("test has characters that can't be stored")
    if type(attempt) is not int or not 0 <= attempt <= _MOST_ATTEMPTS:
        raise ValueError(f"attempt must be a whole number from 0 to {_MOST_ATTEMPTS}")
    if outcome not in OUTCOMES:
        raise ValueError("outcome must be pass, fail, error or skip")
    if signature is not None and type(signature) is not str:
        raise ValueError("signature must be a text or null")
