"""Results of tests: reports, what is known of each test, and counts by run, day and test."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "test_reports",
        sa.Column("id", sa.Text, nullable=False, comment="SHA-256 of what it says"),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("announced_at", sa.BigInteger, comment="Since when the engine knows of it"),
        sa.Column("folded_at", sa.BigInteger, comment="NULL until then"),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("complaints", sa.Text, nullable=False, comment="JSON list"),
        sa.Column("payload", sa.LargeBinary, comment="Packed attempts; NULL once it is folded"),
        sa.PrimaryKeyConstraint("id", name="pk_test_reports"),
    )
    op.create_index(
        "ix_test_reports_announced_at_received_at", "test_reports", ["announced_at", "received_at"]
    )
    op.create_index("ix_test_reports_received_at", "test_reports", ["received_at"])
    op.create_index(
        "ix_test_reports_repository_folded_at_received_at",
        "test_reports",
        ["repository", "folded_at", "received_at"],
    )
    op.create_table(
        "test_suites",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("numbers", sa.Integer, nullable=False, comment="Numbers that were given to tests so far"),
        sa.PrimaryKeyConstraint("repository", name="pk_test_suites"),
    )
    op.create_table(
        "suite_states",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, comment="See stored_form"),
        sa.Column("runs", sa.Integer, nullable=False, comment="Runs that were folded so far"),
        sa.Column("tests", sa.Integer, nullable=False, comment="In a whole run of the target branch"),
        sa.PrimaryKeyConstraint("repository", name="pk_suite_states"),
    )
    op.create_table(
        "tests",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False, comment="Hash of the identity"),
        sa.Column("test", sa.Text, nullable=False, comment="The full identity; data from outside"),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository", "number", name="pk_tests"),
        sa.UniqueConstraint("repository", "key", name="uq_tests_repository_key"),
    )
    op.create_table(
        "test_pages",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("page", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("counts", sa.LargeBinary, nullable=False, comment="Packed, see results_pages"),
        sa.PrimaryKeyConstraint("repository", "page", name="pk_test_pages"),
    )
    op.create_table(
        "test_states",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("history", sa.Text, nullable=False, comment="See stored_form"),
        sa.Column("attentive", sa.Boolean, nullable=False, comment="Its passes matter one by one"),
        sa.Column("verdict", sa.Text, nullable=False, comment="As of its last change"),
        sa.Column("quarantined", sa.Boolean, nullable=False),
        sa.Column("quarantines", sa.Integer, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository", "number", name="pk_test_states"),
    )
    op.create_index("ix_test_states_repository_attentive", "test_states", ["repository", "attentive"])
    op.create_index("ix_test_states_repository_quarantines", "test_states", ["repository", "quarantines"])
    op.create_index("ix_test_states_repository_verdict", "test_states", ["repository", "verdict"])
    op.create_table(
        "test_runs",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column(
            "number", sa.Integer, autoincrement=False, nullable=False, comment="1, 2, 3 … as they were folded"
        ),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("main", sa.Boolean, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, comment="Of its last attempt"),
        sa.Column("folded_at", sa.BigInteger, nullable=False),
        sa.Column("in_trouble", sa.Boolean, nullable=False),
        sa.Column("tests", sa.Integer, nullable=False, comment="That were executed"),
        sa.Column("failed", sa.Integer, nullable=False, comment="That only failed"),
        sa.Column("flaky", sa.Integer, nullable=False, comment="That failed and passed"),
        sa.Column("executions", sa.Integer, nullable=False),
        sa.Column("milliseconds", sa.BigInteger, nullable=False),
        sa.Column(
            "rerun_milliseconds",
            sa.BigInteger,
            nullable=False,
            comment="Of all executions but the first of each test",
        ),
        sa.Column("left_out", sa.Integer, nullable=False, comment="Attempts that came again, or too late"),
        sa.PrimaryKeyConstraint("repository", "number", name="pk_test_runs"),
        sa.UniqueConstraint("repository", "run", "sha", name="uq_test_runs_repository_run_sha"),
    )
    op.create_index("ix_test_runs_repository_at", "test_runs", ["repository", "at"])
    op.create_table(
        "test_attempts",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("run_number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False, comment="Of the test"),
        sa.Column("attempt", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("milliseconds", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository", "run_number", "number", "attempt", name="pk_test_attempts"),
    )
    op.create_index("ix_test_attempts_at", "test_attempts", ["at"])
    op.create_index("ix_test_attempts_repository_number_at", "test_attempts", ["repository", "number", "at"])
    op.create_table(
        "test_events",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False, comment="Of the test"),
        sa.Column("run_number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository", "number", "run_number", "what", name="pk_test_events"),
    )
    op.create_index("ix_test_events_repository_at", "test_events", ["repository", "at"])
    op.create_table(
        "test_days",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column(
            "day", sa.Integer, autoincrement=False, nullable=False, comment="Days since the Unix epoch, UTC"
        ),
        sa.Column("page", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("counts", sa.LargeBinary, nullable=False, comment="Packed, see results_pages"),
        sa.PrimaryKeyConstraint("repository", "day", "page", name="pk_test_days"),
    )
    op.create_index("ix_test_days_day", "test_days", ["day"])
    op.create_table(
        "test_commits",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("sha", sa.Text, nullable=False),
        sa.Column("passed", sa.LargeBinary, nullable=False, comment="A byte for each test, zlib"),
        sa.Column("run_number", sa.Integer, nullable=False, comment="The last run there"),
        sa.PrimaryKeyConstraint("repository", "sha", name="pk_test_commits"),
    )
    op.create_index("ix_test_commits_repository_run_number", "test_commits", ["repository", "run_number"])
    op.create_table(
        "test_fixes",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False, comment="Of the test"),
        sa.Column("sha", sa.Text, nullable=False, comment="The commit that claims to fix it"),
        sa.PrimaryKeyConstraint("repository", "number", name="pk_test_fixes"),
    )
    op.create_table(
        "quarantine_changes",
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("change_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, comment="open, over or rejected"),
        sa.Column("enter", sa.Text, nullable=False, comment="JSON list of tests"),
        sa.Column("leave", sa.Text, nullable=False, comment="JSON list of tests"),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("repository", "change_id", name="pk_quarantine_changes"),
    )
    op.create_index("ix_quarantine_changes_repository_state", "quarantine_changes", ["repository", "state"])
