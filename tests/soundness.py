"""What must be so once all is at rest again, whatever happened before: nothing lost, nothing paid twice, a ledger that is whole."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from identifai_watch.simulator import judge
from tests.harness import House


def outcome_of(found: bytes) -> str:
    """Return what the pretend identifAI judges of these bytes."""
    judgement = judge(hashlib.sha256(found).digest())
    return "uncertain" if judgement.unknown else str(judgement.label)


def media(home: House) -> dict[str, bytes]:
    """Return every file below the drop folder that is no sidecar; hidden ones too, for none may stay."""
    return files_below(home.drop)


def files_below(root: Path) -> dict[str, bytes]:
    """Return every file below a directory that is no sidecar, by its path there."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith(".identifai.json")
    }


def asked(home: House, query: str) -> list[tuple[Any, ...]]:
    """Ask the ledger while a daemon writes to it, cheaply, for the daemon is to have the machine."""
    path = home.home / "state" / "ledger.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def assert_ledger_is_whole(home: House) -> None:
    """At rest SQLite finds nothing wrong, and no doubt is left."""
    assert [("ok",)] == asked(home, "PRAGMA quick_check")
    assert [] == asked(home, "PRAGMA foreign_key_check")
    assert [(0,)] == asked(home, "SELECT count(*) FROM analyses WHERE doubt")
