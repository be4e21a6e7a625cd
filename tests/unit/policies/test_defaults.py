"""The shipped policies: what a careful team starts with, and enough for one whole repair."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leverframe.model.differences import FileDelta
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost, Effect, Lever, Measurement
from policies.check import check
from policies.decision import ReserveRequest, Verdict
from policies.documents import PolicySnapshot, parse
from policies.evaluate import Evaluation, evaluate
from policies.intent import Intent
from policies.rules import Rules
from policies.usage import Usage, UsageDocument, Use
from tests.fakes.asks import BACK, OFF, ON, REVERT, ask, difference
from tests.fakes.quarantines import change, entering

ROOT = Path(__file__).resolve().parents[3]
DEFAULTS = ROOT / "policies" / "defaults"
FILES = {path.relative_to(DEFAULTS).as_posix(): path.read_text() for path in DEFAULTS.rglob("*.yaml")}
PEOPLE = """version: 1
people: {ada: {name: Ada, logins: [ada]}, grace: {name: Grace, logins: [grace]}}
groups: {sre-oncall: [ada], sre-leads: [grace]}
"""
TUESDAY = datetime(2026, 3, 3, 12, tzinfo=UTC)
CHANGE = Measurement(name="evidence of a change", observed=7100, threshold=6908, unit="nats / 1000")


@pytest.fixture(scope="module")
def staffed() -> PolicySnapshot:
    """The defaults with two people in their groups."""
    return parse(FILES | {"people.yaml": PEOPLE})


def asked(
    snapshot: PolicySnapshot, request: ReserveRequest, *uses: Use, now: datetime = TUESDAY
) -> Evaluation:
    """What the defaults say."""
    return evaluate(snapshot, Intent.of(request), Usage(snapshot, UsageDocument(uses=uses)), now)


def revert(**fields: object) -> ReserveRequest:
    """The revert of a commit, measured and with its cost."""
    return ask(effect=REVERT, evidence=[CHANGE], cost=Cost(), **fields)  # type: ignore[arg-type]


def used(effect: Effect, subject: str = "SHOP-1", *, minutes_ago: int = 5, held: bool = False) -> Use:
    """An effect of the agent a moment ago."""
    at = TUESDAY - timedelta(minutes=minutes_ago)
    return Use(
        agent="sentry_spike",
        repository="shop",
        service="shop",
        subject=subject,
        lever=effect.lever,
        at=at,
        held=held,
        outcome=None if held else Outcome.LANDED,
        ended_at=None if held else at + timedelta(minutes=1),
    )


def bulk_pricing_undone() -> list[FileDelta]:
    """The difference of the story's revert: what the patch adds goes, and the other way round."""
    deltas = []
    patch = (ROOT / "examples/shop-changes/bulk-pricing.patch").read_text()
    for part in patch.split("diff --git a/")[1:]:
        lines = part.splitlines()
        new = any(line.startswith("new file mode 100644") for line in lines)
        deltas.append(
            FileDelta(
                path=lines[0].split(" ")[0],
                change="deleted" if new else "modified",
                old_mode="100644",
                new_mode="000000" if new else "100644",
                added=sum(line.startswith("-") and not line.startswith("---") for line in lines),
                removed=sum(line.startswith("+") and not line.startswith("+++") for line in lines),
            )
        )
    return deltas


def test_the_only_remark_is_that_nobody_is_named_yet() -> None:
    assert [str(problem) for problem in check(FILES)] == [
        "org.yaml:116: nobody is in the group sre-leads",
        "org.yaml:116: nobody is in the group sre-oncall",
        "org.yaml:117: 0 can be asked, and it takes 2: nobody can lift what asks people",
    ]
    assert check(FILES | {"people.yaml": PEOPLE}) == ()


def test_every_section_is_used() -> None:
    written = {name for document in parse(FILES).documents for name in document.rules.model_fields_set}
    assert written == set(Rules.model_fields)


def test_the_agent_does_its_whole_story(staffed: PolicySnapshot) -> None:
    """Kill the flag alone, revert alone, switch the flag on again with a person's yes."""
    kill = asked(staffed, ask(effect=OFF, cost=Cost()))
    undo = bulk_pricing_undone()
    repair = asked(staffed, revert(difference=difference(*undo)), used(OFF))
    restore = asked(staffed, ask(effect=ON, cost=Cost()), used(OFF), used(REVERT, minutes_ago=3))
    assert [file.path for file in undo] == [
        "shop/bulk_pricing.py", "shop/checkout.py", "tests/test_bulk_pricing.py",
    ]  # fmt: skip
    assert [kill.verdict, repair.verdict, restore.verdict] == [Verdict.ALLOW, Verdict.ALLOW, Verdict.ESCALATE]
    assert restore.terms is not None
    assert (restore.terms.quorum, restore.terms.expires_after) == (1, timedelta(hours=1))
    assert [group.name for group in restore.terms.chain] == ["sre-oncall", "sre-leads"]


def test_a_third_flip_within_the_hour_is_denied(staffed: PolicySnapshot) -> None:
    again = asked(staffed, ask(effect=OFF, subject="SHOP-9"), used(OFF), used(ON))
    assert again.verdict is Verdict.DENY
    assert [finding.rule for finding in again.findings] == ["agents.sentry_spike.limits.flips-per-hour"]


def test_whatever_asks_people_says_that_nobody_is_named_yet() -> None:
    found = asked(parse(FILES), ask(effect=ON))
    assert found.verdict is Verdict.ESCALATE
    assert "org.escalation.approvers" in [finding.rule for finding in found.findings]
    assert asked(parse(FILES), ask(effect=OFF)).verdict is Verdict.ALLOW


def test_a_roll_back_takes_two_people_and_waits_for_the_backup(staffed: PolicySnapshot) -> None:
    found = asked(staffed, ask(effect=BACK))
    assert found.verdict is Verdict.ESCALATE
    assert found.terms is not None
    assert found.terms.quorum == 2
    sunday = datetime(2026, 3, 8, 3, 30, tzinfo=UTC)
    assert asked(staffed, ask(effect=BACK), now=sunday).verdict is Verdict.DENY
    assert asked(staffed, ask(effect=OFF), now=sunday).verdict is Verdict.ALLOW


def test_what_a_person_wants_undone_takes_others_and_a_roll_back_two(staffed: PolicySnapshot) -> None:
    forward = asked(staffed, ask(agent="undo", effect=BACK, cost=Cost(), requesters=["ada"]))
    lifted = asked(staffed, ask(agent="undo", effect=change(leave=("a",)), cost=Cost(), requesters=["eve"]))
    assert (lifted.verdict, lifted.terms.quorum) == (Verdict.ESCALATE, 1)
    landed = revert(agent="undo", difference=difference(*bulk_pricing_undone()), requesters=["eve"])
    reverted = asked(staffed, landed)
    assert reverted.verdict is Verdict.ESCALATE
    assert reverted.terms is not None
    assert (reverted.terms.quorum, forward.terms and forward.terms.quorum) == (1, 2)
    assert forward.verdict is Verdict.ESCALATE
    assert "org.escalation.approvers" in [finding.rule for finding in forward.findings], "ada may not vote"


@pytest.mark.parametrize(
    ("files", "verdict"),
    [
        (["shop/migrations/0007_drop.py"], Verdict.DENY),
        (["deploy/overlays/production/kustomization.yaml"], Verdict.DENY),
        (["pyproject.toml"], Verdict.DENY),
        (["uv.lock"], Verdict.DENY),
        ([f"shop/part{number}.py" for number in range(11)], Verdict.ESCALATE),
        ([f"shop/part{number}.py" for number in range(21)], Verdict.DENY),
    ],
)
def test_a_revert_stays_within_code_and_within_its_size(
    staffed: PolicySnapshot, files: list[str], verdict: Verdict
) -> None:
    assert asked(staffed, revert(difference=difference(*files))).verdict is verdict


def test_without_a_measured_change_nothing_is_reverted(staffed: PolicySnapshot) -> None:
    weak = CHANGE.model_copy(update={"observed": 4000})
    assert asked(staffed, ask(effect=REVERT, cost=Cost())).verdict is Verdict.DENY
    assert asked(staffed, ask(effect=REVERT, cost=Cost(), evidence=[weak])).verdict is Verdict.DENY
    assert asked(staffed, revert()).verdict is Verdict.ALLOW


@pytest.mark.parametrize("flag", ["auth-v2", "billing-rework", "security-headers"])
def test_flags_of_what_protects_and_pays_are_left_to_people(staffed: PolicySnapshot, flag: str) -> None:
    assert asked(staffed, ask(effect=OFF.model_copy(update={"flag": flag}))).verdict is Verdict.DENY


def test_strong_evidence_quarantines_by_itself_and_weak_evidence_asks(staffed: PolicySnapshot) -> None:
    strong = ask(effect=change(entering("a")), agent="flaky_tests", subject="SUITE", cost=Cost())
    weak = ask(
        effect=change(entering("a", strength=20_000)), agent="flaky_tests", subject="SUITE", cost=Cost()
    )
    forbidden = ask(
        effect=change(entering("a", path="tests/payments/test_pay.py")),
        agent="flaky_tests",
        subject="SUITE",
        cost=Cost(),
    )
    elsewhere = strong.model_copy(update={"difference": difference("shop/checkout.py")})
    assert asked(staffed, strong).verdict is Verdict.ALLOW
    assert asked(staffed, weak).verdict is Verdict.ESCALATE
    assert asked(staffed, forbidden).verdict is Verdict.DENY
    assert asked(staffed, elsewhere).verdict is Verdict.DENY


def test_an_agent_without_a_file_is_off(staffed: PolicySnapshot) -> None:
    assert asked(staffed, ask(agent="newcomer")).verdict is Verdict.DENY


def test_every_lever_is_bounded(staffed: PolicySnapshot) -> None:
    org = next(document for document in staffed.documents if document.file == "org.yaml")
    for lever in Lever:
        assert any(lever in limit.levers and limit.hold for limit in org.rules.limits)
