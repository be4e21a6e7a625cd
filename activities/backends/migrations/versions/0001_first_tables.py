"""The first tables: error events, changes with their checks and comments, and posted approvals."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "error_events",
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("second", sa.Integer, nullable=False, comment="Unix time, seconds"),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("flags", sa.Text, nullable=False, comment="JSON list of [name, value]"),
        sa.Column(
            "payload", sa.LargeBinary, comment="zlib JSON of the scrubbed event; NULL when sampled out"
        ),
        sa.Column("batch", sa.Text, comment="The batch that carried the event to the engine"),
        sa.Column("delivered_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("event_id", "project", name="pk_error_events"),
    )
    op.create_index(
        "ix_error_events_service_subject_received_at", "error_events", ["service", "subject", "received_at"]
    )
    op.create_index("ix_error_events_delivered_at_batch", "error_events", ["delivered_at", "batch"])
    op.create_table(
        "changes",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("author_kind", sa.Text, nullable=False),
        sa.Column("author_name", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("landed_as", sa.Text),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
        sa.UniqueConstraint("repository", "branch", name="uq_changes_repository_branch"),
        sa.UniqueConstraint("repository", "number", name="uq_changes_repository_number"),
    )
    op.create_table(
        "checks",
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("log", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("sha", "name", name="pk_checks"),
    )
    op.create_table(
        "comments",
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("change_id", "key", name="pk_comments"),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("posted_at", sa.BigInteger, nullable=False),
        sa.Column("closed_text", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_approvals"),
    )
