"""What became of each release and who moved production's overlay by hand, for the delivery figures."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deployments",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False, comment="Of the receipt"),
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("author_kind", sa.Text, nullable=False),
        sa.Column("author_name", sa.Text, nullable=False),
        sa.Column("committed_at", sa.BigInteger, comment="The oldest commit's, by its author's clock"),
        sa.Column("opened_at", sa.BigInteger),
        sa.Column("landed_at", sa.BigInteger, nullable=False),
        sa.Column("rework", sa.Text, comment="Why it was not planned; NULL when it was"),
        sa.Column("reverts", sa.Text),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("replaced", sa.Text, comment="What was stable when it entered production"),
        sa.Column("entered_at", sa.BigInteger),
        sa.Column("live_at", sa.BigInteger),
        sa.Column("recovered_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger, comment="NULL while it is on its way"),
        sa.Column("outcome", sa.Text),
        sa.Column("reached_percent", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("service", "sha", name="pk_deployments"),
    )
    op.create_table(
        "repointings",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("landed_as", sa.Text, nullable=False, comment="The commit that moved the overlay"),
        sa.Column("named", sa.Text, nullable=False),
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("author_kind", sa.Text, nullable=False),
        sa.Column("author_name", sa.Text, nullable=False),
        sa.Column("landed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("service", "landed_as", name="pk_repointings"),
    )
