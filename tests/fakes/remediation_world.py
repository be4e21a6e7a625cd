"""A world for one agent run: everything outside the run, its policy and its approvals, in memory.

What is written is keyed as the real parts key it, so a retry finds what it did before; `effects` lists
what changed, in order.
"""

from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.backends.flags_flagd import FlagdFlags
from activities.chat import Reminder, Shown
from activities.delivery import WaitRequest
from activities.engine import ReleaseStanding
from activities.flags import FlagActivities, FlagCheck, FlipResult
from activities.forge import RevertRequest, RollBackRequest
from activities.ledger import LedgerActivities
from activities.ports import Health
from activities.sandbox import ProbeOutcome, ProbeRequest
from agents.contract import Due
from leverframe.model.changes import Author, CarEjected, CarLanded, Change, Enqueue, Priority, Receipt
from leverframe.model.checks import Check
from leverframe.model.differences import TreeDifference
from leverframe.model.errors import NotFound
from leverframe.model.facts import (
    ErrorFacts,
    FactsRequest,
    FlagObservation,
    FlagState,
    Frame,
    LandedCommit,
    ReleaseObservation,
)
from leverframe.model.ids import digest
from leverframe.model.proposals import Effect, FlipFlag, Measurement, RevertChange
from leverframe.model.releases import Artifact, DeliveryState, ReleaseOutcome
from leverframe.model.topology import CanaryPlan, CanaryStep, Probe, Repository, Service
from leverframe.model.untrusted import Untrusted
from policies.decision import Reservation
from policies.documents import PolicySnapshot
from policies.overview import OpenReservation, overview
from policies.question import Ending, Question
from tests.fakes.asks import difference
from tests.fakes.asks import policy as permissive
from tests.fakes.memory_ledger import MemoryLedger
from workflows.messages import Vote

FLAG = "new-pricing"
LIVE, PREVIOUS, SUSPECT, LANDED, HEAD = ("1" * 40, "2" * 40, "3" * 40, "4" * 40, "5" * 40)
BEGAN = datetime(2026, 3, 2, 12, tzinfo=UTC)

SHOP = Repository(
    name="shop",
    url="memory",
    checks=(Check(name="tests", command=("true",)),),
    service=Service(
        name="shop",
        command=("true",),
        overlays={
            "dev": "deploy/dev/kustomization.yaml",
            "production": "deploy/production/kustomization.yaml",
        },
        image="shop",
        probes=(Probe(name="checkout", path="/checkout"), Probe(name="health", path="/health")),
        canary=CanaryPlan(steps=(CanaryStep(percent=100, min_requests=0, min_seconds=0, max_seconds=600),)),
    ),
)

DUE = Due(
    reason="38 errors in the last 60 s, where 0.1 were expected",
    evidence=(Measurement(name="errors in the last 60 s", observed=38, threshold=6, unit="errors"),),
    since=BEGAN,
)


def error_facts(*, flag_on: bool = True, released: bool | None = None, hostile: str = "") -> ErrorFacts:
    """A spike whose errors all had the flag on, crashing in a line that SUSPECT landed.

    `released`: that came with the live release, so that it is to blame, too; left out, only without a flag.
    """
    older = (PREVIOUS, SUSPECT) if flag_on and not released else (SUSPECT, PREVIOUS)
    return ErrorFacts(
        title=Untrusted(hostile or "TypeError: unsupported operand"),
        exception=Untrusted(hostile or "TypeError"),
        trace=Untrusted(hostile or "shop/pricing.py:14 in bulk_price"),
        route=Untrusted(hostile or "/checkout"),
        sampled=38,
        total=38,
        first_at=BEGAN,
        frames=(Frame(path="shop/pricing.py", function=Untrusted("bulk_price"), line=14, blamed=SUSPECT),),
        flags=(FlagObservation(flag=FLAG, value=True, errors=38),) if flag_on else (),
        flag_states=(FlagState(flag=FLAG, on=True),),
        releases=(ReleaseObservation(sha=LIVE, errors=38),),
        live=LIVE,
        previous=PREVIOUS,
        commits=tuple(
            LandedCommit(sha=sha, subject=Untrusted("a change"), landed_at=BEGAN - age, paths=())
            for sha, age in zip((LIVE, *older), map(timedelta, (2, 3, 4)), strict=True)
        ),
    )


@dataclass
class MemoryFlags:
    """The flags port, keeping who set what under which key."""

    on: dict[str, bool]
    written: list[tuple[str, bool]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def list(self) -> "list[FlagState]":
        return [FlagState(flag=flag, on=on) for flag, on in sorted(self.on.items())]

    def set(self, flag: str, on: bool, *, key: str, reason: str) -> bool:
        if flag not in self.on:
            raise NotFound(f"no flag {flag}")
        if key in self.keys:
            return False
        self.keys.add(key)
        self.written.append((flag, on))
        self.on[flag] = on
        return True

    def evaluate(self, flag: str, *, targeting_key: str = "") -> bool:
        return self.on[flag]

    def health(self) -> Health:
        return Health(ok=True, detail="memory")


@dataclass
class World:
    """The rest of the world, and the dials that make it behave."""

    client: Client
    policy: InitVar[PolicySnapshot | None] = None
    ledger: MemoryLedger | LedgerActivities = field(default_factory=MemoryLedger)
    facts: ErrorFacts = field(default_factory=error_facts)
    vote: Literal["yes", "no", "silence"] = "yes"
    car: Literal["landed", "check_failed", "riding"] = "landed"
    train_tells: bool = True
    """Whether the train's word on a car arrives; the forge knows its end in any case."""
    failing_looks: int = 0
    """How many looks at the forge fail from now on."""
    looks: int = 0
    standings: list[ReleaseStanding] = field(default_factory=lambda: [ReleaseStanding(state="not_there")])
    """What looks at the release find, one after the other; the last one stays."""
    release: Literal["landed", "rolled_back", "superseded", "failed"] = "landed"
    goes_back: bool = True
    """Whether production runs again what its overlay was put back to."""
    still_failing: bool = False
    """The probe fails on the landed commit as well."""
    errors_since: int = 0
    """What the tracker counts in each quiet window."""
    healed_by_roll_back: bool = False
    """Production's errors end once it was put back."""
    rolled_back: bool = False
    flags: MemoryFlags | FlagdFlags = field(default_factory=lambda: MemoryFlags({FLAG: True}))
    changes: dict[str, Change] = field(default_factory=dict)
    """By reservation."""
    probed: list[tuple[str, dict[str, bool]]] = field(default_factory=list)
    voter: str = "login:ada"
    questions: list[Question] = field(default_factory=list)
    endings: dict[str, Ending] = field(default_factory=dict)
    patches: list[str] = field(default_factory=lambda: ["a" * 40])
    """What previews find, one after the other; the last one stays."""
    previews: int = 0
    notices: dict[str, str] = field(default_factory=dict)

    def __post_init__(self, policy: PolicySnapshot | None) -> None:
        if isinstance(self.ledger, MemoryLedger):
            self.ledger.book.install(policy or permissive(), BEGAN)

    @property
    def hands(self) -> Sequence[Callable[..., Any]]:
        """The activities of the hands queue."""
        book = self.ledger
        return (
            *(self.flip, self.verify_flag),
            *(book.reserve, book.commit, book.release, book.settle, book.attend, book.answered),
            *(self.gather, self.count_since, self.describe, self.revert, self.roll_back),
            *(self.wait_back, self.export, self.get_change, self.enqueue, self.preview),
            self.release_standing,
            *(self.ask, self.remind, self.hold, self.close, self.tell),
        )

    def open_reservations(self) -> tuple[OpenReservation, ...]:
        """What nobody has settled yet, by the ledger in memory."""
        assert isinstance(self.ledger, MemoryLedger)
        return overview("acme", self.ledger.book.state, datetime.now(UTC)).open

    @activity.defn
    async def gather(self, request: FactsRequest) -> ErrorFacts:
        return self.facts

    @activity.defn
    async def flip(self, reservation: Reservation) -> FlipResult:
        return FlagActivities(self.flags).flip(reservation)

    @activity.defn
    async def verify_flag(self, flag: str, expected: bool) -> FlagCheck:
        return FlagActivities(self.flags, wait_seconds=5).verify_flag(flag, expected)

    @activity.defn
    async def count_since(self, service: str, subject: str, since: datetime) -> int:
        return 0 if self.healed_by_roll_back and self.rolled_back else self.errors_since

    @activity.defn
    async def describe(self, repository: str) -> Repository:
        return SHOP

    @activity.defn
    async def revert(self, reservation: Reservation, request: RevertRequest) -> Change:
        effect = reservation.effect
        assert isinstance(effect, RevertChange)
        assert digest(effect) == reservation.effect_digest
        return self._change(reservation, title=effect.title, body=effect.body)

    @activity.defn
    async def roll_back(self, reservation: Reservation, request: RollBackRequest) -> Change:
        self.rolled_back = True
        return self._change(reservation, title="Roll back", body=request.reason)

    @activity.defn
    async def wait_back(self, request: WaitRequest) -> DeliveryState:
        if not self.goes_back:
            raise ApplicationError("production did not run it", type="Refused", non_retryable=True)
        return DeliveryState(
            environment="production", wanted=request.sha, stable=request.sha, canary=None, ready=True
        )

    @activity.defn
    async def get_change(self, change: str) -> Change:
        self.looks += 1
        if self.looks <= self.failing_looks:
            raise ApplicationError("the forge is away", type="Refused", non_retryable=True)
        [found] = [made for made in self.changes.values() if made.id == change]
        if self.car == "riding":
            return found
        if self.car == "landed":
            return found.model_copy(update={"state": "landed", "landed_as": LANDED})
        return found.model_copy(update={"state": "ejected"})

    @activity.defn
    async def export(self, repository: str, sha: str) -> Artifact:
        return Artifact(service="shop", sha=sha, digest="sha256:" + "0" * 64, path=f"{sha}.tar")

    @activity.defn
    async def run_probes(self, request: ProbeRequest) -> list[ProbeOutcome]:
        self.probed.append((request.sha, request.flags))
        broken = request.sha == SUSPECT or self.still_failing
        return [
            ProbeOutcome(probe="checkout", status=500 if broken else 200, detail=""),
            ProbeOutcome(probe="health", status=200, detail=""),
        ]

    @activity.defn
    async def enqueue(self, repository: str, target: str, request: Enqueue) -> None:
        """The train and the release have ended before the caller hears that the change is queued."""
        assert (target, request.priority) == (SHOP.target, Priority.HOTFIX)
        for waiting in request.notify:
            handle = self.client.get_workflow_handle(waiting)
            if self.train_tells:
                await handle.signal("car_settled", self._settled(request))
            if self.car == "landed":
                await handle.signal("release_settled", self._released())

    @activity.defn
    async def release_standing(self, service: str, sha: str) -> ReleaseStanding:
        return self.standings.pop(0) if self.standings[1:] else self.standings[0]

    @activity.defn
    async def preview(self, repository: str, effect: Effect, at: datetime) -> TreeDifference | None:
        assert not isinstance(effect, FlipFlag), "a flag changes no file: nobody needs to look"
        self.previews += 1
        patch = self.patches.pop(0) if self.patches[1:] else self.patches[0]
        return difference("shop/pricing.py", patch=patch)

    @activity.defn
    async def ask(self, question: Question, group: str) -> Shown:
        self.questions.append(question)
        if self.vote != "silence":
            await self.client.get_workflow_handle(question.approval).execute_update(
                "decide",
                Vote(
                    account=self.voter,
                    approve=self.vote == "yes",
                    reason="looked at it",
                    request_digest=question.request_digest,
                    via="cli",
                ),
            )
        return Shown(chat="memory", where="memory")

    @activity.defn
    async def remind(self, reminder: Reminder) -> Shown:
        return Shown(chat="memory", where="")

    @activity.defn
    async def hold(self, question: Question, group: str) -> None:
        self.questions.append(question)

    @activity.defn
    async def tell(self, key: str, text: str) -> None:
        self.notices.setdefault(key, text)

    @activity.defn
    async def close(self, approval: str, ending: Ending) -> None:
        self.endings[approval] = ending

    def _change(self, reservation: Reservation, *, title: str, body: str) -> Change:
        made = Change(
            id=f"shop/{len(self.changes) + 1}",
            repository="shop",
            branch=f"leverframe/{reservation.id}",
            head=HEAD,
            title=title,
            body=body,
            author=Author(kind="agent", name=reservation.agent),
            priority=Priority.HOTFIX,
            state="open",
            opened_at=BEGAN,
        )
        return self.changes.setdefault(reservation.id, made)

    def _settled(self, request: Enqueue) -> CarLanded | CarEjected:
        if self.car != "landed":
            detail = "the check `tests` failed; push a fix and enqueue it again"
            return CarEjected(change=request.change, reason="check_failed", detail=detail)
        receipt = Receipt(
            repository="shop",
            target="main",
            sequence=1,
            change=request.change,
            sha=LANDED,
            base=LIVE,
            tree="6" * 40,
            head=request.head,
            checks=(),
            author=request.author,
            paths=("shop/pricing.py",),
            landed_at=BEGAN,
        )
        return CarLanded(change=request.change, receipt=receipt)

    def _released(self) -> ReleaseOutcome:
        percent = 100 if self.release == "landed" else 5
        return ReleaseOutcome(
            service="shop", sha=LANDED, outcome=self.release, reached_percent=percent, detail="as told"
        )
