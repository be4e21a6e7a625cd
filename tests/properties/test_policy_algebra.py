"""Laws of one evaluation, over any policy and any usage."""

from datetime import datetime, timedelta
from io import StringIO

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from leverframe.model.proposals import Lever
from policies.decision import ReserveRequest, Verdict
from policies.documents import (
    Autonomy,
    Escalation,
    FlagNames,
    FlipFlagRule,
    Layer,
    LeverRule,
    Levers,
    Limit,
    PolicyDocument,
    PolicySnapshot,
    Rules,
    parse,
)
from policies.evaluate import Evaluation, evaluate
from policies.usage import Intent, Use
from tests.fakes.asks import BACK, NOON, OFF, ON, REVERT, ask

LAYERS: dict[str, Layer] = {"": "org", "repos": "repo", "agents": "agent"}
AGENTS = ("one", "two")
REPOSITORIES = ("shop", "till")
SUBJECTS = ("A", "B")
EFFECTS = (OFF, ON, REVERT, BACK)

autonomies = st.sampled_from([*Autonomy, Autonomy.ACT, Autonomy.ACT])
"""Tilted towards acting: otherwise hardly anything would be allowed."""

limits = st.builds(
    Limit,
    id=st.just("x"),
    scope=st.sets(st.sampled_from(["agent", "repo", "subject"])).map(lambda s: tuple(sorted(s))),
    levers=st.sets(st.sampled_from(list(Lever)), min_size=1).map(lambda s: tuple(sorted(s))),
    max=st.one_of(st.integers(0, 3), st.just("unlimited")),
    window=st.sampled_from([1, 10, 60, 1440]).map(lambda minutes: timedelta(minutes=minutes)),
    on_exceed=st.sampled_from(["deny", "escalate"]),
) | st.builds(
    Limit,
    id=st.just("x"),
    scope=st.sets(st.sampled_from(["agent", "repo", "subject"])).map(lambda s: tuple(sorted(s))),
    max=st.integers(0, 3),
    hold=st.just("until_settled"),
    on_exceed=st.sampled_from(["deny", "escalate"]),
)

lever_rules = st.none() | st.builds(LeverRule, autonomy=st.none() | autonomies)
flip_rules = st.none() | st.builds(
    FlipFlagRule,
    autonomy=st.none() | autonomies,
    direction=st.dictionaries(st.sampled_from(["to_off", "to_on"]), autonomies),
    flags=st.builds(
        FlagNames,
        allow=st.sampled_from([(), ("*",), ("new-*",), ("old-*",)]),
        deny=st.sampled_from([(), (), ("new-*",)]),
    ),
)
levers = st.builds(Levers, flip_flag=flip_rules, roll_back=lever_rules, open_merge_request=lever_rules)


def numbered(found: list[Limit]) -> tuple[Limit, ...]:
    """The limits with ids of their own."""
    return tuple(limit.model_copy(update={"id": f"l{number}"}) for number, limit in enumerate(found))


@st.composite
def documents(draw: st.DrawFn, file: str) -> PolicyDocument:
    """Any legal content of one file."""
    folder, _, name = file.removesuffix(".yaml").rpartition("/")
    content = Rules(
        version=1,
        layer=LAYERS[folder],
        autonomy=draw(autonomies),
        kill_switch=draw(st.sampled_from([False, False, False, True])),
        levers=draw(levers),
        limits=numbered(draw(st.lists(limits, max_size=3))),
        escalation=draw(
            st.none()
            | st.builds(
                Escalation,
                quorum=st.integers(1, 3),
                expires_after=st.integers(1, 8).map(lambda hours: timedelta(hours=hours)),
            )
        ),
    )
    return PolicyDocument(file=file, about=name if folder else None, rules=content)


law = settings(deadline=None, max_examples=60)
"""A slow machine is no fault."""

ORG, REPO, AGENT = "org.yaml", "repos/shop.yaml", "agents/one.yaml"

requests = st.builds(
    ask,
    effect=st.sampled_from(EFFECTS),
    agent=st.just("one"),
    repository=st.just("shop"),
    subject=st.sampled_from(SUBJECTS),
)
uses = st.lists(
    st.builds(
        lambda effect, agent, repository, subject, minutes, held: Use(
            intent=Intent.of(ask(effect=effect, agent=agent, repository=repository, subject=subject)),
            at=NOON - timedelta(minutes=minutes),
            held=held,
        ),
        st.sampled_from(EFFECTS),
        st.sampled_from(AGENTS),
        st.sampled_from(REPOSITORIES),
        st.sampled_from(SUBJECTS),
        st.integers(0, 90),
        st.booleans(),
    ),
    max_size=8,
)


def judged(
    found: list[PolicyDocument], request: ReserveRequest, used: list[Use], at: datetime = NOON
) -> Evaluation:
    return evaluate(PolicySnapshot.of(found), Intent.of(request), used, at)


class TestAlgebra:
    """Laws of one evaluation."""

    @law
    @given(documents(ORG), documents(AGENT), documents(REPO), requests, uses)
    def test_adding_a_file_never_loosens(
        self,
        org: PolicyDocument,
        agent: PolicyDocument,
        repo: PolicyDocument,
        request: ReserveRequest,
        used: list[Use],
    ) -> None:
        fewer, more = judged([org, agent], request, used), judged([org, agent, repo], request, used)
        assert more.verdict >= fewer.verdict
        if fewer.terms is not None:
            assert more.terms is not None
            assert more.terms.quorum >= fewer.terms.quorum
            assert more.terms.expires_after <= fewer.terms.expires_after

    @law
    @given(st.permutations([ORG, AGENT, REPO]), st.data(), requests, uses)
    def test_the_order_of_the_files_says_nothing(
        self, order: list[str], data: st.DataObject, request: ReserveRequest, used: list[Use]
    ) -> None:
        found = {file: data.draw(documents(file)) for file in (ORG, AGENT, REPO)}
        assert judged([found[file] for file in order], request, used) == judged(
            [*found.values()], request, used
        )

    @law
    @given(documents(ORG), documents(AGENT), requests, uses, uses)
    def test_more_usage_never_loosens(
        self,
        org: PolicyDocument,
        agent: PolicyDocument,
        request: ReserveRequest,
        used: list[Use],
        more: list[Use],
    ) -> None:
        before, after = judged([org, agent], request, used), judged([org, agent], request, [*used, *more])
        assert after.verdict >= before.verdict
        assert {f.rule for f in after.findings} >= {f.rule for f in before.findings}

    @law
    @given(documents(ORG), documents(AGENT), requests, uses)
    def test_the_whole_is_as_strict_as_its_strictest_finding_and_silence_is_allowance(
        self, org: PolicyDocument, agent: PolicyDocument, request: ReserveRequest, used: list[Use]
    ) -> None:
        evaluation = judged([org, agent], request, used)
        verdicts = [finding.verdict for finding in evaluation.findings]
        assert evaluation.verdict == max(verdicts, default=Verdict.ALLOW)
        assert Verdict.ALLOW not in verdicts
        assert all(finding.remedy and finding.source for finding in evaluation.findings)

    @law
    @given(documents(ORG) | documents(AGENT) | documents(REPO), requests, uses)
    def test_one_file_alone_allows_nothing(
        self, only: PolicyDocument, request: ReserveRequest, used: list[Use]
    ) -> None:
        assert judged([only], request, used).verdict is Verdict.DENY
        assert judged([], request, used).verdict is Verdict.DENY

    @law
    @given(documents(ORG), documents(AGENT), requests, uses)
    def test_the_answer_depends_on_nothing_but_the_inputs_even_after_a_journey(
        self, org: PolicyDocument, agent: PolicyDocument, request: ReserveRequest, used: list[Use]
    ) -> None:
        snapshot = PolicySnapshot.of([org, agent])
        travelled = PolicySnapshot.model_validate_json(snapshot.model_dump_json())
        intent = Intent.of(request)
        assert evaluate(travelled, intent, used, NOON) == evaluate(snapshot, intent, list(used), NOON)

    @law
    @given(documents(ORG), documents(AGENT), requests, uses, st.integers(0, 3))
    def test_a_smaller_maximum_never_loosens(
        self,
        org: PolicyDocument,
        agent: PolicyDocument,
        request: ReserveRequest,
        used: list[Use],
        lower: int,
    ) -> None:
        tightened = tuple(
            limit.model_copy(update={"max": lower if isinstance(limit.max, str) else min(lower, limit.max)})
            for limit in org.rules.limits
        )
        tight = org.model_copy(update={"rules": org.rules.model_copy(update={"limits": tightened})})
        assert judged([tight, agent], request, used).verdict >= judged([org, agent], request, used).verdict

    @law
    @given(documents(ORG), documents(AGENT))
    def test_a_document_written_out_and_read_again_is_the_same(
        self, org: PolicyDocument, agent: PolicyDocument
    ) -> None:
        files = {document.file: as_yaml(document) for document in (org, agent)}
        assert parse(files).digest == PolicySnapshot.of([org, agent]).digest

    @law
    @given(documents(ORG), documents(AGENT), requests, uses)
    def test_retry_at_is_honest(
        self, org: PolicyDocument, agent: PolicyDocument, request: ReserveRequest, used: list[Use]
    ) -> None:
        for finding in judged([org, agent], request, used).findings:
            if finding.retry_at is None:
                continue
            before = judged([org, agent], request, used, finding.retry_at - timedelta(microseconds=1))
            then = judged([org, agent], request, used, finding.retry_at)
            assert finding.rule in {f.rule for f in before.findings}
            assert finding.rule not in {f.rule for f in then.findings}


def as_yaml(document: PolicyDocument) -> str:
    """The document's rules as a person would write them."""
    text = StringIO()
    YAML(typ="safe", pure=True).dump(document.rules.model_dump(mode="json", exclude_none=True), text)
    return text.getvalue()
