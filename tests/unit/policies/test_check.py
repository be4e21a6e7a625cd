"""The check: what a person is told about policy files before they are installed, and where."""

import pytest

from policies.check import check

HEAD = "version: 1\nlayer: {layer}\nautonomy: {autonomy}\nkill_switch: false\n"
LEVERS = (
    "levers:\n"
    "  flip_flag: {direction: {to_off: act}, flags: {allow: ['*']}}\n"
    "  roll_back: {}\n"
    "  open_merge_request: {paths: {allow: ['**']}, diff: {max_files: 9, max_lines: 99}}\n"
)
ASKING = "escalation: {approvers: [oncall], quorum: 1, expires_after: 2h}\n"
PEOPLE = "version: 1\npeople: {ada: {name: Ada}, grace: {name: Grace}}\ngroups: {oncall: [ada, grace]}\n"


def file(layer: str, more: str = "", *, levers: str = LEVERS, autonomy: str = "act") -> str:
    """A file whose own rules begin in line 9 with the usual levers."""
    return HEAD.format(layer=layer, autonomy=autonomy) + levers + more


def told(org: str = ASKING, agent: str = "", *, people: str = PEOPLE, **files: str) -> list[str]:
    """Every remark on these files; `org` and `agent` are more lines, or whole files."""
    whole = {
        "org.yaml": org if org.startswith("version") else file("org", org),
        "agents/spike.yaml": agent if agent.startswith("version") else file("agent", agent),
        "people.yaml": people,
    }
    return [f"{problem.severity} {problem}" for problem in check(whole | files)]


def test_files_that_fit_together_have_nothing_to_remark() -> None:
    assert told() == []


def test_the_check_tells_errors_and_suspicious_rules_by_line() -> None:
    org = file(
        "org",
        "limits:\n  - {id: a, levers: [roll_back], max: 1, window: 1h, on_exceed: escalate}\n",
        levers="levers:\n  flip_flag: {}\n",
    ).replace("false", "true")
    found = told(org, file("agent", levers="levers:\n  roll_back: {}\n"), **{"agents/y.yaml": "version: 2\n"})
    assert found[0] == "warning agents/spike.yaml:6: roll_back is denied anyway: org.yaml does not list it"
    assert [line for line in found if line.startswith("error")] == [
        line for line in found if "agents/y.yaml" in line
    ]
    assert [line for line in found if line.startswith("warning org.yaml")] == [
        "warning org.yaml:1: nobody can be asked: without `escalation` what asks people is denied",
        "warning org.yaml:4: the kill switch is on",
        "warning org.yaml:6: no direction is allowed, so every flip is denied",
        "warning org.yaml:6: no flag is allowed, so every flip is denied",
        "warning org.yaml:8: the limit a counts only denied levers",
    ]


def test_a_missing_organisation_file_is_an_error() -> None:
    assert [str(problem) for problem in check({})] == [
        "org.yaml:1: the file is missing, so nothing is allowed"
    ]


def test_what_keeps_files_from_being_installed_is_an_error_here_too() -> None:
    missing = ASKING.replace("oncall", "onkall")
    assert told(missing)[0] == "error org.yaml:9: escalation.approvers: people.yaml has no group onkall"
    assert any(line.startswith("error people.yaml:1") for line in told(people="version: 2\n"))


@pytest.mark.parametrize(
    ("lines", "remark"),
    [
        (
            "limits:\n  - {id: a, max: unlimited, window: 1h}\n",
            "10: the limit a is unlimited: it stops nothing",
        ),
        (
            "freeze:\n  - {id: a, reason: b, cron: '0 0 * * *', duration: 24h}\n",
            "10: the freeze a never ends: its next occurrence begins before one is over",
        ),
        (
            "freeze:\n  - {id: a, reason: b, cron: '0 0 * * *', duration: 1h,"
            " except_levers: [flip_flag, roll_back, open_merge_request]}\n",
            "10: the freeze a excepts every lever that is listed: it stops nothing",
        ),
    ],
)
def test_a_rule_that_stops_nothing_or_everything_is_remarked(lines: str, remark: str) -> None:
    assert told(agent=lines) == [f"warning agents/spike.yaml:{remark}"]


def test_an_ordinary_freeze_is_not_remarked() -> None:
    assert told(agent="freeze:\n  - {id: a, reason: b, cron: '0 18 * * FRI', duration: 62h}\n") == []


@pytest.mark.parametrize(
    ("levers", "remark"),
    [
        (
            "levers:\n  roll_back: {autonomy: act}\n",
            "act has no effect: the level above it is propose",
        ),
        (
            "levers:\n  flip_flag: {direction: {to_off: act_with_approval}, flags: {allow: ['*']}}\n",
            "act_with_approval has no effect: the level above it is propose",
        ),
        (
            "levers:\n  flip_flag: {direction: {to_off: propose}, flags: {allow: ['*'], deny: ['*']}}\n",
            "* denies everything",
        ),
        (
            "levers:\n  flip_flag: {direction: {to_off: propose}, flags: {allow: ['a*', b], deny: ['a*']}}\n",
            "a* is denied, too: it allows nothing",
        ),
        (
            "levers:\n  open_merge_request: {paths: {allow: ['**'], deny: ['**']}}\n",
            "** denies everything",
        ),
        (
            "levers:\n  open_merge_request: {paths: {allow: ['.github/**']}}\n",
            ".github/** is protected everywhere (ci): no file can allow it",
        ),
        (
            "levers:\n  open_merge_request: {paths: {allow: ['**/*.lock']}}\n",
            "**/*.lock is protected everywhere (lock_file): no file can allow it",
        ),
    ],
)
def test_levels_and_patterns_that_can_have_no_effect_are_remarked(levers: str, remark: str) -> None:
    found = told(agent=file("agent", levers=levers, autonomy="propose"))
    assert found == [f"warning agents/spike.yaml:6: {remark}"]


ORG_LIMIT = "limits:\n  - {id: top, levers: [flip_flag], max: 3, window: 1d}\n"


@pytest.mark.parametrize(
    ("limit", "looser"),
    [
        ("{id: own, levers: [flip_flag], max: 4, window: 1d}", True),
        ("{id: own, levers: [flip_flag], max: 4, window: 1h}", True),
        ("{id: own, levers: [flip_flag], scope: [repo], max: 4, window: 1d}", True),
        ("{id: own, levers: [flip_flag], max: 3, window: 1d}", False),
        ("{id: own, levers: [flip_flag], max: 4, window: 2d}", False),
        ("{id: own, levers: [flip_flag, roll_back], max: 4, window: 1d}", False),
        ("{id: own, levers: [flip_flag], max: 4, hold: until_settled}", False),
        ("{id: own, levers: [flip_flag], unit: cents, max: 4, window: 1d}", False),
    ],
)
def test_a_limit_that_the_organisations_always_reaches_first_is_remarked(limit: str, looser: bool) -> None:
    found = told(ASKING + ORG_LIMIT, f"limits:\n  - {limit}\n")
    remark = (
        "warning agents/spike.yaml:10: the limit own is looser than top of org.yaml, which counts the same"
    )
    assert found == ([remark] if looser else [])


def test_a_limit_is_not_compared_with_one_that_counts_less() -> None:
    scoped = ORG_LIMIT.replace("max: 3", "scope: [subject], max: 3")
    assert told(ASKING + scoped, "limits:\n  - {id: own, levers: [flip_flag], max: 4, window: 1d}\n") == []
    about = ORG_LIMIT.replace("max: 3", "scope: [agent], max: 3")
    assert told(ASKING + about, "limits:\n  - {id: own, levers: [flip_flag], max: 4, window: 1d}\n") != []


def test_a_denial_beyond_a_question_is_not_looser() -> None:
    asks = ORG_LIMIT.replace("window: 1d", "window: 1d, on_exceed: escalate")
    assert told(ASKING + asks, "limits:\n  - {id: own, levers: [flip_flag], max: 9, window: 1d}\n") == []


def test_caps_levels_and_escalations_that_the_organisation_tightens_are_remarked() -> None:
    agent = file(
        "agent",
        "escalation: {quorum: 1, expires_after: 3h}\n",
        levers=LEVERS.replace("max_files: 9", "max_files: 10"),
    )
    org = file("org", ASKING.replace("quorum: 1", "quorum: 2"), autonomy="act_with_approval")
    assert [
        line
        for line in told(org.replace("to_off: act}", "to_off: act_with_approval}"), agent)
        if "agents/" in line
    ] == [
        "warning agents/spike.yaml:3: act has no effect: org.yaml says act_with_approval",
        "warning agents/spike.yaml:8: max_files is looser than in org.yaml, which allows 9",
        "warning agents/spike.yaml:9: expires_after has no effect: org.yaml says less time",
        "warning agents/spike.yaml:9: quorum has no effect: org.yaml says 2",
    ]


def test_a_direction_that_the_organisation_does_not_list_is_remarked() -> None:
    agent = file("agent", levers=LEVERS.replace("to_off: act", "to_off: act, to_on: act"))
    assert told(agent=agent) == [
        "warning agents/spike.yaml:6: to_on is denied anyway: org.yaml does not list it"
    ]


def test_merge_requests_that_no_file_bounds_are_remarked() -> None:
    bare = LEVERS.replace("{paths: {allow: ['**']}, diff: {max_files: 9, max_lines: 99}}", "{}")
    found = told(file("org", ASKING, levers=bare), file("agent", levers=bare))
    assert [line.partition(": ")[2] for line in found] == [
        "neither this file nor org.yaml has `diff`, so every merge request is denied",
        "neither this file nor org.yaml has `paths.allow`, so every merge request is denied",
    ]


QUARANTINE = "max_share_ppm: {share}, max_per_change: 9, max_days: 9, by_itself: {proof}"


def quarantining(layer: str, more: str = "", *, share: int = 9, proof: int = 9) -> str:
    rule = f"quarantine: {{{QUARANTINE.format(share=share, proof=proof)}}}"
    return file(layer, more, levers=LEVERS.replace("max_lines: 99}", f"max_lines: 99}}, {rule}"))


def test_a_quarantine_that_lets_nothing_enter_or_is_looser_is_remarked() -> None:
    daily = "limits: [{id: t, levers: [open_merge_request], unit: tests, max: 5, window: 1d}]\n"
    place = "warning agents/spike.yaml:8"
    assert told(quarantining("org", ASKING + daily), quarantining("agent")) == []
    assert told(quarantining("org", ASKING), quarantining("agent")) == [
        f"{place}: neither this file nor org.yaml has a limit with `unit: tests`, so no test enters"
    ]
    assert told(quarantining("org", ASKING + daily), quarantining("agent", share=10, proof=1)) == [
        f"{place}: by_itself has no effect: org.yaml says 9",
        f"{place}: max_share_ppm is looser than in org.yaml, which allows 9",
    ]
    never = quarantining("org", ASKING + daily).replace("by_itself: 9", "by_itself: 9, renewals: never")
    assert told(never, quarantining("agent")) == [f"{place}: renewals has no effect: org.yaml says never"]


def test_weak_evidence_asks_people_so_somebody_must_be_there() -> None:
    assert "nobody can be asked" in " ".join(told("", quarantining("agent")))


@pytest.mark.parametrize(
    ("org", "people", "remark"),
    [
        (ASKING, "version: 1\npeople: {}\ngroups: {oncall: []}\n", "9: nobody is in the group oncall"),
        (ASKING.replace("quorum: 1", "quorum: 3"), PEOPLE, "9: 2 can be asked, and it takes 3"),
        (
            ASKING.replace("quorum: 1", "two_person_levers: [roll_back], quorum: 1"),
            PEOPLE.replace("[ada, grace]", "[ada]"),
            "9: 1 can be asked, and it takes 2",
        ),
        (
            "escalation: {quorum: 1, expires_after: 2h}\n",
            PEOPLE,
            "9: nobody can be asked: `approvers` names no",
        ),
        (
            "breaker: {bad: 1, of_last: 2, open_for: 1d}\n",
            PEOPLE,
            "1: nobody can be asked: without `escalation`",
        ),
    ],
)
def test_questions_that_nobody_could_answer_are_remarked(org: str, people: str, remark: str) -> None:
    assert any(line.startswith(f"warning org.yaml:{remark}") for line in told(org, people=people))


def test_a_missing_file_of_people_means_that_nobody_can_be_asked() -> None:
    whole = {"org.yaml": file("org", ASKING), "agents/spike.yaml": file("agent")}
    assert [str(problem) for problem in check(whole)] == [
        "org.yaml:9: 0 can be asked, and it takes 1: nobody can lift what asks people"
    ]
