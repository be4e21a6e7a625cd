"""The marks of each test, as reports tell them: policy forbids to quarantine tests by their marks."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "tests",
        sa.Column("markers", sa.Text, comment="JSON list, sorted; NULL while no report told them"),
    )
