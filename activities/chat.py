"""Asking people: the question goes out through the chat port, the answer comes back as an Update."""

from temporalio import activity

from activities.failures import typed_failures
from activities.ports import Chat
from leverframe.model.frozen import Frozen, Instant


class PostApproval(Frozen):
    """A question to show to people."""

    approval: str
    """The approval's workflow id: where the answer goes."""
    title: str
    body: str
    """Markdown, already safe."""
    expires_at: Instant


class CloseApproval(Frozen):
    """How a question ended."""

    approval: str
    text: str


class ChatActivities:
    """Runs on the hands queue. Both are idempotent by the approval's id."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    @activity.defn(name="post_approval")
    @typed_failures
    def post_approval(self, request: PostApproval) -> str:
        """Show the question; returns where it can be answered."""
        return self._chat.post_approval(
            request.approval, title=request.title, body=request.body, expires_at=request.expires_at
        )

    @activity.defn(name="close_approval")
    @typed_failures
    def close_approval(self, request: CloseApproval) -> None:
        """Say how the question ended where it was shown."""
        self._chat.close_approval(request.approval, text=request.text)
