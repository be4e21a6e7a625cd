"""The store's tables, as the newest migration leaves them; those of test results are in `results_tables`.

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
    Table,
    Text,
    UniqueConstraint,
)

from activities.backends import results_tables

metadata = results_tables.metadata

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
