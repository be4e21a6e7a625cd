"""Which tests the quarantine file of a repository named, and what changes of it do to entries that stay."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quarantine_named",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False, comment="Hash of the test's identity"),
        sa.Column(
            "named_at", sa.BigInteger, nullable=False, comment="When the file was last seen to name it"
        ),
        sa.PrimaryKeyConstraint("repository", "key", name="pk_quarantine_named"),
    )
    op.add_column(
        "quarantine_changes",
        sa.Column(
            "amend",
            sa.Text,
            nullable=False,
            server_default="[]",
            comment="JSON list of entries that stay: test, expired, expires, masks that it gets",
        ),
    )
