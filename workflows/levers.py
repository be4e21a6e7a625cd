"""The levers: what each effect does in the world, and how one knows that it worked.

Every write is keyed by its reservation, so pulling a lever again after a crash finds what it did before.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.flags import FlagActivities
    from activities.forge import ForgeActivities, RevertRequest, RollBackRequest
    from activities.investigate import InvestigateActivities
    from activities.pulse import heartbeat_timeout
    from activities.sandbox import ProbeOutcome, ProbeRequest, SandboxActivities
    from leverframe.model.differences import TreeDifference
    from leverframe.model.facts import ErrorFacts, Facts
    from leverframe.model.outcomes import Outcome
    from leverframe.model.proposals import Effect, FlipFlag, Proposal, RevertChange, RollBack
    from policies.decision import Reservation
    from policies.explain import effect_words
    from workflows.messages import RunRequest
    from workflows.pulled import Mailbox, Pulled, not_landed
    from workflows.queues import HANDS, SANDBOX
    from workflows.riding import Rider, reason_of, record_effect

FLIPPED = "detected_to_flipped"
"""The timing that a step has once its flag was written."""
QUIET_SHORTEST = timedelta(seconds=3)
QUIET_LONGEST = timedelta(minutes=5)
QUIET_EVENTS = 10
"""A quiet window is one in which this many errors would have come at the old rate: chance, e⁻¹⁰."""
QUIET_WINDOWS = 10
"""Windows that are waited for before errors count as not stopped."""


@dataclass(kw_only=True)
class Levers:
    """Pulls the levers of one run."""

    request: RunRequest
    proposal: Proposal
    facts: Facts
    mailbox: Mailbox
    _rider: Rider | None = None

    @property
    def rider(self) -> Rider:
        """Its changes on the train."""
        if self._rider is None:
            request = self.request
            self._rider = Rider(repository=request.repository, agent=request.agent, mailbox=self.mailbox)
        return self._rider

    def since_detected(self, instant: datetime) -> int:
        """Whole milliseconds from the detection."""
        return max(0, round((instant - self.request.detected_at) / timedelta(milliseconds=1)))

    async def preview(self, effect: Effect) -> TreeDifference | None:
        """What the effect would change in the repository by now; None when it changes no file.

        Raises ActivityError when it can't be done at all: pulling the lever would say the same.
        """
        if isinstance(effect, FlipFlag):
            return None
        return await workflow.execute_activity_method(
            ForgeActivities.preview,
            args=[self.request.repository, effect, workflow.now()],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(minutes=2),
            schedule_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=heartbeat_timeout(ForgeActivities.preview),
            summary=f"what would change: {effect_words(effect)}",
        )

    async def flip(self, reservation: Reservation, effect: FlipFlag, timings: dict[str, int]) -> Pulled:
        """Switch the flag, see it through OpenFeature, and see the errors stay away."""
        word = "on" if effect.on else "off"
        flipped = await workflow.execute_activity_method(
            FlagActivities.flip,
            reservation,
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=15),
            schedule_to_close_timeout=timedelta(minutes=10),
            summary=f"switch the flag {effect.flag} {word}",
        )
        timings[FLIPPED] = self.since_detected(flipped.written_at)
        check = await workflow.execute_activity_method(
            FlagActivities.verify_flag,
            args=[effect.flag, effect.on],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=15),
            schedule_to_close_timeout=timedelta(minutes=10),
            summary=f"evaluate {effect.flag} as the service does",
        )
        if not check.ok:
            detail = f"{effect.flag} was written {word}, but still evaluates the other way"
            return Pulled(result="failed", detail=detail, outcome=Outcome.FAILED)
        self.took_effect(effect, timings, flipped.written_at, check.verified_at)
        detail = f"{effect.flag} is {word}, verified by an evaluation"
        return await self._seen_quiet(detail, timings)

    async def roll_back(self, reservation: Reservation, effect: RollBack, timings: dict[str, int]) -> Pulled:
        """Put production's overlay back, as a hotfix on the train; see it run, and the errors stay away."""
        applied = workflow.now()
        change = await workflow.execute_activity_method(
            ForgeActivities.roll_back,
            args=[reservation, RollBackRequest(at=workflow.now(), reason=self.proposal.summary[:400])],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(minutes=30),
            summary=f"point production at {effect.to[:12]}",
        )
        opened = change.id if change else None
        if change is not None:
            ride = await self.rider.carry(change)
            if ride.landed_as is None:
                return not_landed(change, ride)
            timings["detected_to_landed"] = self.since_detected(workflow.now())
        if (missing := await self.rider.not_back(effect.to)) is not None:
            detail = f"the overlay names {effect.to[:12]}, but {missing}"
            return Pulled(result="failed", detail=detail, outcome=None, change=opened)
        self.took_effect(effect, timings, applied, workflow.now())
        quiet = await self._seen_quiet(f"production runs {effect.to[:12]} again", timings)
        return replace(quiet, change=opened)

    async def revert(self, reservation: Reservation, effect: RevertChange, timings: dict[str, int]) -> Pulled:
        """Open the revert, ride train and canary to the end, and check that the error is gone."""
        change = await workflow.execute_activity_method(
            ForgeActivities.revert,
            args=[reservation, RevertRequest(at=workflow.now())],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(minutes=30),
            summary=f"open a merge request that reverts {effect.commit[:12]}",
        )
        opened = workflow.now()
        timings["detected_to_opened"] = self.since_detected(opened)
        ride = await self.rider.carry(change)
        if ride.landed_as is None:
            return not_landed(change, ride)
        landed = ride.landed_as
        timings["detected_to_landed"] = self.since_detected(workflow.now())
        release = await self.rider.released(landed)
        if release is None:
            detail = f"{change.id} landed as {landed[:12]}; the end of its release is not known"
            return Pulled(result="failed", detail=detail, outcome=None, change=change.id)
        if release.outcome != "landed":
            detail = f"{change.id} landed as {landed[:12]}; its release: {release.outcome}: {release.detail}"
            outcome = Outcome(release.outcome)
            return Pulled(result="failed", detail=detail, outcome=outcome, change=change.id)
        self.took_effect(effect, timings, opened, workflow.now())
        said = f"{change.id} landed as {landed[:12]} and reached {release.reached_percent} % of production"
        return replace(await self._checked(said, effect, landed), change=change.id)

    def took_effect(
        self, effect: Effect, timings: dict[str, int], applied: datetime, verified: datetime
    ) -> None:
        """Keep how long it took, from the detection and from the pull, until the effect was seen."""
        took = max(timedelta(0), verified - applied)
        timings["detected_to_effect"] = self.since_detected(verified)
        timings["applied_to_effect"] = round(took / timedelta(milliseconds=1))
        record_effect(effect.lever.value, self.request.agent, took)

    async def _checked(self, said: str, effect: RevertChange, landed: str) -> Pulled:
        """The regression check: with the flag forced on, probes that failed before pass now."""
        flag = self.proposal.flag_under_test
        forced = f" with {flag} forced on" if flag else ""
        try:
            before = await self._probe(effect.commit)
            after = await self._probe(landed)
        except ActivityError as error:
            detail = f"{said}; the regression check could not run: {reason_of(error)}"
            return Pulled(result="done", detail=detail, outcome=Outcome.LANDED)
        failed_before = {probe.probe for probe in before if not probe.ok}
        failing = sorted(probe.probe for probe in after if not probe.ok)
        if failing:
            detail = f"{said}, but{forced} these probes still fail: {', '.join(failing)}"
            return Pulled(result="failed", detail=detail, outcome=Outcome.LANDED)
        if not failed_before:
            detail = f"{said}; no declared probe shows the error, so the regression check proves nothing"
            return Pulled(result="done", detail=detail, outcome=Outcome.LANDED)
        names = ", ".join(sorted(failed_before))
        detail = (
            f"{said}; regression check{forced}: {names} failed on {effect.commit[:12]} "
            f"and {'pass' if len(failed_before) > 1 else 'passes'} on {landed[:12]}"
        )
        return Pulled(result="done", detail=detail, outcome=Outcome.LANDED, proven=True)

    async def _probe(self, sha: str) -> list[ProbeOutcome]:
        """Send the declared probes to a commit in the sandbox; none are declared, none are sent."""
        if not (await self.rider.declared()).service.probes:
            return []
        artifact = await workflow.execute_activity_method(
            ForgeActivities.export,
            args=[self.request.repository, sha],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(minutes=1),
            schedule_to_close_timeout=timedelta(minutes=30),
            summary=f"the artifact of {sha[:12]}",
        )
        flag = self.proposal.flag_under_test
        return await workflow.execute_activity_method(
            SandboxActivities.run_probes,
            ProbeRequest(
                repository=self.request.repository,
                sha=sha,
                artifact=artifact,
                flags={flag: True} if flag else {},
            ),
            task_queue=SANDBOX,
            start_to_close_timeout=timedelta(minutes=5),
            schedule_to_close_timeout=timedelta(minutes=30),
            heartbeat_timeout=timedelta(seconds=20),
            summary=f"probe {sha[:12]}" + (f" with {flag} forced on" if flag else ""),
        )

    async def healthy(self) -> bool:
        """Whether the signal has ended by itself: no error came for the longest quiet window.

        Of what does not err that can't be told.
        """
        if not isinstance(self.facts, ErrorFacts):
            return False
        errors: int = await workflow.execute_activity_method(
            InvestigateActivities.count_since,
            args=[self.request.service, self.request.subject, workflow.now() - QUIET_LONGEST],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(minutes=10),
            summary="count the errors before the next lever",
        )
        return errors == 0

    async def _seen_quiet(self, said: str, timings: dict[str, int]) -> Pulled:
        """Wait for a window without errors; the lever failed when none comes.

        Of what does not err, nothing but the effect itself is to be seen.
        """
        if not isinstance(self.facts, ErrorFacts):
            return Pulled(result="done", detail=said, outcome=Outcome.LANDED)
        window = quiet_window(self.facts, self.request.due.since, self.request.detected_at)
        errors = 0
        for _ in range(QUIET_WINDOWS):
            since = workflow.now()
            await workflow.sleep(window, summary=f"a quiet window of {window.total_seconds():.0f} s")
            errors = await workflow.execute_activity_method(
                InvestigateActivities.count_since,
                args=[self.request.service, self.request.subject, since],
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=30),
                schedule_to_close_timeout=timedelta(minutes=10),
                summary="count the errors since",
            )
            if errors == 0:
                timings["detected_to_quiet"] = self.since_detected(workflow.now())
                detail = f"{said}; no error in {window.total_seconds():.0f} s since"
                return Pulled(result="done", detail=detail, outcome=Outcome.LANDED)
        detail = f"{said}, but errors go on: {errors} in the last {window.total_seconds():.0f} s"
        return Pulled(result="failed", detail=detail, outcome=Outcome.LANDED)


def quiet_window(facts: ErrorFacts, since: datetime, detected_at: datetime) -> timedelta:
    """How long silence must last to mean something at the rate that the errors came before."""
    lasted = max(detected_at - min(since, facts.first_at), timedelta(seconds=1))
    return min(QUIET_LONGEST, max(QUIET_SHORTEST, lasted * QUIET_EVENTS / max(1, facts.total)))
