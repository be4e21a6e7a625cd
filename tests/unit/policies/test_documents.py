"""Policy files: what is read, and what is refused with its file and line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverframe.model.errors import BadConfiguration
from policies.documents import NO_POLICY, PolicyDocument, PolicySnapshot, parse, read_document

HEAD = "version: 1\nlayer: org\nautonomy: act\nkill_switch: false\n"


def refused(text: str, file: str = "org.yaml") -> str:
    """What the refusal of one file says."""
    with pytest.raises(BadConfiguration) as caught:
        parse({file: text})
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "kill_switch: true\n", 'org.yaml:5: found duplicate key "kill_switch"'),
        (HEAD + "levers:\n  rm_rf: {}\n", "org.yaml:6: levers.rm_rf: Extra inputs are not permitted"),
        (HEAD + "limits:\n  - {id: a, max: '2', window: 1h}\n", "org.yaml:6: limits.0.max"),
        (HEAD + "limits:\n  - {id: a, max: true, window: 1h}\n", "org.yaml:6: limits.0.max"),
        (HEAD + "limits:\n  - {id: a, max: 2}\n", "give exactly one of `window` and `hold`"),
        (HEAD + "limits:\n  - {id: a, max: 2, window: 90}\n", "write a duration as a whole number"),
        (HEAD + "limits:\n  - {id: a, max: 2, window: 99d}\n", "org.yaml:6: limits.0.window"),
        (HEAD + "limits:\n  - {id: a, window: 1h}\n", "limits.0.max: Field required"),
        (
            HEAD + "limits:\n  - {id: a, max: 1, window: 1h}\n  - {id: a, max: 2, window: 1h}\n",
            "the limit id `a` is used twice",
        ),
        (HEAD.replace("false", "no"), "org.yaml:4: kill_switch: Input should be a valid boolean"),
        (HEAD.replace("layer: org", "layer: repo"), "org.yaml:2: layer: the file's place says `org`"),
        ("version: 1\nlayer: org\n", "autonomy: Field required"),
        (HEAD + "levers: &a {}\nlimits: *a\n", "org.yaml:6: aliases are not allowed"),
        (HEAD + "a: [\n", "org.yaml:"),
        ("", "org.yaml:1: document"),
        ("[" * 1500, "org.yaml:1: the document is nested too deeply"),
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
