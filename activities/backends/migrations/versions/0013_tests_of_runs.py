"""Which tests a run had, so that a report that comes late can add the others."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "test_runs",
        sa.Column("present", sa.LargeBinary, comment="A byte for each test, zlib; NULL for an old run"),
    )
    op.add_column(
        "test_runs",
        sa.Column("part_of", sa.Integer, comment="The number of the run that this is a late part of"),
    )
