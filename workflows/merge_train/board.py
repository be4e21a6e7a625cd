"""The train's board: what a person sees of it in the Temporal UI, as Markdown. Pure."""

from collections.abc import Sequence

from leverframe.model.untrusted import Untrusted
from workflows.merge_train import words
from workflows.merge_train.view import CarView, EndedView, TrainView

SHOWN = 10

_SIGNS = {"passed": "green", "failed": "red", "inconclusive": "no verdict", "missing": "…"}


def markdown(shown: TrainView) -> str:
    """Who rides, who waits and how the last rides ended; no text from outside has a meaning in it."""
    lines = [f"## Train of {shown.repository}"]
    if shown.freeze:
        lines += [f"**{words.frozen(shown.freeze)}**", ""]
    if shown.findings:
        lines += [f"**The audit found {len(shown.findings)} thing(s): see `leverframe train audit`.**", ""]
    if shown.dev:
        lines += [f"**{shown.dev}**", ""]
    riding = [car for car in shown.cars if car.car is not None or car.state == "in_forge_queue"]
    waiting = [car for car in shown.cars if car not in riding]
    lines += [_riding(car) for car in riding[:SHOWN]] or ["Nothing rides."]
    lines += _more(riding)
    if waiting:
        lines += ["", "| | waiting | head | class | by | why |", "|---|---|---|---|---|---|"]
        lines += [_row(car) for car in waiting[:SHOWN]]
        if len(waiting) > SHOWN:
            lines.append(f"| … | {len(waiting) - SHOWN} more | | | | |")
    if shown.ended:
        lines += ["", "**Last rides**", ""]
        lines += [_ended(ended) for ended in shown.ended[:SHOWN]]
    return "\n".join(lines)


def _riding(car: CarView) -> str:
    checks = ", ".join(f"{check.name} {_SIGNS[check.state]}" for check in car.checks) or "no check needed"
    stands = f" on {', '.join(_name(below) for below in car.below)}" if car.below else ""
    commit = f" as `{car.car[:12]}`" if car.car else ""
    again = f", run {car.runs}" if car.runs > 1 else ""
    return f"{car.position + 1}. **{_name(car.change)}**{commit}{stands}: {car.state}{again} ({checks})"


def _row(car: CarView) -> str:
    by = f"{Untrusted(car.author).for_markdown(60)} ({car.author_kind})"
    head = f"`{car.head[:12]}`"
    return f"| {car.position + 1} | {_name(car.change)} | {head} | {car.priority} | {by} | {car.why} |"


def _ended(ended: EndedView) -> str:
    # The detail is Markdown of ours; only its first line fits here.
    said = ended.detail.splitlines()[0]
    if ended.outcome == "landed":
        return f"- {_name(ended.change)}: {said}"
    return f"- {_name(ended.change)} left ({ended.reason}): {said}"


def _more(cars: Sequence[CarView]) -> list[str]:
    return [f"… and {len(cars) - SHOWN} more."] if len(cars) > SHOWN else []


def _name(change: str) -> str:
    return Untrusted(change).for_markdown(80)
