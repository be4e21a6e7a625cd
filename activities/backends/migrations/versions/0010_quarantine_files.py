"""The quarantine file of each repository, as a worker last read it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quarantine_files",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("sha", sa.Text, nullable=False, comment="The commit that had it"),
        sa.Column("content", sa.Text, nullable=False, comment="Empty when the commit had none"),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository", name="pk_quarantine_files"),
    )
