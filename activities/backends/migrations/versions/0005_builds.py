"""What each commit was built as."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "builds",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False, comment="Of a tar, in the artifact directory"),
        sa.Column("image", sa.Text, nullable=False, comment="Of an image, in its registry"),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository", "sha", name="pk_builds"),
    )
