"""The guide to policies shows what really can be written, and answers that really come."""

import json
import re
from pathlib import Path

from typer.testing import CliRunner

from leverframe.cli.main import app
from policies.check import check
from policies.documents import parse

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/how-to/write-a-policy.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


def shown() -> dict[str, str]:
    """The sections of the guide as one policy, with an agent that may do as much."""
    *sections, people = blocks("yaml")
    org = "".join(sections)
    agent = org.replace("layer: org", "layer: agent")
    return {"org.yaml": org, "agents/sentry_spike.yaml": agent, "people.yaml": people}


def test_the_sections_of_the_guide_together_are_a_policy() -> None:
    files = shown()
    assert "# people.yaml" in files["people.yaml"]
    assert [problem for problem in check(files) if problem.severity == "error"] == []
    assert [document.name for document in parse(files).documents] == ["agents.sentry_spike", "org"]


def test_the_guide_shows_every_section_that_there_is() -> None:
    org = next(document for document in parse(shown()).documents if document.name == "org")
    assert set(type(org.rules).model_fields) == org.rules.model_fields_set


def test_the_answer_in_the_guide_is_the_one_that_comes() -> None:
    [answer] = blocks("json")
    command = next(line for line in GUIDE.splitlines() if "--proposal" in line and line.endswith("\\"))
    options = (
        f"{command.rstrip(chr(92))} {GUIDE[GUIDE.index(command) + len(command) :].splitlines()[1]}".split()
    )
    arguments = [part.replace("examples/", f"{ROOT}/examples/") for part in options[1:]]
    arguments[arguments.index("policies/")] = str(ROOT / "policies/defaults")
    said = json.loads(CliRunner().invoke(app, arguments).stdout)
    expected = json.loads(answer)
    assert said | {"policy_digest": "…"} == expected | {"findings": said["findings"]}
    [got], [wanted] = said["findings"], expected["findings"]
    assert got | {"source": ""} == wanted | {"source": ""}
