"""How often the forge refused issues of a change, so that others go first."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "quarantine_changes",
        sa.Column(
            "refusals",
            sa.Integer,
            nullable=False,
            server_default=sa.text("0"),
            comment="How often the forge refused to open or close them",
        ),
    )
