"""The ledger's tables, the same for every engine: what must hold stands here as CHECKs and unique indexes.

Instants are integers, microseconds since 1970 UTC; flags are 0 or 1; paths are bytes, since a name on a disk
is bytes. What an engine does in its own way is left to its module (``sqlite``, ``postgres``).
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeDecorator

from identifai_watch.core.model import (
    AccountState,
    AnalysisState,
    Choice,
    FileState,
    Interim,
    Media,
    Outcome,
    PauseReason,
)
from identifai_watch.core.notices import Kind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""Of numbers, sizes and instants: SQLite knows one integer, and makes numbers for that type's name alone."""


Statement = sa.Select[Any] | UpdateBase
"""What asks something of a ledger, or changes it."""


def micros(at: datetime) -> int:
    """Return the number that stands for an instant."""
    return (at - EPOCH) // timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as microseconds since 1970."""

    impl = _BIG
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002 - the base class's signature
        """Return the microseconds that stand for ``value``."""
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - the base class's signature
        """Return the instant that ``value`` stands for."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Flag(TypeDecorator[bool]):
    """True or False, kept as 1 or 0: SQLite's STRICT tables know no boolean."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: bool | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002, FBT001 - the base class's signature
        """Return 1 or 0."""
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> bool | None:  # noqa: ARG002 - the base class's signature
        """Return True or False."""
        return None if value is None else bool(value)


class _New(sa.Insert):
    """An INSERT that leaves out the rows of which there is one already; both engines say it alike."""

    inherit_cache = True


@compiles(_New)
def _leaving_out(element: _New, compiler: SQLCompiler, **options: object) -> str:
    made = compiler.visit_insert(element, **options)  # type: ignore[no-untyped-call]
    return f"{made} ON CONFLICT DO NOTHING"


def new(table: sa.Table) -> sa.Insert:
    """Return the statement that inserts rows of ``table``, but those of which there is one already.

    The result's ``rowcount`` says how many were inserted.
    """
    return _New(table).inline().execution_options(preserve_rowcount=True)


YES: sa.ColumnElement[bool] = sa.literal_column("1", Flag())
NO: sa.ColumnElement[bool] = sa.literal_column("0", Flag())
"""What a flag is compared with, written out: so an engine can prove that a partial index serves."""


SHARED = ""
"""The node of a folder that several hosts share."""


def one_of(column: str, values: type[StrEnum]) -> sa.CheckConstraint:
    """Return the CHECK that keeps ``column`` to the members of ``values`` (or NULL)."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


class _NoBytes(sa.ColumnElement[bytes]):
    """No bytes at all, as a literal in an engine's own words."""

    inherit_cache = True


@compiles(_NoBytes)
def _as_sqlite(_element: _NoBytes, _compiler: SQLCompiler, **_: object) -> str:
    return "(x'')"


@compiles(_NoBytes, "postgresql")
def _as_postgresql(_element: _NoBytes, _compiler: SQLCompiler, **_: object) -> str:
    return "''"


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *items: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(name, metadata, *items, sqlite_strict=True)


def _id() -> sa.Column[int]:
    return sa.Column("id", _BIG, primary_key=True)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, Flag, nullable=False, default=False, server_default="0")


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, default=0, server_default="0")


def _index(name: str, table: str, *columns: str, where: str | None = None, unique: bool = False) -> None:
    """Index ``columns`` (``-name`` descending) of the rows that ``where`` picks.

    It stands in ``info`` too, for another engine's module: to name PostgreSQL's own ``where`` here would import all of
    its dialect, which is a tenth of what ``status`` takes.
    """
    of = metadata.tables[table].c
    by = [of[column[1:]].desc() if column.startswith("-") else of[column] for column in columns]
    picked = None if where is None else sa.text(where)
    sa.Index(name, *by, unique=unique, sqlite_where=picked, info={"where": picked})


QUEUED = "state = 'queued' AND due IS NOT NULL"
"""Contents that wait for their upload; in these very words, for so SQLite proves that their index serves."""

TO_REVIEW = (
    "decision IS NULL AND coalesce(outcome, '') IN ('artificial', 'uncertain') "
    "AND coalesce(state, '') IN ('waiting', 'delivered')"
)
"""Files that a person should look at first; in these very words, for so SQLite proves that their index serves, and
does not take the one of states, from which they would have to be sorted."""


def _claim() -> tuple[sa.Column[str], sa.Column[str], sa.Column[datetime]]:
    """Return the columns of a claim: who works on the row, under which token, and until when that holds."""
    return (
        sa.Column("claimed_by", sa.Text),
        sa.Column("claim", sa.Text),
        sa.Column("claimed_until", Instant),
    )


# A watched folder on one host, or one that several hosts share: its `node` is "" then, its `name` the share's, and one
# node at a time has it, by a claim. `filesystem` pins its root: what was mounted there when it was first seen.
# `archived_at` is when its first full scan ended: what that scan found was there before the daemon. While it is
# paused nothing of it is sent; without `paused_until` that is until somebody resumes it.
folders = _table(
    "folders",
    _id(),
    sa.Column("node", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("filesystem", sa.Text),
    sa.Column("archived_at", Instant),
    sa.Column("paused_at", Instant),
    sa.Column("paused_until", Instant),
    sa.Column("paused_by", sa.Text),
    sa.Column("paused_why", sa.Text),
    *_claim(),
    sa.UniqueConstraint("node", "name"),
)

# The judging of one content. What is paid for is unique: (sha256, media, options), and a new edition only by
# the operator's rejudge.
analyses = _table(
    "analyses",
    _id(),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("media", sa.Text, nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    _count("edition"),
    sa.Column("mime", sa.Text, nullable=False),
    sa.Column("size", _BIG, nullable=False),
    sa.Column("noticed_at", Instant, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    _flag("doubt"),
    _flag("no_cache"),
    _flag("backlog"),
    _count("priority"),
    sa.Column("due", Instant),
    _count("failures"),
    sa.Column("failing_since", Instant),
    _count("resubmissions"),
    _count("malformed"),
    sa.Column("stuck_at", Instant),
    sa.Column("reason", sa.Text),
    sa.Column("identifier", sa.Text),
    sa.Column("sent_name", sa.Text),
    sa.Column("ref_id", sa.Text),
    sa.Column("submitted_at", Instant),
    sa.Column("deadline", Instant),
    sa.Column("judged_at", Instant),
    sa.Column("heatmap_due", Instant),
    _count("heatmap_failures"),
    sa.Column("verdict", sa.Text),
    *_claim(),
    sa.UniqueConstraint("sha256", "media", "options", "edition"),
    one_of("media", Media),
    one_of("state", AnalysisState),
    sa.CheckConstraint("length(sha256) = 32", name="sha256_is_whole"),
    sa.CheckConstraint("state <> 'awaiting' OR identifier IS NOT NULL", name="awaited_by_name"),
    sa.CheckConstraint("state <> 'judged' OR verdict IS NOT NULL", name="judged_has_verdict"),
    sa.CheckConstraint("state <> 'refused' OR reason IS NOT NULL", name="refused_says_why"),
    sa.CheckConstraint("state IN ('queued', 'awaiting') OR due IS NULL", name="due_has_a_duty"),
    sa.CheckConstraint("doubt = 0 OR no_cache = 0", name="doubt_is_never_paid_anew"),
    sa.CheckConstraint("stuck_at IS NULL OR due IS NULL", name="stuck_rests"),
)
# Indexes: what a query says with a bound parameter (`state = ?`) proves no partial index's condition to SQLite, but
# `due <= ?` proves `due IS NOT NULL`. So what rests, is stuck or is settled costs the loop nothing.
_index("ix_analyses_state", "analyses", "state", "doubt", "stuck_at")
_index("ix_analyses_queued", "analyses", "backlog", "noticed_at", "priority", where=QUEUED)
_index("ix_analyses_due", "analyses", "state", "media", "due", where="due IS NOT NULL")
_index("ix_analyses_deadline", "analyses", "state", "deadline", where="due IS NOT NULL")
_index("ix_analyses_heatmap_due", "analyses", "heatmap_due", where="heatmap_due IS NOT NULL")
_index("ix_analyses_judged_at", "analyses", "media", "judged_at", where="judged_at IS NOT NULL")
_index(
    "ix_analyses_submitted_at",
    "analyses",
    "submitted_at",
    "media",
    "resubmissions",
    where="submitted_at IS NOT NULL",
)
# None of claims: a question of 50 would have each of the others written once more for each row, twice (PostgreSQL's
# heap-only tuples). What is claimed is found by what it is claimed for.

# What the API said, compressed: prunable without losing the verdict.
answers = _table(
    "answers",
    sa.Column("analysis_id", sa.ForeignKey("analyses.id"), primary_key=True),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("heatmap", sa.LargeBinary),
)

# A file that is owed a verdict. `parent` is b"" for the folder's root; `lies_at` is where it lies if not there.
files = _table(
    "files",
    _id(),
    sa.Column("folder_id", sa.ForeignKey("folders.id"), nullable=False),
    sa.Column("parent", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.LargeBinary, nullable=False),
    sa.Column("size", _BIG, nullable=False),
    sa.Column("mtime_ns", _BIG, nullable=False),
    sa.Column("ctime_ns", _BIG, nullable=False),
    sa.Column("inode", _BIG),
    sa.Column("noticed_at", Instant, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    _flag("held"),
    _flag("backlog"),
    _count("priority"),
    sa.Column("analysis_id", sa.ForeignKey("analyses.id")),
    sa.Column("media", sa.Text),
    sa.Column("sha256", sa.LargeBinary),
    sa.Column("refusal", sa.Text),
    sa.Column("rules", sa.Text),
    _flag("duplicate"),
    sa.Column("decision", sa.Text),
    sa.Column("decision_reason", sa.Text),
    sa.Column("decided_by", sa.Text),
    sa.Column("decided_at", Instant),
    sa.Column("outcome", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("hashed_at", Instant),
    sa.Column("delivered_at", Instant),
    sa.Column("due", Instant),
    _count("failures"),
    sa.Column("failing_since", Instant),
    sa.Column("stuck_at", Instant),
    sa.Column("destination", sa.LargeBinary),
    sa.Column("lies_at", sa.LargeBinary),
    sa.Column("copied_to", sa.LargeBinary),
    _count("missing"),
    *_claim(),
    # Why the last delivery failed.
    sa.Column("trouble", sa.Text),
    # Why people are told something before the verdict is there, when the file is let go unchecked, the judged file
    # whose place it took, and when the sidecar of a file that is gone is put aside.
    sa.Column("interim", sa.Text),
    sa.Column("release_at", Instant),
    sa.Column("supersedes", sa.ForeignKey("files.id")),
    sa.Column("orphan_due", Instant),
    # The outcome of the last delivery: another one is news.
    sa.Column("delivered_as", sa.Text),
    one_of("media", Media),
    one_of("state", FileState),
    one_of("interim", Interim),
    one_of("outcome", Outcome),
    one_of("delivered_as", Outcome),
    one_of("decision", Choice),
    sa.CheckConstraint("sha256 IS NULL OR length(sha256) = 32", name="sha256_is_whole"),
    sa.CheckConstraint("held = 0 OR (analysis_id IS NULL AND sha256 IS NULL)", name="held_is_not_hashed"),
    sa.CheckConstraint("held = 0 OR state = 'waiting'", name="held_still_waits"),
    sa.CheckConstraint("analysis_id IS NULL OR sha256 IS NOT NULL", name="analysed_is_hashed"),
    sa.CheckConstraint("refusal IS NULL OR analysis_id IS NULL", name="refused_here_is_not_sent"),
    sa.CheckConstraint(
        "state <> 'delivered' OR (outcome IS NOT NULL AND delivered_at IS NOT NULL)",
        name="delivered_somewhere",
    ),
    sa.CheckConstraint("state = 'waiting' OR due IS NULL", name="due_has_a_duty"),
    sa.CheckConstraint("stuck_at IS NULL OR due IS NULL", name="stuck_rests"),
)
# One row a path: what was moved away or replaced no longer stands for the place where it was noticed.
_index(
    "uq_files_place",
    "files",
    "folder_id",
    "parent",
    "name",
    where="lies_at IS NULL AND state <> 'superseded'",
    unique=True,
)
_index("ix_files_analysis_id", "files", "analysis_id", "duplicate", "folder_id")
_index("ix_files_copies", "files", "hashed_at", "folder_id", "media", where="duplicate = 1")
_index("ix_files_decided_at", "files", "decided_at", where="decided_at IS NOT NULL")
# A list, newest first, under any filter: all that filters ask stands in it, so that what is passed over is not read.
_index(
    "ix_files_noticed_at",
    "files",
    "noticed_at",
    "id",
    "state",
    "outcome",
    "decision",
    "media",
    "folder_id",
    "held",
)
_index("ix_files_review", "files", "noticed_at", "id", where=TO_REVIEW)
_index("ix_files_state", "files", "state", "outcome", "held", "stuck_at")
_index("ix_files_due", "files", "folder_id", "state", "-priority", "due", where="due IS NOT NULL")
_index("ix_files_delivered_at", "files", "folder_id", "delivered_at", where="delivered_at IS NOT NULL")
_index(
    "ix_files_admit",
    "files",
    "folder_id",
    "priority",
    "noticed_at",
    where="state = 'waiting' AND held = 0 AND analysis_id IS NULL AND refusal IS NULL",
)
_index("ix_files_held", "files", "folder_id", "noticed_at", "held", where="held = 1")
_index("ix_files_refusal", "files", "folder_id", "rules", where="refusal IS NOT NULL")
_index("ix_files_claim", "files", "claimed_by", "claim", where="claimed_by IS NOT NULL")
_index("ix_files_release_at", "files", "folder_id", "release_at", where="release_at IS NOT NULL")
_index("ix_files_orphan_due", "files", "folder_id", "orphan_due", where="orphan_due IS NOT NULL")

# Each content that waits for its upload, once for each host that has a file of it, in the order in which it goes:
# `whose` is that host's node, or stands for a folder that several share (`queue.whose`).
queue = _table(
    "queue",
    sa.Column("analysis_id", sa.ForeignKey("analyses.id"), primary_key=True),
    sa.Column("whose", sa.Text, primary_key=True),
    sa.Column("backlog", Flag, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("noticed_at", Instant, nullable=False),
    sa.Column("due", Instant, nullable=False),
)
_index("ix_queue_hottest", "queue", "whose", "backlog", "priority", "noticed_at")
_index("ix_queue_oldest", "queue", "whose", "backlog", "noticed_at")
_index("ix_queue_due", "queue", "whose", "due")

# What was looked at and left alone, so that it is not looked at again until it or the configuration changes.
left = _table(
    "left",
    sa.Column("folder_id", sa.ForeignKey("folders.id"), primary_key=True),
    sa.Column("parent", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.LargeBinary, primary_key=True),
    sa.Column("size", _BIG, nullable=False),
    sa.Column("mtime_ns", _BIG, nullable=False),
    sa.Column("ctime_ns", _BIG, nullable=False),
    sa.Column("inode", _BIG),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("rules", sa.Text, nullable=False),
    sa.Column("left_at", Instant, nullable=False),
)

# What happened, for ever: no row is changed or deleted, and each carries a digest of itself and of the one before it.
history = _table(
    "history",
    _id(),
    sa.Column("at", Instant, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("file_id", sa.ForeignKey("files.id")),
    sa.Column("analysis_id", sa.ForeignKey("analyses.id")),
    sa.Column("detail", sa.Text, nullable=False, server_default="{}"),
    sa.Column("digest", sa.LargeBinary, nullable=False, server_default=_NoBytes()),
)
_index("ix_history_file_id", "history", "file_id")
_index("ix_history_analysis_id", "history", "analysis_id")

# Heads of the history's chain that an RFC 3161 authority stamped, or is still to stamp; `answer` is its own, as it came.
stamps = _table(
    "stamps",
    _id(),
    sa.Column("history_id", _BIG, nullable=False),
    sa.Column("lines", _BIG, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("due", Instant),
    _count("failures"),
    sa.Column("trouble", sa.Text),
    sa.Column("authority", sa.Text),
    sa.Column("stamped_at", Instant),
    sa.Column("answer", sa.LargeBinary),
    sa.UniqueConstraint("digest"),
    sa.CheckConstraint("length(digest) = 32", name="digest_is_whole"),
    sa.CheckConstraint("(answer IS NULL) = (stamped_at IS NULL)", name="stamped_says_when"),
    sa.CheckConstraint("answer IS NULL OR due IS NULL", name="due_has_a_duty"),
)
_index("ix_stamps_history_id", "stamps", "history_id")

# The requests made: the budget's sliding log.
requests = _table(
    "requests",
    _id(),
    sa.Column("at", Instant, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    _flag("backlog"),
    sa.CheckConstraint("method IN ('GET', 'POST')", name="method_known"),
)
_index("ix_requests_at", "requests", "method", "at", "backlog")

# The account's one row.
account = _table(
    "account",
    _id(),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("next_probe_at", Instant),
    _count("probes"),
    sa.Column("hold_until", Instant),
    _count("holds"),
    sa.Column("succeeded_at", Instant),
    sa.Column("credits", sa.REAL().with_variant(sa.Double(), "postgresql")),
    sa.Column("credits_at", Instant),
    sa.CheckConstraint("id = 1", name="only_one"),
    one_of("state", AccountState),
    one_of("reason", PauseReason),
    sa.CheckConstraint("(state = 'paused') = (reason IS NOT NULL)", name="paused_says_why"),
)

# What an operator asked for; the daemon of that node, or the command itself when none runs there, carries it out.
commands = _table(
    "commands",
    _id(),
    sa.Column("at", Instant, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("verb", sa.Text, nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("done_at", Instant),
    sa.Column("answer", sa.Text),
    sa.Column("node", sa.Text, nullable=False, server_default=""),
)
_index("ix_commands_open", "commands", "node", "id", where="done_at IS NULL")

# What a daemon alone knows, for other processes: written on change and at most once a minute. Without `ended_at` it
# runs, or ended without a chance to say so.
nodes = _table(
    "nodes",
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("process", sa.Integer, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("report", sa.Text, nullable=False),
    sa.Column("ended_at", Instant),
)

# What people are still to be told by a node, each for every one of its channels; the document is JSON, compressed. A
# notice goes when the last of its channels was told.
notices = _table(
    "notices",
    _id(),
    sa.Column("uid", sa.Text, nullable=False, unique=True),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("sidecar", sa.LargeBinary),
    sa.Column("node", sa.Text, nullable=False, server_default=""),
    one_of("kind", Kind),
)
tellings = _table(
    "tellings",
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("notice_id", sa.ForeignKey("notices.id"), primary_key=True),
    sa.Column("due", Instant, nullable=False),
    _count("failures"),
    sa.Column("trouble", sa.Text),
)
_index("ix_tellings_notice_id", "tellings", "notice_id")

# How many outcomes a node told lately, and what its next digest says, as JSON.
flows = _table(
    "flows",
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
)

# What is wrong as a node sees it, since when, and when people were told of it; a row goes when it is over.
alarms = _table(
    "alarms",
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("said", sa.Text, nullable=False),
    sa.Column("told_at", Instant),
    sa.Column("upto", Instant),
)

# The credits that were left, as often as they were asked for: from these follows how fast they go.
balances = _table(
    "balances",
    sa.Column("at", Instant, primary_key=True),
    sa.Column("credits", sa.REAL().with_variant(sa.Double(), "postgresql"), nullable=False),
)

# While another ledger is being copied into this one: which, since when, and a digest of the state that it was in.
# Nobody else uses it until that is done.
copying = _table(
    "copying",
    _id(),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("id = 1", name="only_one"),
)
