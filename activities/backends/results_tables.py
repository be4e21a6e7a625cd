"""The tables of test results and quarantines, as the newest migration leaves them.

Times are integer microseconds since the Unix epoch, UTC. `metadata` is that of the whole store, see
`store_tables`.
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
    text,
    true,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
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
    Index(None, "repository", "run"),
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
    Column("markers", Text, comment="JSON list, sorted; NULL while no report told them"),
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
    Column("present", LargeBinary, comment="A byte for each test, zlib; NULL for an old run"),
    Column("part_of", Integer, comment="The number of the run that this is a late part of"),
    Column("calm_failing", Integer, comment="Calm tests whose first execution failed; NULL for an old run"),
    Column("calm_both", Integer, comment="Calm tests that failed and passed; NULL for an old run"),
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
    Column(
        "amend",
        Text,
        nullable=False,
        server_default="[]",
        comment="JSON list of entries that stay: test, expired, expires, masks that it gets",
    ),
    Column("opened_at", BigInteger, nullable=False),
    Column(
        "tracked",
        Boolean,
        nullable=False,
        server_default=true(),
        comment="False: issues of its tests are still to be opened or closed",
    ),
    Column(
        "refusals",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="How often the forge refused to open or close them",
    ),
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

quarantine_named = Table(
    "quarantine_named",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True, comment="Hash of the test's identity"),
    Column("named_at", BigInteger, nullable=False, comment="When the file was last seen to name it"),
)

test_executions = Table(
    "test_executions",
    metadata,
    Column("id", Text, primary_key=True, comment="16 hex digits of what is asked"),
    Column("repository", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="Of the test"),
    Column("purpose", Text, nullable=False, comment="recheck, probe or night"),
    Column(
        "series",
        Text,
        nullable=False,
        comment="The run, the discordant run's number, or the day: what is folded together",
    ),
    Column("place", Integer, nullable=False, comment="0, 1, 2 … within the series of the test"),
    Column("sha", Text, nullable=False),
    Column("check_name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("executions", Integer, nullable=False),
    Column("until_pass", Boolean, nullable=False),
    Column("noise", Float, nullable=False, comment="The bound that was known before it was asked"),
    Column("asked_at", BigInteger, nullable=False),
    Column("day", Integer, nullable=False, comment="Days since the Unix epoch, UTC, when asked"),
    Column("spent", Integer, nullable=False, comment="Executions that count for the day"),
    Column("outcome", Text, comment="done, unfit or expired; NULL until then"),
    Column("done_at", BigInteger),
    Column("folded_at", BigInteger),
    Column("passes", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("fingerprints", Text, nullable=False, comment="JSON list, each once"),
    Column("milliseconds", BigInteger, nullable=False),
    Column("why", Text, nullable=False, comment="When it said nothing"),
    UniqueConstraint("repository", "purpose", "series", "sha", "number", "place"),
    Index(None, "repository", "day"),
    Index(None, "repository", "folded_at", "outcome"),
    Index(None, "repository", "number", "asked_at"),
    Index(None, "repository", "sha"),
    Index(None, "asked_at"),
)

test_nights = Table(
    "test_nights",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="Of the test"),
    Column("planned", Integer, nullable=False, comment="Executions"),
)

test_causes = Table(
    "test_causes",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="Of the test"),
    Column("tally", Text, nullable=False, comment="JSON: by kind, jobs, failed, wholly failed"),
    Column("cause", Text, nullable=False),
    Column("why", Text, nullable=False, comment="A sentence of ours"),
    Column("at", BigInteger, nullable=False),
)

execution_states = Table(
    "execution_states",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("night", Integer, nullable=False, comment="The last day that was planned; 0 for none"),
    Column("read_to", Text, nullable=False, comment="The commit up to which claims were read"),
)

job_attempts = Table(
    "job_attempts",
    metadata,
    Column("repository", Text, primary_key=True),
    Column("source", Text, primary_key=True, comment="github, gitlab or car"),
    Column("id", Text, primary_key=True, comment="Of the execution, at its source"),
    Column("run", Text, nullable=False, comment="What attempts of one job have in common"),
    Column("job", Text, nullable=False, comment="Its name; data from outside"),
    Column("sha", Text, nullable=False),
    Column("branch", Text, nullable=False, comment="Data from outside"),
    Column("attempt", Integer, nullable=False),
    Column("conclusion", Text, nullable=False, comment="pass or fail"),
    Column("began_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Index(None, "repository", "ended_at"),
    Index(None, "ended_at"),
)
