"""Search attributes: how a person finds runs in the Temporal UI. Registered by `doctor --fix` and `up`."""

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

AGENT = SearchAttributeKey.for_keyword("LeverframeAgent")
REPOSITORY = SearchAttributeKey.for_keyword("LeverframeRepository")
SUBJECT = SearchAttributeKey.for_keyword("LeverframeSubject")
VERDICT = SearchAttributeKey.for_keyword("LeverframeVerdict")
OUTCOME = SearchAttributeKey.for_keyword("LeverframeOutcome")

ALL = (AGENT, REPOSITORY, SUBJECT, VERDICT, OUTCOME)


def about(*, agent: str = "", repository: str = "", subject: str = "") -> TypedSearchAttributes:
    """The attributes known when a workflow starts; empty ones are left out."""
    given = ((AGENT, agent), (REPOSITORY, repository), (SUBJECT, subject))
    return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in given if value])
