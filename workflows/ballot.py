"""The votes on one question: who may cast one, and what they come to. Pure.

A vote names an account; the people who are asked, and no other list, say whose it is. Votes are counted by
person, one no is enough to reject, and whoever brought the trouble about has no vote on its repair.
"""

from datetime import datetime
from typing import Literal

from leverframe.model.untrusted import Untrusted
from policies.people import Group, Person
from policies.question import Question, VoteLine
from policies.reservations import CastVote
from workflows.messages import Vote, VoteRefusal


class Ballot:
    """Everything that was said on a question. It has no clock and no state of being closed."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._people = {
            account: person
            for group in question.terms.chain
            for person in group.members
            for account in person.accounts()
        }
        self._by_principal = {person.principal: person for person in self._people.values()}
        self.votes: list[CastVote] = []
        """In the order they came, one a person."""

    @property
    def verdict(self) -> Literal["open", "approved", "rejected"]:
        """What the votes come to so far."""
        if any(not vote.approve for vote in self.votes):
            return "rejected"
        if len(self.votes) >= self._question.terms.quorum:
            return "approved"
        return "open"

    def refusal(self, vote: Vote) -> tuple[VoteRefusal, str] | None:
        """Why the vote does not count, in a word and in a sentence; None when it does."""
        question = self._question
        if vote.request_digest != question.request_digest:
            return VoteRefusal.OTHER_EFFECT, "the vote is for something else than what is asked: look again"
        door, _, name = vote.account.partition(":")
        person = self._people.get(vote.account)
        names = ([name] if door == "login" else []) + ([person.principal] if person else [])
        if not all(is_person(each, agent=question.agent) for each in names):
            return VoteRefusal.NOT_A_PERSON, "a vote needs a person: agents and bots have none"
        if person is None:
            return self._stranger(vote.account)
        if person.is_among(question.requesters):
            said = f"{person.name} brought the trouble about: somebody else decides on its repair"
            return VoteRefusal.OWN_CHANGE, said
        earlier = self._earlier(person)
        if earlier is not None and earlier.approve != vote.approve:
            said = f"{person.name} has said {'yes' if earlier.approve else 'no'} already"
            return VoteRefusal.VOTED_OTHERWISE, said
        return None

    def cast(self, vote: Vote, now: datetime) -> None:
        """Count a vote that is not refused. The same person's same vote again changes nothing."""
        person = self._people[vote.account]
        if self._earlier(person) is None:
            cast = CastVote(
                principal=person.principal,
                account=vote.account,
                approve=vote.approve,
                reason=vote.reason,
                via=vote.via,
                at=now,
            )
            self.votes.append(cast)

    def missing(self, group: Group) -> tuple[Person, ...]:
        """Who of a group may still vote."""
        voted = {vote.principal for vote in self.votes}
        return tuple(
            person
            for person in group.members
            if person.principal not in voted and not person.is_among(self._question.requesters)
        )

    def words(self) -> str:
        """What the votes come to, in one line that is safe in a terminal."""
        quorum = self._question.terms.quorum
        yes = [self._name(vote) for vote in self.votes if vote.approve]
        match self.verdict:
            case "approved":
                return f"approved by {', '.join(yes)}"
            case "rejected":
                no = next(vote for vote in self.votes if not vote.approve)
                reason = Untrusted(no.reason).for_terminal(300)
                return f"rejected by {self._name(no)}" + (f": {reason}" if reason else "")
            case "open":
                by = f" ({', '.join(yes)})" if yes else ""
                return f"{len(yes)} of {quorum} approvals so far{by}"

    def lines(self) -> tuple[VoteLine, ...]:
        """The votes for display."""
        return tuple(
            VoteLine(
                name=self._name(vote), approve=vote.approve, reason=vote.reason, via=vote.via, at=vote.at
            )
            for vote in self.votes
        )

    def _stranger(self, account: str) -> tuple[VoteRefusal, str]:
        """An account that none of the people who are asked has."""
        shown = Untrusted(account).for_terminal(130)
        team = account.partition("/")[0]
        if account.startswith("slack:") and not any(known.startswith(f"{team}/") for known in self._people):
            return VoteRefusal.UNKNOWN_PERSON, f"nobody who is asked uses the workspace of {shown}"
        groups = ", ".join(dict.fromkeys(group.name for group in self._question.terms.chain))
        said = f"{shown} is the account of nobody who is asked ({groups}); people.yaml names their accounts"
        return VoteRefusal.NOT_ASKED, said

    def _earlier(self, person: Person) -> CastVote | None:
        return next((vote for vote in self.votes if vote.principal == person.principal), None)

    def _name(self, vote: CastVote) -> str:
        return Untrusted(self._by_principal[vote.principal].name).for_terminal(100)


def is_person(name: str, *, agent: str) -> bool:
    """Whether the name can be a person's: not blank, not the asking agent, not a bot or Leverframe."""
    folded = " ".join(name.split()).casefold()
    return (
        bool(folded)
        and folded != agent.casefold()
        and "leverframe" not in folded
        and not folded.endswith(("[bot]", "-bot"))
    )
