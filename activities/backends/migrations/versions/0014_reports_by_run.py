"""Reports are found by their run: the same run, uploaded and fetched, is one."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_test_reports_repository_run", "test_reports", ["repository", "run"])
