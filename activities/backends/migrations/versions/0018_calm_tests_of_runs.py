"""What the infrastructure gate saw of a run, so that a part that comes late is judged with it."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "test_runs",
        sa.Column(
            "calm_failing",
            sa.Integer,
            comment="Calm tests whose first execution failed; NULL for an old run",
        ),
    )
    op.add_column(
        "test_runs",
        sa.Column("calm_both", sa.Integer, comment="Calm tests that failed and passed; NULL for an old run"),
    )
