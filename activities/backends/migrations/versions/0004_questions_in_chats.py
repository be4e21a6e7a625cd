"""Questions as chats show them, the messages they are in, and the clicks that answer them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("approvals")
    op.create_table(
        "chat_cards",
        sa.Column("id", sa.Text, nullable=False, comment="Opaque: what a button carries"),
        sa.Column("chat", sa.Text, nullable=False, comment="terminal, or slack and the workspace"),
        sa.Column("approval", sa.Text, nullable=False),
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("question", sa.Text, nullable=False, comment="JSON, exactly as it was asked"),
        sa.Column("held", sa.Boolean, nullable=False, comment="Kept for the group's next digest"),
        sa.Column("message", sa.Text, comment="The message that shows it"),
        sa.Column("kept_at", sa.BigInteger, nullable=False),
        sa.Column("ending", sa.Text, comment="JSON of how it ended; NULL while it waits for an answer"),
        sa.PrimaryKeyConstraint("id", name="pk_chat_cards"),
        sa.UniqueConstraint("chat", "approval", "group_name", name="uq_chat_cards_chat_approval_group_name"),
    )
    op.create_index("ix_chat_cards_message", "chat_cards", ["message"])
    op.create_index("ix_chat_cards_chat_ending_kept_at", "chat_cards", ["chat", "ending", "kept_at"])
    op.create_table(
        "chat_notices",
        sa.Column("chat", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("told_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("chat", "key", name="pk_chat_notices"),
    )
    op.create_table(
        "slack_messages",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("batch", sa.Text, nullable=False, comment="What its questions have in common"),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("claimed_at", sa.BigInteger, comment="Since when a process tries to post it"),
        sa.Column("ts", sa.Text, comment="Slack's name of the message; NULL until it is posted"),
        sa.Column("drawn", sa.Text, comment="Hash of what it shows"),
        sa.PrimaryKeyConstraint("id", name="pk_slack_messages"),
    )
    op.create_index(
        "ix_slack_messages_channel_group_name_batch_opened_at",
        "slack_messages",
        ["channel", "group_name", "batch", "opened_at"],
    )
    op.create_table(
        "slack_clicks",
        sa.Column("id", sa.Text, nullable=False, comment="What two deliveries of one click have in common"),
        sa.Column("click", sa.Text, nullable=False, comment="JSON"),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_slack_clicks"),
    )
    op.create_index("ix_slack_clicks_done_at_received_at", "slack_clicks", ["done_at", "received_at"])
