"""Executions are found by their commit: one that git does not have is not asked of again."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_test_executions_repository_sha", "test_executions", ["repository", "sha"])
