"""The story that `make demo` tells, chapter by chapter, with real parts."""

import asyncio
import select
import sys
from dataclasses import dataclass, field

from rich.console import Console

from leverframe.bootstrap import build_ports
from leverframe.client import connect
from leverframe.demo.narrator import Narrator
from leverframe.demo.person import CommandFailed, Person
from leverframe.demo.shop_changes import first_change, shop_change
from leverframe.demo.stage import Stage
from leverframe.demo.view import View, until
from leverframe.model.changes import Change
from leverframe.model.outcomes import RunReport, StepReport
from leverframe.model.proposals import FlipFlag
from leverframe.model.releases import ERRORS, ReleaseOutcome
from leverframe.model.untrusted import Untrusted
from leverframe.settings import Settings

FLAG = "new-pricing"
OTHER_FLAG = "gift-wrap"
APPROVER = "grace"
"""Whoever sits at the terminal. Ada wrote the change that broke, so her yes would not count."""
ANSWER_SECONDS = 30
"""A story that nobody answers goes on."""


@dataclass
class Story:
    """One telling: the stage, a person, and what was learnt on the way."""

    stage: Stage
    narrator: Narrator
    person: Person
    view: View
    runs_seen: set[str] = field(default_factory=set)

    async def tell(self) -> None:
        """All chapters in order. Raises CommandFailed when the story takes a wrong turn."""
        await self.baseline()
        suspect = await self.a_change_lands()
        run = await self.the_flag_goes_on()
        await self.the_flag_is_killed(run)
        await self.the_fix_lands(run, suspect)
        await self.a_bad_canary()
        await self.a_cap_holds()
        await self.close()

    async def baseline(self) -> None:
        """The shop's first release: no stable to compare with, so dev is its only gate."""
        self.narrator.chapter(1, "A small shop serves its users")
        change = await self._submit("open-the-shop", "Open the shop", first_change())
        await self._landed(change)
        self.stage.start_load()
        await self._traffic(100)
        self.narrator.good(
            f"{self.stage.rate} requests a second go through the router at {self.stage.shop_url}"
        )

    async def a_change_lands(self) -> Change:
        """A person's feature, with a bug behind a flag that is off."""
        self.narrator.chapter(2, "A person's change rides the train and the canary")
        self.narrator.say("ada adds bulk pricing behind the flag `new-pricing`, which is off.")
        change = await self._submit("bulk-pricing", "Price large carts in bulk", shop_change("bulk-pricing"))
        return await self._landed(change)

    async def the_flag_goes_on(self) -> str:
        """Real exceptions flow, and the agent starts a run."""
        self.narrator.chapter(3, "The flag goes on, and real exceptions flow")
        self.runs_seen.update(await self.view.runs())
        self.person.leverframe("flags", "set", FLAG, "on", "--reason", "launch of bulk pricing")
        self.narrator.say("ada turns `new-pricing` on for users; checkouts begin to fail.")
        with self.narrator.waiting("the sentry_spike agent watches the error group"):
            return await self.view.next_run(self.runs_seen)

    async def the_flag_is_killed(self, run: str) -> None:
        """Policy allows the kill; OpenFeature confirms it; the errors stop."""
        self.narrator.chapter(4, "The agent finds the flag and kills it")
        with self.narrator.waiting("facts, suspects, policy, flag"):
            report = await self.view.report_when(
                run, lambda seen: _step(seen, "mitigate") is not None, "the flag kill", seconds=60
            )
        step = _expect_done(report, "mitigate")
        assert report.proposal is not None  # noqa: S101  a step was taken, so there is a proposal
        for suspect in report.proposal.suspects[:3]:
            name = suspect.name if suspect.kind == "flag" else suspect.name[:12]
            weight = f"{suspect.score_ppm // 10_000:3d} %"
            self.narrator.say(f"suspect {weight}  {suspect.kind} {name}: {suspect.why}")
        milliseconds = step.timings_ms["detected_to_effect"]
        self.narrator.good(
            f"`{FLAG}` is off, seen by an OpenFeature evaluation: detection to kill {milliseconds} ms"
        )
        self.narrator.good(step.detail)
        self.narrator.remember(
            "Detection to kill", f"{milliseconds} ms, allowed by policy, verified by OpenFeature"
        )
        self.narrator.remember("Agent run", self._link(run))

    async def the_fix_lands(self, run: str, suspect: Change) -> None:
        """The same run repairs: a revert on the same train and canary, then asks to turn the flag on."""
        self.narrator.chapter(5, "The same run opens the fix, which rides like any change")
        fix = await until("the fix change", lambda: self._agent_change(suspect), seconds=60)
        self.narrator.say(f"{fix.id} “{fix.title}” by {fix.author.name}, on {fix.branch}")
        landed = await self._landed(fix)
        with self.narrator.waiting("the regression check: the declared probes with the flag forced on"):
            report = await self.view.report_when(
                run, lambda seen: _step(seen, "repair") is not None, "the repair to be proven", seconds=90
            )
        self.narrator.good(_expect_done(report, "repair").detail)
        self.narrator.remember("Fix", f"{fix.id} landed as {str(landed.landed_as)[:12]} and reached 100 %")
        await self._answer()
        with self.narrator.waiting("the run turns the flag back on and ends"):
            report = await self.view.report_when(
                run, lambda seen: _step(seen, "restore") is not None, "the flag to go back on", seconds=60
            )
        self.narrator.good(_expect_done(report, "restore").detail)

    async def a_bad_canary(self) -> None:
        """A change that its tests can't fault and a canary can."""
        self.narrator.chapter(6, "A change that tests miss meets the canary")
        before = self.view.ports.track.overlay_sha(self.view.repository, "production")
        change = await self._submit("faster-lookup", "Look orders up faster", shop_change("faster-lookup"))
        outcome = await self._carried(change)
        if outcome.outcome != "rolled_back":
            raise CommandFailed(f"the bad change should have been rolled back, but: {outcome.detail}")
        red = next(verdict for verdict in outcome.verdicts if verdict.colour == "red")
        self.narrator.bad(f"at {red.percent} %: {red.reason}")
        after = self.view.ports.track.overlay_sha(self.view.repository, "production")
        if after != before:
            raise CommandFailed(f"the overlay names {after}, not the last good {before}")
        self.narrator.good(
            f"traffic and overlay are back on {str(after)[:12]}; the outcome says {outcome.outcome}"
        )
        self.narrator.remember("Bad canary", f"red at {red.percent} %, rolled back by itself")

    async def a_cap_holds(self) -> None:
        """A third flip within the hour is more than the policy allows."""
        self.narrator.chapter(7, "A third proposal meets a cap")
        self.runs_seen.update(await self.view.runs())
        self.person.leverframe("flags", "set", OTHER_FLAG, "on", "--reason", "season opening")
        self.narrator.say(f"ada turns `{OTHER_FLAG}` on, which has a bug of its own.")
        with self.narrator.waiting("a second spike, a second run"):
            run = await self.view.next_run(self.runs_seen)
            report = await self.view.report_when(
                run, lambda seen: seen.outcome is not None, "its end", seconds=90
            )
        self.person.leverframe("flags", "set", OTHER_FLAG, "off", "--reason", "errors; denied to the agent")
        denied = [step for step in report.steps if step.result == "denied"]
        if not denied:
            raise CommandFailed(f"policy should have denied a step, but: {report.detail}")
        for step in denied:
            for finding in step.findings:
                self.narrator.bad(f"{step.lever.value}: {finding}")
        self.narrator.good(f"outcome {report.outcome}; ada turned the flag off herself")
        self.narrator.remember(
            "Policy caps",
            f"{len(denied)} denied, with rule, observed, limit and remedy",
        )

    async def _ended_run_about_the_other_flag(self) -> RunReport | None:
        """The bad canary's own errors may have started a run too, so a new run is not enough."""
        for run in await self.view.runs():
            if run in self.runs_seen:
                continue
            report = await self.view.report(run)
            steps = report.proposal.steps if report and report.proposal and report.outcome else ()
            if any(isinstance(step.effect, FlipFlag) and step.effect.flag == OTHER_FLAG for step in steps):
                return report
        return None

    async def close(self) -> None:
        """What a person takes away."""
        history = self.view.ports.track.receipts(self.view.repository)
        rows = [
            (str(receipt.sequence), receipt.sha[:12], receipt.author.kind, receipt.change)
            for receipt in reversed(history)
        ]
        self.narrator.table("Everything that landed, by receipt", ("#", "sha", "author", "change"), rows)
        self.narrator.remember("All runs", f"{self.stage.ui_url}/namespaces/default/workflows")
        self.narrator.remember("Took", self.narrator.elapsed())
        self.narrator.close("Leverframe")

    async def _submit(self, branch: str, title: str, files: dict[str, str]) -> str:
        change = await asyncio.to_thread(self.person.propose, branch, title=title, files=files)
        self.narrator.say(f"{change} “{title}” is on the train")
        return change

    async def _landed(self, change: str | Change) -> Change:
        """Follow a change to 100 %."""
        name = change if isinstance(change, str) else change.id
        outcome = await self._carried(name)
        if outcome.outcome != "landed":
            raise CommandFailed(
                f"{name} should have reached 100 %, but its release {outcome.outcome}: {outcome.detail}"
            )
        ladder = " → ".join(str(verdict.percent) for verdict in outcome.verdicts if verdict.colour == "green")
        if ladder:
            last = outcome.verdicts[-1]
            self.narrator.good(f"canary {ladder} % of real requests, green at each; {last.reason}")
        else:
            self.narrator.good(
                "dev answers its probes; nothing was live before, so production takes it at once"
            )
        self.narrator.good(f"marked {outcome.marker}")
        return await asyncio.to_thread(self.view.ports.changes.change, name)

    async def _carried(self, change: str) -> ReleaseOutcome:
        with self.narrator.waiting(f"{change}: the train tests the commit that would land"):
            settled = await self.view.settled_change(change)
        if settled.state != "landed" or settled.landed_as is None:
            why = "; ".join(body for _, body in self.view.ports.changes.comments(change))
            raise CommandFailed(f"the train ejected {change}: {Untrusted(why).for_terminal(600)}")
        self.narrator.good(f"landed as {settled.landed_as[:12]}, the commit that was tested, with a receipt")
        with self.narrator.waiting("release") as progress:
            return await self.view.release(settled.landed_as, progress)

    async def _traffic(self, requests: int) -> None:
        async def look() -> bool | None:
            errors = (await self.stage.health()).signals[ERRORS]
            seen = sum(count.total for count in errors.arms.values())
            return True if seen >= requests else None

        await until("traffic through the router", look, seconds=30)

    async def _agent_change(self, suspect: Change) -> Change | None:
        changes = await asyncio.to_thread(self.view.ports.changes.list_changes, suspect.repository)
        return next((change for change in changes if change.author.kind == "agent"), None)

    async def _answer(self) -> None:
        """The escalation, answered by whoever sits at the terminal."""

        async def look() -> dict[str, str] | None:
            found = await asyncio.to_thread(self.person.leverframe, "approvals", "list")
            return found[0] if found else None

        question = await until("the escalation", look, seconds=60, every=0.5)
        self.narrator.say(f"ESCALATION  {question['title']}", style="bold yellow")
        self.narrator.say(
            f'$ leverframe approve {question["id"]} --reason "the fix is at 100 %"', style="dim"
        )
        if not await asyncio.to_thread(self._asked):
            await asyncio.to_thread(
                self.person.leverframe,
                "deny",
                question["id"],
                "--reason",
                "not now",
            )
            raise CommandFailed("you denied the escalation: the flag stays off, and the story ends here")
        await asyncio.to_thread(
            self.person.leverframe,
            "approve", question["id"], "--reason", "the fix is at 100 %",
        )  # fmt: skip
        self.narrator.remember("Escalation", f"“{question['title']}”, approved in the terminal by {APPROVER}")

    def _asked(self) -> bool:
        """Ask at a terminal (Return is yes); without one, or without an answer, the story says it."""
        if not (sys.stdin.isatty() and self.narrator.console.is_terminal):
            return True
        self.narrator.console.print(
            f"   Approve? [bold]Y[/]/n  [dim]{APPROVER} says yes in {ANSWER_SECONDS} s[/] ", end=""
        )
        answered, _, _ = select.select([sys.stdin], [], [], ANSWER_SECONDS)
        answer = sys.stdin.readline() if answered else "yes"
        if not answered:
            self.narrator.console.print("yes")
        return answer.strip().lower() in ("", "y", "yes")

    def _link(self, run: str) -> str:
        return f"{self.stage.ui_url}/namespaces/default/workflows/{run.replace('/', '%2F')}"


def _step(report: RunReport, purpose: str) -> StepReport | None:
    return next((step for step in reversed(report.steps) if step.purpose == purpose), None)


def _expect_done(report: RunReport, purpose: str) -> StepReport:
    """The step of that purpose, done. Raises CommandFailed when it ended otherwise."""
    step = _step(report, purpose)
    if step is None or step.result != "done":
        found = "was not tried" if step is None else f"ended {step.result}: {step.detail}"
        raise CommandFailed(f"the {purpose} step of {report.run} {found}")
    return step


async def run(settings: Settings, console: Console, *, keep: bool) -> None:
    """Tell the story in a fresh home below the configured one. Raises CommandFailed."""
    stage = Stage(home=settings.home / "demo")
    narrator = Narrator(console)
    stage.prepare()
    try:
        with narrator.waiting("Temporal, gateway, router and two workers start"):
            await stage.start()
        client = await connect(stage.settings)
        view = View(client, build_ports(stage.settings), stage.settings.repositories[0])
        person = Person("ada", stage.remote, stage.home / "ada" / "shop", stage.config)
        await Story(stage, narrator, person, view).tell()
    except BaseException:
        stage.stop()
        raise
    if keep:
        narrator.say(f"Everything runs on. Try: LEVERFRAME_CONFIG={stage.config} leverframe runs list")
        narrator.say("`leverframe demo --stop` stops it.")
    else:
        stage.stop()


def stop(settings: Settings) -> None:
    """Stop what `demo --keep` left running, also when asked with the demo's own configuration."""
    own = (settings.home / "up.pid").exists()
    Stage(home=settings.home if own else settings.home / "demo").stop()
