"""Who did it: flags, the release and commits, ranked by what the sampled errors say.

The scores are shares in parts per million, not probabilities: they order suspects and are compared with
one threshold each. A suspect below it is shown to people and not acted on.
"""

import re
from collections import defaultdict
from datetime import timedelta

from leverframe.model.facts import ErrorFacts, FlagState, LandedCommit
from leverframe.model.frozen import Frozen
from leverframe.model.proposals import Suspect

WHOLE = 1_000_000
STRONG_FLAG_PPM = 600_000
STRONG_RELEASE_PPM = 600_000
STRONG_COMMIT_PPM = 400_000
_FLAG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""What an effect can name."""
_SHORTEST_NAME = 4
"""Letters of a flag's name below which finding it in a path is chance."""
_FRAMES = 5
_FRAME_WEIGHT = 0.6
"""Each frame further from the crash counts this much less."""
_BEGAN_WITH_RELEASE = 0.7
_BEGAN_UNDER_A_FLAG = 0.5
"""Of a release that landed shortly before, when a flag tells the errors apart: the flag explains them."""
_OLDER_THAN_RELEASE = 0.3
_BEGINS_WITHIN = timedelta(hours=6)
"""A release takes hours through its canary; errors that begin later than this began by themselves."""
_RECENTLY = timedelta(days=1)
"""A flag switched within this long before the first error is the likelier cause."""
_OUT_OF_WINDOW = 0.5
_UNLISTED = 0.2


class Suspects(Frozen):
    """Every suspect, strongest first within its kind."""

    flags: tuple[Suspect, ...] = ()
    release: Suspect | None = None
    commits: tuple[Suspect, ...] = ()

    @property
    def all(self) -> tuple[Suspect, ...]:
        """Strongest first; on equal scores the faster lever first."""
        release = (self.release,) if self.release else ()
        return tuple(sorted((*self.flags, *release, *self.commits), key=lambda suspect: -suspect.score_ppm))

    @property
    def flag(self) -> Suspect | None:
        """The flag to act on, if one is strong."""
        return self.flags[0] if self.flags and self.flags[0].score_ppm >= STRONG_FLAG_PPM else None

    @property
    def bad_release(self) -> Suspect | None:
        """The release to act on, if it is strong."""
        strong = self.release and self.release.score_ppm >= STRONG_RELEASE_PPM
        return self.release if strong else None

    @property
    def commit(self) -> Suspect | None:
        """The commit to act on, if one is strong."""
        return self.commits[0] if self.commits and self.commits[0].score_ppm >= STRONG_COMMIT_PPM else None


def rank(facts: ErrorFacts) -> Suspects:
    """All suspects that the facts name."""
    flags = rank_flags(facts)
    dormant = bool(flags) and flags[0].score_ppm >= STRONG_FLAG_PPM
    release = judge_release(facts, flagged=dormant)
    return Suspects(flags=flags, release=release, commits=rank_commits(facts, dormant=dormant))


def rank_flags(facts: ErrorFacts) -> tuple[Suspect, ...]:
    """Flags that are on now, safe to switch off, and were on when the errors happened.

    The score is the share of sampled errors with the flag on, divided among the flags that were on about
    as often: two flags that are always on together accuse each other, unless one has more against it: the
    crash path is named after it, or it was switched on shortly before the errors began.
    """
    if not facts.sampled:
        return ()
    states = {state.flag: state for state in facts.flag_states}
    errors: dict[str, int] = defaultdict(int)
    for seen in facts.flags:
        state = states.get(seen.flag)
        if seen.value and state and state.on and state.kill and _FLAG_NAME.fullmatch(seen.flag):
            errors[seen.flag] += seen.errors
    shares = {flag: min(1.0, count / facts.sampled) for flag, count in errors.items()}
    ranked = []
    against = {flag: _against(facts, states[flag]) for flag in shares}
    for flag, share in shares.items():
        rivals = sum(
            1
            for other in shares
            if shares[other] >= 0.9 * share and len(against[other]) >= len(against[flag])
        )
        why = "; ".join((f"on in {share:.0%} of {facts.sampled} sampled errors, and on now", *against[flag]))
        if rivals > 1:
            why += f"; it shares the suspicion with {rivals - 1} more"
        ranked.append(Suspect(kind="flag", name=flag, score_ppm=int(share / rivals * WHOLE), why=why))
    return tuple(sorted(ranked, key=lambda suspect: (-suspect.score_ppm, suspect.name)))


def _against(facts: ErrorFacts, state: FlagState) -> tuple[str, ...]:
    """What singles a flag out among those that were on as often, in words."""
    found = []
    if _names(facts, state.flag):
        found.append("the crash path is named after it")
    switched = state.changed_at
    if switched is not None and timedelta(0) <= facts.first_at - switched <= _RECENTLY:
        found.append("switched on shortly before")
    return tuple(found)


def judge_release(facts: ErrorFacts, *, flagged: bool) -> Suspect | None:
    """Whether the live release is to blame: its share of errors, and whether the group came with it.

    All traffic runs on the live release, so a high share alone says little: it counts fully only when a
    line on the crash path came with this release, and less when the errors merely began soon after it, least
    of all when a flag explains that (`flagged`).
    """
    total = sum(seen.errors for seen in facts.releases)
    if not total:
        return None
    share = sum(seen.errors for seen in facts.releases if seen.sha == facts.live) / total
    if not share:
        return None
    window = since_previous(facts)
    live = next((commit for commit in facts.commits if commit.sha == facts.live), None)
    if any(frame.blamed in window for frame in facts.frames[:_FRAMES] if frame.blamed):
        weight, why = 1.0, "a line on the crash path came with it"
    elif live is not None and timedelta(0) <= facts.first_at - live.landed_at <= _BEGINS_WITHIN:
        weight, why = _BEGAN_WITH_RELEASE, "the errors began soon after it landed"
        if flagged:
            weight, why = _BEGAN_UNDER_A_FLAG, f"{why}, but with a flag on"
    else:
        weight, why = _OLDER_THAN_RELEASE, "nothing on the crash path came with it"
    return Suspect(
        kind="release",
        name=facts.live,
        score_ppm=int(share * weight * WHOLE),
        why=f"live for {share:.0%} of {total} errors that name a release; {why}",
    )


def rank_commits(facts: ErrorFacts, *, dormant: bool) -> tuple[Suspect, ...]:
    """Commits that last changed the lines of the crash path, the crash frame weighing most.

    `dormant`: a flag kept the code asleep, so it doesn't matter how long ago the commit landed.
    """
    weights: dict[str, float] = defaultdict(float)
    nearest: dict[str, int] = {}
    for depth, frame in enumerate(facts.frames[:_FRAMES]):
        if frame.blamed:
            weights[frame.blamed] += _FRAME_WEIGHT**depth
            nearest.setdefault(frame.blamed, depth)
    whole = sum(weights.values())
    window = since_previous(facts)
    known = {commit.sha: commit for commit in facts.commits}
    ranked = []
    for sha, weight in weights.items():
        where = "the crash frame's line" if nearest[sha] == 0 else f"frame {nearest[sha] + 1}'s line"
        age, when = _age(sha, window, known, dormant=dormant)
        made = "; made by an agent" if sha in known and known[sha].by_agent else ""
        ranked.append(
            Suspect(
                kind="commit",
                name=sha,
                score_ppm=int(weight / whole * age * WHOLE),
                why=f"last changed {where}; {when}{made}",
            )
        )
    return tuple(sorted(ranked, key=lambda suspect: (-suspect.score_ppm, nearest[suspect.name])))


def short(suspect: Suspect) -> str:
    """The suspect's name for people: a SHA's first twelve digits."""
    return suspect.name if suspect.kind == "flag" else suspect.name[:12]


def made_by_agent(facts: ErrorFacts, sha: str) -> bool:
    """Whether a commit on the target branch was made by an agent."""
    return any(commit.by_agent for commit in facts.commits if commit.sha == sha)


def is_first(facts: ErrorFacts, sha: str) -> bool:
    """Whether a commit is the repository's first one, which nothing stood before."""
    return any(commit.first for commit in facts.commits if commit.sha == sha)


def _names(facts: ErrorFacts, flag: str) -> bool:
    """Whether a path or function on the crash path carries the flag's name, whatever parts its words."""
    wanted = _plain(flag)
    told = (f"{frame.path} {frame.function.for_terminal()}" for frame in facts.frames[:_FRAMES])
    return len(wanted) >= _SHORTEST_NAME and any(wanted in _plain(text) for text in told)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _age(
    sha: str, window: frozenset[str], known: dict[str, LandedCommit], *, dormant: bool
) -> tuple[float, str]:
    if sha in window:
        return 1.0, "new in the live release"
    if sha not in known:
        return _UNLISTED, "landed long ago"
    if dormant:
        return 1.0, "landed earlier, behind the flag"
    return _OUT_OF_WINDOW, "landed before the live release"


def since_previous(facts: ErrorFacts) -> frozenset[str]:
    """The commits that the live release has and the previous one has not, as far as they are listed."""
    shas = [commit.sha for commit in facts.commits]
    if facts.live not in shas or facts.previous is None:
        return frozenset()
    since_live = shas[shas.index(facts.live) :]
    if facts.previous not in since_live:
        return frozenset(since_live)
    return frozenset(since_live[: since_live.index(facts.previous)])
