"""Whether the issues of a landed change of the quarantine file are opened and closed."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "quarantine_changes",
        sa.Column(
            "tracked",
            sa.Boolean,
            nullable=False,
            server_default=sa.true(),
            comment="False: issues of its tests are still to be opened or closed",
        ),
    )
