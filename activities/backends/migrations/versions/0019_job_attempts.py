"""Attempts of CI's jobs: which failed and passed at one commit."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_attempts",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False, comment="github, gitlab or car"),
        sa.Column("id", sa.Text, nullable=False, comment="Of the execution, at its source"),
        sa.Column("run", sa.Text, nullable=False, comment="What attempts of one job have in common"),
        sa.Column("job", sa.Text, nullable=False, comment="Its name; data from outside"),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("branch", sa.Text, nullable=False, comment="Data from outside"),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("conclusion", sa.Text, nullable=False, comment="pass or fail"),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository", "source", "id", name="pk_job_attempts"),
    )
    op.create_index("ix_job_attempts_repository_ended_at", "job_attempts", ["repository", "ended_at"])
    op.create_index("ix_job_attempts_ended_at", "job_attempts", ["ended_at"])
