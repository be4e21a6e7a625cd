"""The train's board: what a person sees of it in the Temporal UI, as Markdown. Pure."""

from collections.abc import Sequence

from leverframe.model.untrusted import Untrusted
from workflows.merge_train import words
from workflows.merge_train.view import STATES, CarView, EndedView, TrainView

SHOWN = 10
READ = 5 * SHOWN
"""Cars that a board is made of: so many ride at the front of most trains."""

_SIGNS = {"passed": "green", "failed": "red", "inconclusive": "no verdict", "missing": "…"}


def markdown(shown: TrainView) -> str:
    """Who rides, who waits and how the last rides ended; no text from outside has a meaning in it."""
    lines = [f"## Train of {shown.repository}", _standing(shown), ""]
    if shown.freeze:
        lines += [f"**{words.frozen(shown.freeze)}**", ""]
    if shown.findings:
        lines += [f"**The audit found {len(shown.findings)} thing(s): see `leverframe train audit`.**", ""]
    if shown.dev:
        lines += [f"**{shown.dev}**", ""]
    riding = [car for car in shown.cars if car.car is not None or car.state == "in_forge_queue"]
    ridden = {car.position for car in riding}
    waiting = [car for car in shown.cars if car.position not in ridden]
    lines += [_riding(car) for car in riding[:SHOWN]] or ["Nothing rides."]
    lines += _more(riding)
    if waiting:
        lines += ["", "| | waiting | title | class | by | why |", "|---|---|---|---|---|---|"]
        lines += [_row(car) for car in waiting[:SHOWN]]
        if more := max(0, len(waiting) - SHOWN) + shown.queued - len(shown.cars):
            lines.append(f"| … | {more} more | | | | |")
    if shown.ended:
        lines += ["", "**Last rides**", ""]
        lines += [_ended(ended) for ended in shown.ended[:SHOWN]]
    return "\n".join(lines)


def _standing(shown: TrainView) -> str:
    tip = f"The target is at `{shown.tip[:12]}`" if shown.tip else "The target has not been looked at"
    count = shown.queued
    cars = f"{count} change{'' if count == 1 else 's'} on the train"
    runners = f"{shown.runners_busy} of {shown.rules.runners} runners busy"
    carried = "carried by the forge's own queue" if shown.track == "native" else runners
    return f"{tip}; {cars}, {carried}."


def _riding(car: CarView) -> str:
    checks = ", ".join(f"{check.name} {_SIGNS[check.state]}" for check in car.checks) or "no check needed"
    stands = f" on {', '.join(_name(below) for below in car.below)}" if car.below else ""
    commit = f" as `{car.car[:12]}`{stands}" if car.car else ""
    again = f", run {car.runs}" if car.runs > 1 else ""
    hot = f" ({car.priority})" if car.priority != "normal" else ""
    state = f"**{STATES[car.state]}**{again} ({checks}){commit}, by {_by(car)}"
    said = f". {car.why}" if car.why else ""
    return f"{car.position + 1}. {_titled(car)}{hot}: {state}{said}"


def _row(car: CarView) -> str:
    title = Untrusted(car.title).for_markdown(80)
    return f"| {car.position + 1} | {_name(car.change)} | {title} | {car.priority} | {_by(car)} | {car.why} |"


def _ended(ended: EndedView) -> str:
    # The detail is Markdown of ours; only its first line fits here.
    said = ended.detail.splitlines()[0]
    if ended.outcome == "landed":
        return f"- {_titled(ended)}: {said}"
    return f"- {_titled(ended)} left ({ended.reason.replace('_', ' ')}): {said}"


def _titled(one: CarView | EndedView) -> str:
    return f"**{_name(one.change)}** {Untrusted(one.title).for_markdown(80)}".rstrip()


def _by(car: CarView) -> str:
    name = Untrusted(car.author).for_markdown(60)
    return name if car.author_kind == "person" else f"{name} ({car.author_kind})"


def _more(cars: Sequence[CarView]) -> list[str]:
    return [f"… and {len(cars) - SHOWN} more."] if len(cars) > SHOWN else []


def _name(change: str) -> str:
    return Untrusted(change).for_markdown(80)
