"""What a release allows a controller that asks before each move."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "permits",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("percent", sa.Integer, nullable=False),
        sa.Column("checksum", sa.Text, nullable=False, comment="The revision that was let in"),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("service", "sha", name="pk_permits"),
    )
