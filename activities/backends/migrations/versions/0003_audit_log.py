"""The audit log of the policy ledger, and the policies that its decisions were made under."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False, comment="1, 2, 3 … without a gap"),
        sa.Column("hash", sa.Text, nullable=False, comment="SHA-256 over the record and its predecessor's"),
        sa.Column("line", sa.Text, nullable=False, comment="The whole record as canonical JSON, exactly"),
        sa.PrimaryKeyConstraint("organisation", "sequence", name="pk_audit"),
    )
    op.create_table(
        "policy_snapshots",
        sa.Column("organisation", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False, comment="Every document in force, as JSON"),
        sa.PrimaryKeyConstraint("organisation", "digest", name="pk_policy_snapshots"),
    )
