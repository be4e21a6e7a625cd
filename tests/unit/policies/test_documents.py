"""Policy files: what is read, and what is refused with its file and line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverframe.model.errors import BadConfiguration
from policies.documents import NO_POLICY, People, PolicyDocument, PolicySnapshot, parse, read_document

HEAD = "version: 1\nlayer: org\nautonomy: act\nkill_switch: false\n"


def freeze(fields: str) -> str:
    """A freeze on the sixth line."""
    return f"freeze:\n  - {{id: a, reason: b, {fields}}}\n"


def paths(glob: str) -> str:
    """A denied path."""
    return f"levers: {{open_merge_request: {{paths: {{deny: [{glob}]}}}}}}\n"


def refused(text: str, file: str = "org.yaml") -> str:
    """What the refusal of one file says."""
    with pytest.raises(BadConfiguration) as caught:
        parse({file: text})
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "kill_switch: true\n", 'org.yaml:5: found duplicate key "kill_switch"'),
        (HEAD + "levers:\n  rm_rf: {}\n", "org.yaml:6: levers.rm_rf: there is no such key"),
        (HEAD + "limits:\n  - {id: a, max: '2', window: 1h}\n", "org.yaml:6: limits.0.max"),
        (HEAD + "limits:\n  - {id: a, max: true, window: 1h}\n", "org.yaml:6: limits.0.max"),
        (HEAD + "limits:\n  - {id: a, max: 2}\n", "give exactly one of `window` and `hold`"),
        (HEAD + "limits:\n  - {id: a, max: 2, window: 90}\n", "write a duration as a whole number"),
        (HEAD + "limits:\n  - {id: a, max: 2, window: 99d}\n", "org.yaml:6: limits.0.window"),
        (HEAD + "escalation: {quorum: 1, expires_after: 8d}\n", "org.yaml:5: escalation.expires_after"),
        (HEAD + "limits:\n  - {id: a, window: 1h}\n", "limits.0.max: it is required, and missing"),
        (
            HEAD + "limits:\n  - {id: a, max: 1, window: 1h}\n  - {id: a, max: 2, window: 1h}\n",
            "the limit id `a` is used twice",
        ),
        (HEAD.replace("false", "no"), "org.yaml:4: kill_switch: write true or false"),
        (HEAD.replace("layer: org", "layer: repo"), "org.yaml:2: layer: the file's place says `org`"),
        ("version: 1\nlayer: org\n", "autonomy: it is required, and missing"),
        (HEAD + "levers: &a {}\nlimits: *a\n", "org.yaml:6: aliases are not allowed"),
        (HEAD + "a: [\n", "org.yaml:"),
        ("", "org.yaml:1: document"),
        (HEAD + "1: a\n", "org.yaml:5: the key 1 is not a word"),
        (HEAD + "limits:\n  - {id: a, max: -1, window: 1h}\n", "at least 0, or `unlimited`"),
        (HEAD + "limits:\n  - {id: a, max: infinite, window: 1h}\n", "at least 0, or `unlimited`"),
        (HEAD + "limits:\n  - {id: a, max: 1.5, window: 1h}\n", "at least 0, or `unlimited`"),
        (
            HEAD + "levers:\n  flip_flag:\n    direction: {up: act}\n",
            "org.yaml:7: levers.flip_flag.direction.up: ",
        ),
        (HEAD + freeze("cron: '0 18 * *', duration: 1h"), "org.yaml:6: freeze.0.cron: write five fields"),
        (
            HEAD + freeze("cron: '0 25 * * *', duration: 1h"),
            "freeze.0.cron: not a calendar expression: bad hour",
        ),
        (HEAD + freeze("cron: '0 0 31 2 *', duration: 1h"), "org.yaml:6: freeze.0.cron: not a calendar"),
        (HEAD + freeze("cron: '* * * * * *', duration: 1h"), "freeze.0.cron: write five fields"),
        (
            HEAD + freeze("cron: '0 18 * * *', duration: 1h, tz: Mars/North"),
            "org.yaml:6: freeze.0.tz: no such",
        ),
        (HEAD + freeze("cron: '0 18 * * *', duration: 1h, tz: ../secret"), "freeze.0.tz: no such time zone"),
        (HEAD + freeze("cron: '0 18 * * *', duration: 1h, tz: localtime"), "freeze.0.tz: no such time zone"),
        (HEAD + freeze("cron: '0 18 * * *'"), "give `cron` and `duration`, or `since` and `until`"),
        (HEAD + freeze("since: 2026-03-02, until: 2026-03-03"), "freeze.0.since"),
        (HEAD + freeze("since: 2026-03-02T00:00:00, until: 2026-03-03T00:00:00"), "need a time zone"),
        (HEAD + freeze("since: 2026-03-03T00:00:00Z, until: 2026-03-03T00:00:00Z"), "must be before"),
        (HEAD + paths("'/shop/**'"), "levers.open_merge_request.paths.deny.0: write paths from"),
        (HEAD + paths("shop/"), "write paths from the repository's root"),
        (HEAD + paths("shop/../x"), "write paths from the repository's root"),
        (HEAD + paths("'*.{yml,yaml}'"), "are the only wildcards"),
        (HEAD + paths("'**/a/**/b/**'"), "looking at hostile paths takes too long"),
        (HEAD + paths("'*a*b*'"), "looking at hostile paths takes too long"),
        (HEAD + "breaker: {bad: 4, of_last: 3, open_for: 1d}\n", "`bad` can't exceed `of_last`"),
        (HEAD + "breaker: {bad: 1, of_last: 3, open_for: 1d, bad_outcomes: [landed]}\n", "the good outcome"),
        (HEAD + "storm: {window: 1h}\n", "`window` and `max_subjects` belong together"),
        ("[" * 51, "org.yaml:1: the document is nested too deeply"),
        ("[{" * 20_000, "org.yaml:1: the document is nested too deeply"),
        (
            "\n".join("  " * depth + "a:" for depth in range(250)),
            "org.yaml:1: the document is nested too deeply",
        ),
        ("[]" * 51, "org.yaml:1: "),
        ("# " + "x" * 70_000, "org.yaml:1: the file is larger than 65536 bytes"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_what_is_wrong(text: str, said: str) -> None:
    assert said in refused(text)


@pytest.mark.parametrize("file", ["repo/shop.yaml", "org.yml", "agents/../org.yaml", "agents/A.yaml"])
def test_a_file_in_no_known_place_is_refused(file: str) -> None:
    assert f"{file}:1: policies are org.yaml" in refused(HEAD, file)


def test_every_problem_of_every_file_is_told_at_once() -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse({"org.yaml": HEAD + "a: 1\nb: 2\n", "agents/x.yaml": "version: 1\n"})
    lines = str(caught.value).splitlines()
    assert [line.strip().split(":")[0] for line in lines[1:]] == ["agents/x.yaml"] * 3 + ["org.yaml"] * 2


def test_words_that_other_yaml_versions_take_for_booleans_stay_words() -> None:
    document = parse({"org.yaml": HEAD.replace("autonomy: act", "autonomy: off")}).documents[0]
    assert document.rules.autonomy.value == "off"


def test_the_digest_names_the_rules_and_not_their_layout() -> None:
    plain = parse({"org.yaml": HEAD})
    spaced = parse({"org.yaml": "# why\n\n" + HEAD})
    other = parse({"org.yaml": HEAD.replace("false", "true")})
    assert plain.digest == spaced.digest
    assert len({plain.digest, other.digest, NO_POLICY.digest}) == 3


def test_a_snapshot_survives_its_journey_as_json() -> None:
    limits = "limits:\n  - {id: a, max: unlimited, window: 90s}\n  - {id: b, max: 0, hold: until_settled}\n"
    snapshot = parse({"org.yaml": HEAD + limits + "escalation: {quorum: 2, expires_after: 8h}\n"})
    assert PolicySnapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


def test_a_rule_knows_the_line_it_stands_on() -> None:
    text = HEAD + "limits:\n  - id: a\n    max: 1\n    window: 1h\n  - id: b\n    max: 1\n    window: 1h\n"
    document = parse({"org.yaml": text}).documents[0]
    assert document.source("limits", 1) == "org.yaml:9"
    assert document.source("limits", 1, "nothing") == "org.yaml:9"


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_any_text_is_either_a_document_or_a_problem_with_a_line(text: str) -> None:
    outcome = read_document("org.yaml", text)
    if isinstance(outcome, PolicyDocument):
        assert parse({"org.yaml": text}).documents == (outcome,)
    else:
        assert outcome[0].message
        assert outcome[0].line >= 1


PEOPLE = """version: 1
people:
  ada: {name: Ada, slack: [T0123ABC/U0456DEF], logins: [ada], git: [Ada@Example.com]}
  grace: {name: Grace}
groups:
  oncall: [ada]
  leads: [grace]
  nobody: []
"""


def asking(layer: str, approvers: str) -> str:
    """A file whose approvers are named in its sixth line."""
    return (
        f"version: 1\nlayer: {layer}\nautonomy: act\nkill_switch: false\n"
        f"escalation:\n  approvers: [{approvers}]\n  quorum: 1\n  expires_after: 1h\n"
    )


def wrong(files: dict[str, str]) -> list[str]:
    """The problems of these files and of people.yaml."""
    with pytest.raises(BadConfiguration) as caught:
        parse({"people.yaml": PEOPLE, **files})
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_people_belong_to_groups_with_their_accounts() -> None:
    people = parse({"people.yaml": PEOPLE}).people
    oncall = people.group("oncall")
    assert oncall is not None
    assert oncall.members[0].accounts() == {"login:ada", "slack:T0123ABC/U0456DEF"}
    assert oncall.members[0].git == ("ada@example.com",)
    assert people.members(["oncall", "leads", "unknown"]) == {"ada", "grace"}
    assert people.group("unknown") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PEOPLE.replace("leads: [grace]", "leads: [grace, linus]"), "there is nobody named linus"),
        (
            PEOPLE.replace("leads: [grace]", "leads: [grace, grace]"),
            "people.yaml:7: groups.leads: grace is named twice",
        ),
        (PEOPLE.replace("{name: Grace}", "{name: Grace, logins: [ada]}"), "login:ada belongs to ada already"),
        (
            PEOPLE.replace("{name: Grace}", "{name: Grace, slack: [T0123ABC/U0456DEF]}"),
            "people.yaml:4: slack:T0123ABC/U0456DEF belongs to ada already",
        ),
        (PEOPLE.replace("T0123ABC/U0456DEF", "ada@example.com"), "people.yaml:3: people.ada.slack.0"),
        (PEOPLE.replace("name: Grace", "email: g@example.com"), "people.grace.email: there is no such key"),
    ],
)
def test_people_who_are_not_told_apart_are_refused(text: str, said: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse({"people.yaml": text})
    assert said in str(caught.value)


def test_approvers_must_be_groups_that_exist() -> None:
    assert wrong({"org.yaml": asking("org", "oncall, leeds")}) == [
        "org.yaml:6: escalation.approvers: people.yaml has no group leeds"
    ]


def test_files_that_agree_on_nobody_are_refused_where_the_narrower_one_says_it() -> None:
    org, repo = asking("org", "oncall"), asking("repo", "leads")
    agent = asking("agent", "oncall, leads")
    assert wrong({"org.yaml": org, "repos/shop.yaml": repo, "agents/spike.yaml": agent}) == [
        "repos/shop.yaml:6: escalation.approvers: nobody is allowed both here and by org.yaml"
    ]


def test_a_repository_and_an_agent_that_only_the_organisation_brings_together_are_refused() -> None:
    files = {
        "org.yaml": asking("org", "oncall, leads"),
        "repos/shop.yaml": asking("repo", "leads"),
        "agents/spike.yaml": asking("agent", "oncall"),
    }
    problem = "agents/spike.yaml:6: escalation.approvers: nobody is allowed both here and by "
    assert wrong(files) == [problem + "org.yaml and repos/shop.yaml"]


def test_groups_without_members_and_a_missing_file_of_people_are_no_error() -> None:
    files = {"org.yaml": asking("org", "nobody"), "agents/spike.yaml": asking("agent", "oncall")}
    assert len(parse({"people.yaml": PEOPLE, **files}).documents) == 2
    assert parse(files).people == People()


def test_a_broken_file_of_people_is_told_once_and_not_blamed_on_the_approvers() -> None:
    with pytest.raises(BadConfiguration) as caught:
        parse({"org.yaml": asking("org", "oncall"), "people.yaml": "version: 2\n"})
    assert "has no group" not in str(caught.value)


def test_more_files_than_are_kept_together_are_refused() -> None:
    files = {f"repos/r{number}.yaml": HEAD.replace("org", "repo") for number in range(201)}
    with pytest.raises(BadConfiguration, match="at most 200 are kept together"):
        parse(files)


def test_the_digest_names_the_people_too() -> None:
    before, after = parse({"people.yaml": PEOPLE}), parse({"people.yaml": PEOPLE.replace("[grace]", "[ada]")})
    assert before.digest != after.digest
