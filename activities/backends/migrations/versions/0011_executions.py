"""Fresh executions of single tests: what was asked, what came of it, and what it says of causes."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "test_executions",
        sa.Column("id", sa.Text, nullable=False, comment="16 hex digits of what is asked"),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, comment="Of the test"),
        sa.Column("purpose", sa.Text, nullable=False, comment="recheck, probe or night"),
        sa.Column(
            "series",
            sa.Text,
            nullable=False,
            comment="The run, the discordant run's number, or the day: what is folded together",
        ),
        sa.Column("place", sa.Integer, nullable=False, comment="0, 1, 2 … within the series of the test"),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("check_name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("executions", sa.Integer, nullable=False),
        sa.Column("until_pass", sa.Boolean, nullable=False),
        sa.Column("noise", sa.Float, nullable=False, comment="The bound that was known before it was asked"),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Integer, nullable=False, comment="Days since the Unix epoch, UTC, when asked"),
        sa.Column("spent", sa.Integer, nullable=False, comment="Executions that count for the day"),
        sa.Column("outcome", sa.Text, comment="done, unfit or expired; NULL until then"),
        sa.Column("done_at", sa.BigInteger),
        sa.Column("folded_at", sa.BigInteger),
        sa.Column("passes", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("fingerprints", sa.Text, nullable=False, comment="JSON list, each once"),
        sa.Column("milliseconds", sa.BigInteger, nullable=False),
        sa.Column("why", sa.Text, nullable=False, comment="When it said nothing"),
        sa.PrimaryKeyConstraint("id", name="pk_test_executions"),
        sa.UniqueConstraint(
            *("repository", "purpose", "series", "sha", "number", "place"),
            name="uq_test_executions_repository_purpose_series_sha_number_place",
        ),
    )
    for columns in (
        ("repository", "day"),
        ("repository", "folded_at", "outcome"),
        ("repository", "number", "asked_at"),
        ("asked_at",),
    ):
        op.create_index(
            f"ix_test_executions_{'_'.join(columns)}", "test_executions", list(columns), unique=False
        )
    op.create_table(
        "test_nights",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False, comment="Of the test"),
        sa.Column("planned", sa.Integer, nullable=False, comment="Executions"),
        sa.PrimaryKeyConstraint("repository", "day", "number", name="pk_test_nights"),
    )
    op.create_table(
        "test_causes",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False, comment="Of the test"),
        sa.Column("tally", sa.Text, nullable=False, comment="JSON: by kind, jobs, failed, wholly failed"),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False, comment="A sentence of ours"),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository", "number", name="pk_test_causes"),
    )
    op.create_table(
        "execution_states",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("night", sa.Integer, nullable=False, comment="The last day that was planned; 0 for none"),
        sa.Column("read_to", sa.Text, nullable=False, comment="The commit up to which claims were read"),
        sa.PrimaryKeyConstraint("repository", name="pk_execution_states"),
    )
