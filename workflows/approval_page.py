"""The page of a question in the Temporal UI, in Markdown: what would happen, and why people are asked."""

from leverframe.model.differences import TreeDifference
from leverframe.model.proposals import ChangeQuarantine, Effect
from leverframe.model.untrusted import Untrusted
from policies.explain import amended_words, effect_words, sentence
from policies.reservations import CastVote
from workflows.messages import QuestionStanding
from workflows.run_story import evidence_table

_PATHS = 20


def page(standing: QuestionStanding) -> str:
    """The whole page. Everything that may carry outside text is opened for Markdown."""
    question = standing.question
    findings = "\n".join(f"- {_plain(sentence(finding))}" for finding in question.findings)
    groups = ", ".join(dict.fromkeys(group.name for group in question.terms.chain))
    quorum = question.terms.quorum
    effect = Untrusted(question.effect.model_dump_json(indent=2)).for_markdown_block(8000)
    parts = [
        f"**{standing.state}**: {_plain(standing.standing)}",
        f"# {_plain(question.title)}",
        f"If {quorum} of you {'approve' if quorum > 1 else 'approves'}, Leverframe will "
        f"{_plain(effect_words(question.effect))}.",
        f"**Why:** {_plain(question.why)} **Undo:** {_plain(question.reversibility)}",
        f"Open until {question.expires_at:%Y-%m-%d %H:%M:%S %Z}; silence means no. "
        f"Asked are the members of {_plain(groups)}.",
        f"## Why you are asked\n\n{findings}",
        f"## The error\n\n{question.error.for_markdown()}",
        f"## Evidence\n\n{evidence_table(question.evidence)}",
        *_amended(question.effect),
        f"## The exact effect\n\n{effect}\n\nDigest `{question.request_digest}`.",
    ]
    if question.difference is not None:
        parts.append("## What changes in the repository\n\n" + _difference(question.difference))
    if standing.votes:
        said = "\n".join(_vote(vote) for vote in standing.votes)
        parts.append(f"## Votes\n\n{said}")
    return "\n\n".join(parts)


def _amended(effect: Effect) -> list[str]:
    """Entries of a quarantine file that stay and change, each with what one needs to decide on it."""
    if not isinstance(effect, ChangeQuarantine) or not effect.amend:
        return []
    return [
        "## The tests\n\n" + "\n".join(f"- {_plain(amended_words(one))}" for one in effect.amend[:_PATHS])
    ]


def _difference(difference: TreeDifference) -> str:
    """The size, and the first paths."""
    added = sum(file.added for file in difference.files)
    removed = sum(file.removed for file in difference.files)
    rows = [
        f"| {_plain(file.path)} | {file.change} | {file.added} | {file.removed} |"
        for file in difference.files[:_PATHS]
    ]
    more = difference.total_files - len(rows)
    size = f"{difference.total_files} files, {added:,} lines added and {removed:,} removed."
    table = "\n".join(["| path | change | + | − |", "|---|---|--:|--:|", *rows])
    return f"{size}\n\n{table}" + (f"\n\n… and {more} more." if more else "")


def _vote(vote: CastVote) -> str:
    said = f"- {_plain(vote.principal)}: {'yes' if vote.approve else 'no'} by {vote.via}"
    return f"{said}: {_plain(vote.reason)}" if vote.reason else said


def _plain(text: str) -> str:
    return Untrusted(text).for_markdown(600)
