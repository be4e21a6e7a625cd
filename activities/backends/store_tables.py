"""The store's tables, as the newest migration leaves them.

Times are integer microseconds since the Unix epoch, UTC.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

error_events = Table(
    "error_events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("second", Integer, nullable=False, comment="Unix time, seconds"),
    Column("received_at", BigInteger, nullable=False),
    Column("flags", Text, nullable=False, comment="JSON list of [name, value]"),
    Column("payload", LargeBinary, comment="zlib JSON of the scrubbed event; NULL when sampled out"),
    Column("batch", Text, comment="The batch that carried the event to the engine"),
    Column("delivered_at", BigInteger),
    Index(None, "service", "subject", "received_at"),
    Index(None, "delivered_at", "batch"),
)

changes = Table(
    "changes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("repository", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("branch", Text, nullable=False),
    Column("head", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("landed_as", Text),
    Column("opened_at", BigInteger, nullable=False),
    UniqueConstraint("repository", "branch"),
    UniqueConstraint("repository", "number"),
)

vouched_changes = Table(
    "vouched_changes",
    metadata,
    Column("place", Text, primary_key=True, comment="Host, owner and name of a repository on a forge"),
    Column("number", Integer, primary_key=True),
    Column("head", Text, nullable=False, comment="The one head that author and priority are true of"),
    Column("author_kind", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("ejected", Boolean, nullable=False),
    Column("landed_as", Text),
)

checks = Table(
    "checks",
    metadata,
    Column("sha", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("change_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("summary", Text, nullable=False),
    Column("log", Text, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)

comments = Table(
    "comments",
    metadata,
    Column("change_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("position", Integer, nullable=False),
)

chat_cards = Table(
    "chat_cards",
    metadata,
    Column("id", Text, primary_key=True, comment="Opaque: what a button carries"),
    Column("chat", Text, nullable=False, comment="terminal, or slack and the workspace"),
    Column("approval", Text, nullable=False),
    Column("group_name", Text, nullable=False),
    Column("question", Text, nullable=False, comment="JSON, exactly as it was asked"),
    Column("held", Boolean, nullable=False, comment="Kept for the group's next digest"),
    Column("message", Text, comment="The message that shows it"),
    Column("kept_at", BigInteger, nullable=False),
    Column("ending", Text, comment="JSON of how it ended; NULL while it waits for an answer"),
    UniqueConstraint("chat", "approval", "group_name"),
    Index(None, "message"),
    Index(None, "chat", "ending", "kept_at"),
)

chat_notices = Table(
    "chat_notices",
    metadata,
    Column("chat", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("told_at", BigInteger, nullable=False),
)

slack_messages = Table(
    "slack_messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("group_name", Text, nullable=False),
    Column("batch", Text, nullable=False, comment="What its questions have in common"),
    Column("opened_at", BigInteger, nullable=False),
    Column("claimed_at", BigInteger, comment="Since when a process tries to post it"),
    Column("ts", Text, comment="Slack's name of the message; NULL until it is posted"),
    Column("drawn", Text, comment="Hash of what it shows"),
    Index(None, "channel", "group_name", "batch", "opened_at"),
)

slack_clicks = Table(
    "slack_clicks",
    metadata,
    Column("id", Text, primary_key=True, comment="What two deliveries of one click have in common"),
    Column("click", Text, nullable=False, comment="JSON"),
    Column("received_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Index(None, "done_at", "received_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3 … without a gap"),
    Column("hash", Text, nullable=False, comment="SHA-256 over the record and its predecessor's"),
    Column("line", Text, nullable=False, comment="The whole record as canonical JSON, exactly"),
)

policy_snapshots = Table(
    "policy_snapshots",
    metadata,
    Column("organisation", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("content", Text, nullable=False, comment="Every document in force, as JSON"),
)

permits = Table(
    "permits",
    metadata,
    Column("service", Text, primary_key=True),
    Column("sha", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("checksum", Text, nullable=False, comment="The revision that was let in"),
    Column("decided_at", BigInteger, nullable=False),
)

builds = Table(
    "builds",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("sha", Text, primary_key=True),
    Column("service", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("path", Text, nullable=False, comment="Of a tar, in the artifact directory"),
    Column("image", Text, nullable=False, comment="Of an image, in its registry"),
    Column("recorded_at", BigInteger, nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    Column("service", Text, primary_key=True),
    Column("sha", Text, primary_key=True),
    Column("repository", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False, comment="Of the receipt"),
    Column("change_id", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("committed_at", BigInteger, comment="The oldest commit's, by its author's clock"),
    Column("opened_at", BigInteger),
    Column("landed_at", BigInteger, nullable=False),
    Column("rework", Text, comment="Why it was not planned; NULL when it was"),
    Column("reverts", Text),
    Column("began_at", BigInteger, nullable=False),
    Column("replaced", Text, comment="What was stable when it entered production"),
    Column("entered_at", BigInteger),
    Column("live_at", BigInteger),
    Column("recovered_at", BigInteger),
    Column("ended_at", BigInteger, comment="NULL while it is on its way"),
    Column("outcome", Text),
    Column("reached_percent", Integer, nullable=False),
    Column("detail", Text, nullable=False),
)

repointings = Table(
    "repointings",
    metadata,
    Column("service", Text, primary_key=True),
    Column("landed_as", Text, primary_key=True, comment="The commit that moved the overlay"),
    Column("named", Text, nullable=False),
    Column("change_id", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("author_name", Text, nullable=False),
    Column("landed_at", BigInteger, nullable=False),
)

release_notes = Table(
    "release_notes",
    metadata,
    Column("service", Text, primary_key=True),
    Column("sha", Text, primary_key=True),
    Column("live_at", BigInteger, nullable=False),
    Column("marked", Text, nullable=False, comment="JSON: the marker and its notes"),
    Index(None, "service", "live_at"),
)

test_reports = Table(
    "test_reports",
    metadata,
    Column("id", Text, primary_key=True, comment="SHA-256 of what it says"),
    Column("repository", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("sha", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("announced_at", BigInteger, comment="Since when the engine knows of it"),
    Column("folded_at", BigInteger, comment="NULL until then"),
    Column("attempts", Integer, nullable=False),
    Column("complaints", Text, nullable=False, comment="JSON list"),
    Column("payload", LargeBinary, comment="Packed attempts; NULL once it is folded"),
    Index(None, "repository", "folded_at", "received_at"),
    Index(None, "announced_at", "received_at"),
    Index(None, "received_at"),
)

test_suites = Table(
    "test_suites",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("numbers", Integer, nullable=False, comment="Numbers that were given to tests so far"),
)

suite_states = Table(
    "suite_states",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("state", Text, nullable=False, comment="See stored_form"),
    Column("runs", Integer, nullable=False, comment="Runs that were folded so far"),
    Column("tests", Integer, nullable=False, comment="In a whole run of the target branch"),
)

tests = Table(
    "tests",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False, comment="Hash of the identity"),
    Column("test", Text, nullable=False, comment="The full identity; data from outside"),
    Column("path", Text, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    UniqueConstraint("repository", "key"),
)

test_pages = Table(
    "test_pages",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("page", Integer, primary_key=True, autoincrement=False),
    Column("counts", LargeBinary, nullable=False, comment="Packed, see results_pages"),
)

test_states = Table(
    "test_states",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("history", Text, nullable=False, comment="See stored_form"),
    Column("attentive", Boolean, nullable=False, comment="Its passes matter one by one"),
    Column(
        "verdict",
        Text,
        nullable=False,
        comment="As of its last change",
    ),
    Column("quarantined", Boolean, nullable=False),
    Column("quarantines", Integer, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index(None, "repository", "attentive"),
    Index(None, "repository", "verdict"),
    Index(None, "repository", "quarantines"),
)

test_runs = Table(
    "test_runs",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="1, 2, 3 … as they were folded"),
    Column("run", Text, nullable=False),
    Column("sha", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("main", Boolean, nullable=False),
    Column("at", BigInteger, nullable=False, comment="Of its last attempt"),
    Column("folded_at", BigInteger, nullable=False),
    Column("in_trouble", Boolean, nullable=False),
    Column("tests", Integer, nullable=False, comment="That were executed"),
    Column("failed", Integer, nullable=False, comment="That only failed"),
    Column("flaky", Integer, nullable=False, comment="That failed and passed"),
    Column("executions", Integer, nullable=False),
    Column("milliseconds", BigInteger, nullable=False),
    Column(
        "rerun_milliseconds",
        BigInteger,
        nullable=False,
        comment="Of all executions but the first of each test",
    ),
    Column("left_out", Integer, nullable=False, comment="Attempts that came again, or too late"),
    UniqueConstraint("repository", "run", "sha"),
    Index(None, "repository", "at"),
)

test_attempts = Table(
    "test_attempts",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("run_number", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="Of the test"),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("job", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("milliseconds", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "repository", "number", "at"),
    Index(None, "at"),
)

test_events = Table(
    "test_events",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="Of the test"),
    Column("run_number", Integer, primary_key=True, autoincrement=False),
    Column("what", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Index(None, "repository", "at"),
)

test_days = Table(
    "test_days",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False, comment="Days since the Unix epoch, UTC"),
    Column("page", Integer, primary_key=True, autoincrement=False),
    Column("counts", LargeBinary, nullable=False, comment="Packed, see results_pages"),
    Index(None, "day"),
)

test_commits = Table(
    "test_commits",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("sha", Text, primary_key=True),
    Column("passed", LargeBinary, nullable=False, comment="A byte for each test, zlib"),
    Column("run_number", Integer, nullable=False, comment="The last run there"),
    Index(None, "repository", "run_number"),
)

test_fixes = Table(
    "test_fixes",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="Of the test"),
    Column("sha", Text, nullable=False, comment="The commit that claims to fix it"),
)

quarantine_changes = Table(
    "quarantine_changes",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("change_id", Text, primary_key=True),
    Column("state", Text, nullable=False, comment="open, over or rejected"),
    Column("enter", Text, nullable=False, comment="JSON list of tests"),
    Column("leave", Text, nullable=False, comment="JSON list of tests"),
    Column("opened_at", BigInteger, nullable=False),
    Index(None, "repository", "state"),
)

quarantine_files = Table(
    "quarantine_files",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("sha", Text, nullable=False, comment="The commit that had it"),
    Column("content", Text, nullable=False, comment="Empty when the commit had none"),
    Column("read_at", BigInteger, nullable=False),
)
