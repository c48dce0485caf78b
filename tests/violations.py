"""What the ledger's tables refuse, whichever engine keeps them: a row of each that is taken, and what breaks each CHECK."""

from typing import Any

import sqlalchemy as sa

from identifai_watch.ledger import schema

ROWS: dict[str, dict[str, Any]] = {
    "folders": {"node": "studio", "name": "drop"},
    "analyses": {
        "sha256": b"\x01" * 32,
        "media": "image",
        "options": "{}",
        "mime": "image/jpeg",
        "size": 10,
        "noticed_at": 1,
        "state": "queued",
    },
    "files": {
        "folder_id": 1,
        "parent": b"",
        "name": b"a.jpg",
        "size": 10,
        "mtime_ns": 1,
        "ctime_ns": 1,
        "noticed_at": 1,
        "state": "waiting",
    },
    "requests": {"at": 1, "method": "GET"},
    "stamps": {"history_id": 1, "lines": 1, "digest": b"\x01" * 32, "asked_at": 1, "due": 1},
    "account": {"id": 1, "state": "ok"},
    "notices": {"uid": "a", "made_at": 1, "kind": "outcome", "document": b""},
    "flows": {"node": "", "state": "{}"},
    "copying": {"id": 1, "origin": "sqlite:////a.db", "since": 1, "digest": b"\x01" * 32},
}
"""A row of each table that the ledger takes, as an engine keeps it."""

HASHED = {"analysis_id": 1, "sha256": b"\x01" * 32}
VIOLATIONS: dict[str, dict[str, Any]] = {
    "ck_analyses_media_known": {"media": "text"},
    "ck_analyses_state_known": {"state": "lost"},
    "ck_analyses_sha256_is_whole": {"sha256": b"\x01" * 31},
    "ck_analyses_awaited_by_name": {"state": "awaiting"},
    "ck_analyses_judged_has_verdict": {"state": "judged"},
    "ck_analyses_refused_says_why": {"state": "refused"},
    "ck_analyses_due_has_a_duty": {"state": "sending", "due": 1},
    "ck_analyses_doubt_is_never_paid_anew": {"doubt": 1, "no_cache": 1},
    "ck_analyses_stuck_rests": {"stuck_at": 1, "due": 1},
    "ck_files_media_known": {"media": "text"},
    "ck_files_state_known": {"state": "lost"},
    "ck_files_outcome_known": {"outcome": "perhaps"},
    "ck_files_decision_known": {"decision": "perhaps"},
    "ck_files_delivered_as_known": {"delivered_as": "perhaps"},
    "ck_files_interim_known": {"interim": "perhaps"},
    "ck_files_sha256_is_whole": {"sha256": b"\x01" * 33},
    "ck_files_held_is_not_hashed": {"held": 1, "sha256": b"\x01" * 32},
    "ck_files_held_still_waits": {"held": 1, "state": "gone"},
    "ck_files_analysed_is_hashed": {"analysis_id": 1},
    "ck_files_refused_here_is_not_sent": {"refusal": "too large", **HASHED},
    "ck_files_delivered_somewhere": {"state": "delivered", "outcome": "human"},
    "ck_files_due_has_a_duty": {"state": "gone", "due": 1},
    "ck_files_stuck_rests": {"stuck_at": 1, "due": 1},
    "ck_requests_method_known": {"method": "PUT"},
    "ck_stamps_digest_is_whole": {"digest": b"\x01" * 31},
    "ck_stamps_stamped_says_when": {"stamped_at": 1},
    "ck_stamps_due_has_a_duty": {"stamped_at": 1, "answer": b"DER"},
    "ck_account_only_one": {"id": 2},
    "ck_account_state_known": {"state": "closed", "reason": None},
    "ck_account_reason_known": {"state": "paused", "reason": "weather"},
    "ck_account_paused_says_why": {"state": "paused"},
    "ck_notices_kind_known": {"kind": "gossip"},
    "ck_copying_only_one": {"id": 2},
}
"""What breaks each CHECK, and no other."""


def put(tx: sa.Connection, table: str, changes: dict[str, Any]) -> None:
    """Insert a row that the ledger takes but for ``changes``."""
    values = ROWS[table] | changes
    columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - the names are from above
    tx.execute(sa.text(statement), values)


def checks() -> dict[str, str]:
    """Return the name of every CHECK of the schema, with its table."""
    return {
        str(constraint.name): table.name
        for table in schema.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, sa.CheckConstraint)
    }
