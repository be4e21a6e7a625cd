"""The notes of each release that reached 100 %."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "release_notes",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("live_at", sa.BigInteger, nullable=False),
        sa.Column("marked", sa.Text, nullable=False, comment="JSON: the marker and its notes"),
        sa.PrimaryKeyConstraint("service", "sha", name="pk_release_notes"),
    )
    op.create_index("ix_release_notes_service_live_at", "release_notes", ["service", "live_at"])
