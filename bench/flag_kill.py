"""From the first exception leaving a service to its flag evaluating off: p50 and p95, split by stage.

    python bench/flag_kill.py [--trials N]

A whole fleet runs on loopback (dev server on a file, gateway, two workers). Each trial turns a flag of its
own on, sends exceptions of an error group of its own through the gateway as sentry-sdk frames them, and
evaluates the flag through OpenFeature from outside until it is off. The baseline is the time the evidence
itself takes: the ticks that the detector must see before it may call anything a spike. The ratio says
how much our own machinery adds to it.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
import tomllib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import openfeature.api
import tomli_w

from leverframe.bootstrap import build_ports
from leverframe.client import connect
from leverframe.demo.person import Person
from leverframe.demo.shop_changes import first_change
from leverframe.demo.stage import SENTRY_PROJECT, Stage
from leverframe.demo.view import View, until
from leverframe.model.outcomes import RunReport

RATE = 20
"""Exceptions a second of each trial."""
STAGES = ("evidence", "facts_and_policy", "flip", "verification", "seen_outside")


@dataclass(frozen=True)
class Trial:
    """Milliseconds of each stage."""

    evidence: float
    facts_and_policy: float
    flip: float
    verification: float
    seen_outside: float
    """From the write until an evaluation by another process says off."""
    accepted: float
    """The gateway's answer to the first exception."""

    @property
    def total(self) -> float:
        return self.evidence + self.facts_and_policy + self.flip + self.seen_outside

    @property
    def machinery(self) -> float:
        """Everything but gathering evidence."""
        return self.total - self.evidence


def unlimited_flips(stage: Stage) -> None:
    """The default policy with its caps on flips taken off: the bench flips more than a team would allow."""
    source = Path(__file__).parents[1] / "policies" / "defaults"
    target = stage.home / "policies"
    for file in source.rglob("*.yaml"):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text()
        for line in text.splitlines():
            if line.strip().startswith(("max:", "max_subjects:")):
                text = text.replace(line, line.split(":")[0] + ": unlimited")
        copy.write_text(text)
    config = tomllib.loads(stage.config.read_text())
    config["policies"] = {"directory": str(target)}
    stage.config.write_text(tomli_w.dumps(config))


def add_flags(stage: Stage, count: int) -> None:
    """One flag for each trial, off."""
    file = stage.home / "flags.json"
    document = json.loads(file.read_text())
    for number in range(count):
        document["flags"][f"bench-{number}"] = {
            "state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off",
            "metadata": {"kill": True},
        }  # fmt: skip
    file.write_text(json.dumps(document))


def envelope(number: int) -> bytes:
    """One exception of the trial's own error group, with the flag it evaluated."""
    event_id = uuid.uuid4().hex
    frame = {
        "filename": "bench.py",
        "function": f"trial_{number}",
        "module": "bench",
        "lineno": 1,
        "in_app": True,
    }
    values = [{"type": "ValueError", "value": "no", "stacktrace": {"frames": [frame]}}]
    flags = {"values": [{"flag": f"bench-{number}", "result": True}]}
    event = {"event_id": event_id, "exception": {"values": values}, "contexts": {"flags": flags}}
    payload = json.dumps(event).encode()
    header = json.dumps({"event_id": event_id}).encode()
    return b"\n".join([header, json.dumps({"type": "event", "length": len(payload)}).encode(), payload, b""])


async def run_trial(number: int, stage: Stage, view: View, known: set[str]) -> Trial:
    """Turn the flag on, break, and watch from outside."""
    flags = view.ports.flags
    flag = f"bench-{number}"
    flags.set(flag, True, key=f"bench/{number}", reason="trial")

    async def on() -> bool | None:
        return await asyncio.to_thread(flags.evaluate, flag) or None

    await until(f"{flag} to be on", on, seconds=10, every=0.005)
    key = stage.settings.gateway.sentry_keys[SENTRY_PROJECT].get_secret_value()
    url = f"http://127.0.0.1:{stage.settings.gateway.port}/api/{SENTRY_PROJECT}/envelope/"
    headers = {"X-Sentry-Auth": f"Sentry sentry_key={key}, sentry_version=7"}
    began = datetime.now(UTC)
    accepted = 0.0
    async with httpx.AsyncClient(timeout=10) as client:

        async def broken() -> None:
            nonlocal accepted
            while True:
                sent = time.perf_counter()
                (await client.post(url, content=envelope(number), headers=headers)).raise_for_status()
                accepted = accepted or (time.perf_counter() - sent) * 1000
                await asyncio.sleep(1 / RATE)

        service = asyncio.create_task(broken())
        while await asyncio.to_thread(flags.evaluate, flag):
            if service.done():
                service.result()
            await asyncio.sleep(0.005)
        off_at = datetime.now(UTC)
        service.cancel()
    run = await view.next_run(known)
    known.add(run)
    report = await view.report_when(run, lambda seen: bool(seen.steps), "the flip", seconds=60)
    return measured(report, began, off_at, accepted)


def measured(report: RunReport, began: datetime, off_at: datetime, accepted: float) -> Trial:
    """The stages, from the run's own timings and the outside clock of the same machine."""
    timings = report.steps[0].timings_ms
    evidence = (report.detected_at - began).total_seconds() * 1000
    until_off = (off_at - report.detected_at).total_seconds() * 1000
    return Trial(
        evidence=evidence,
        facts_and_policy=timings["detected_to_reserved"],
        flip=timings["detected_to_flipped"] - timings["detected_to_reserved"],
        verification=timings["detected_to_effect"] - timings["detected_to_flipped"],
        seen_outside=max(0.0, until_off - timings["detected_to_flipped"]),
        accepted=accepted,
    )


def percentile(values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(trials: list[Trial]) -> None:
    print(f"{'stage':24}{'p50 ms':>10}{'p95 ms':>10}")
    for name in ("accepted", *STAGES, "machinery", "total"):
        values = [getattr(trial, name) for trial in trials]
        print(f"{name:24}{percentile(values, 0.5):10.0f}{percentile(values, 0.95):10.0f}")
    ratio = statistics.median(trial.total for trial in trials) / statistics.median(t.evidence for t in trials)
    print(f"\nratio of total to the evidence alone: {ratio:.2f} ({len(trials)} trials, 1 s ticks)")


async def main(trials: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        stage = Stage(home=Path(home, "bench"))
        stage.prepare(quick=True)
        add_flags(stage, trials)
        unlimited_flips(stage)
        stage.reload()
        try:
            await stage.start()
            view = View(
                await connect(stage.settings), build_ports(stage.settings), stage.settings.repositories[0]
            )
            person = Person("ada", stage.remote, stage.home / "ada" / "shop", stage.config)
            change = await asyncio.to_thread(
                person.propose, "open", title="Open the shop", files=first_change()
            )
            settled = await view.settled_change(change)
            await view.release(str(settled.landed_as))
            known: set[str] = set()
            show([await run_trial(number, stage, view, known) for number in range(trials)])
        finally:
            stage.stop()
            openfeature.api.shutdown()
            await asyncio.sleep(0.5)  # its file watcher looks once more before it ends


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10)
    asyncio.run(main(parser.parse_args().trials))
