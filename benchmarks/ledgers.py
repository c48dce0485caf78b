"""Ledgers that look as if they had been kept for years, made in seconds: in SQL, past everything that the daemon does."""

import os
import socket
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.running import Place
from identifai_watch.folder.roots import inspect_root
from identifai_watch.ledger import Ledger
from identifai_watch.places import rules_key

SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""Numbers of files by which it is shown how cost grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lying:
    """A file that lies in the watched folder, judged: where, and what tells it from another."""

    parent: bytes
    name: bytes
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def archive(place: Place, files: int) -> None:
    """Let the ledger of ``place`` have ``files`` files of many years, as a folder with ``action = "move"`` leaves them.

    Nearly all are judged and moved; of a thousand 50 are copies of another, 20 refused here, 20 gone, 10 replaced, 5
    held, 5 queued, and one in ten thousand is stuck; what waits lies there. Each analysis has two lines of history and each delivery one.
    The account is paused by an operator, so that a daemon on it has nothing to send.
    """
    with closing(_opened(place)) as connection:
        connection.execute(
            "INSERT INTO shapes WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "SELECT i, CAST(printf('%d/%02d/desk-%d', 2020 + i * 6 / ?1, i * 72 / ?1 % 12 + 1, i % 9) AS BLOB), "
            "CAST(printf('IMG_%07d.jpg', i) AS BLOB), 200000 + i % 5000000, i, i, i, iif(i % 10000 = 700, 1000, i % 1000) FROM n",
            (files,),
        )
        waiting = connection.execute(
            "SELECT i, parent, name FROM shapes WHERE kind < 10 OR kind = 1000"
        ).fetchall()
        for number, parent, name in waiting:
            one = _lay(place.drop, parent, name, b"%d" % number)
            connection.execute(
                "UPDATE shapes SET size = ?, mtime_ns = ?, ctime_ns = ?, inode = ? WHERE i = ?",
                (one.size, one.mtime_ns, one.ctime_ns, one.inode, number),
            )
        _fill(connection, place, moved=True)
        connection.execute("COMMIT")


def lying(place: Place, files: Iterable[Lying]) -> None:
    """Let the ledger of ``place`` know ``files``, which lie in the folder, as judged, with nothing left to do."""
    with closing(_opened(place)) as connection:
        connection.executemany(
            "INSERT INTO shapes (parent, name, size, mtime_ns, ctime_ns, inode, kind) VALUES (?, ?, ?, ?, ?, ?, 999)",
            ((one.parent, one.name, one.size, one.mtime_ns, one.ctime_ns, one.inode) for one in files),
        )
        _fill(connection, place, moved=False)
        connection.execute("COMMIT")


def queued(place: Place, files: Iterable[Lying]) -> None:
    """Let the ledger of ``place`` know ``files``, which lie in the folder, as a backlog that is hashed and queued."""
    with closing(_opened(place)) as connection:
        connection.executemany(
            "INSERT INTO shapes (parent, name, size, mtime_ns, ctime_ns, inode, kind) VALUES (?, ?, ?, ?, ?, ?, 0)",
            ((one.parent, one.name, one.size, one.mtime_ns, one.ctime_ns, one.inode) for one in files),
        )
        _fill(connection, place, moved=False)
        for change in (
            "UPDATE analyses SET backlog = 1",
            "UPDATE files SET backlog = 1",
            "UPDATE queue SET backlog = 1",
            "UPDATE account SET state = 'ok', reason = NULL",
        ):
            connection.execute(change)
        connection.execute("COMMIT")


def tree(root: Path, *, directories: int, each: int) -> Iterable[Lying]:
    """Make a tree of ``directories`` with ``each`` small files in them, and yield what lies there."""
    for number in range(directories):
        parent = f"{number // 100:03}/{number % 100:02}".encode()
        for position in range(each):
            yield _lay(root, parent, b"%06d.jpg" % position, b"%d %d" % (number, position))


def _lay(root: Path, parent: bytes, name: bytes, mark: bytes) -> Lying:
    """Put a small file down that begins as a picture does and holds ``mark``; return what it looks like."""
    directory = os.path.join(os.fsencode(root), parent)  # noqa: PTH118 - bytes
    path = os.path.join(directory, name)  # noqa: PTH118 - likewise
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        os.makedirs(directory)  # noqa: PTH103 - likewise
        descriptor = os.open(path, flags)
    os.write(descriptor, b"\xff\xd8\xff\xe0 " + mark)
    found = os.fstat(descriptor)
    os.close(descriptor)
    return Lying(
        parent=parent,
        name=name,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
        inode=found.st_ino,
    )


def _opened(place: Place) -> sqlite3.Connection:
    """Make the ledger of ``place`` and open it for writing much at once."""
    with Ledger(place.ledger_url, node=socket.gethostname()):
        pass
    connection = sqlite3.connect(place.ledger_url.removeprefix("sqlite:///"), isolation_level=None)
    for pragma in ("synchronous=OFF", "cache_size=-400000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(
        "CREATE TEMP TABLE shapes (i INTEGER PRIMARY KEY, parent BLOB, name BLOB, size INTEGER, mtime_ns INTEGER, "
        "ctime_ns INTEGER, inode INTEGER, kind INTEGER)"
    )
    connection.execute("BEGIN IMMEDIATE")
    return connection


_VERDICT = (
    '{"classification": "%s", "confidence": 0.93, "heuristic": "Majority", "models": ["one", "two"], "unknown": '
    'false, "forced": null, "nsfw": null, "c2pa": null, "api_version": "2.1", "result_url": null, "has_heatmap": false}'
)

# An analysis has the number of the file that it was made for. A file is of one of a thousand kinds: what is copied is
# the content of the file half a thousand before it.
_STATEMENTS = (
    """
    INSERT INTO analyses (id, sha256, media, options, mime, size, noticed_at, state, due, stuck_at, identifier, sent_name,
                          submitted_at, judged_at, verdict)
    SELECT i, randomblob(32), 'image', '{}', 'image/jpeg', size, :since + i * :apart,
           CASE WHEN kind < 5 THEN 'queued' WHEN kind = 1000 THEN 'awaiting' ELSE 'judged' END,
           CASE WHEN kind < 5 THEN :since + i * :apart END,
           CASE WHEN kind = 1000 THEN :since + i * :apart END,
           CASE WHEN kind >= 5 THEN printf('%x', i * 7919) END, CASE WHEN kind >= 5 THEN printf('%016x', i) END,
           CASE WHEN kind >= 5 THEN :since + i * :apart + 2000000 END,
           CASE WHEN kind >= 5 AND kind <> 1000 THEN :since + i * :apart + 9000000 END,
           CASE WHEN kind >= 5 AND kind <> 1000 THEN iif(i % 3, :human, :artificial) END
    FROM shapes WHERE kind NOT BETWEEN 5 AND 9 AND kind NOT BETWEEN 40 AND 59 AND NOT (kind BETWEEN 60 AND 109 AND i > 500)
    """,
    """
    INSERT INTO files (id, folder_id, parent, name, size, mtime_ns, ctime_ns, inode, noticed_at, state, held, backlog,
                       analysis_id, media, sha256, refusal, rules, duplicate, outcome, reason, hashed_at, delivered_at,
                       lies_at)
    SELECT i, 1, parent, name, shapes.size, mtime_ns, ctime_ns, inode, :since + i * :apart,
           CASE WHEN kind < 10 OR kind = 1000 THEN 'waiting' WHEN kind BETWEEN 10 AND 29 THEN 'gone'
                WHEN kind BETWEEN 30 AND 39 THEN 'superseded' ELSE 'delivered' END,
           kind BETWEEN 5 AND 9, kind BETWEEN 5 AND 9, analyses.id, 'image', analyses.sha256,
           CASE WHEN kind BETWEEN 40 AND 59 THEN 'is no image that identifAI takes' END,
           CASE WHEN kind BETWEEN 40 AND 59 THEN :rules END, kind BETWEEN 60 AND 109,
           CASE WHEN kind < 10 OR kind = 1000 THEN NULL WHEN kind BETWEEN 40 AND 59 THEN 'rejected'
                WHEN analyses.id % 3 THEN 'human' ELSE 'artificial' END,
           NULL, CASE WHEN kind NOT BETWEEN 5 AND 9 THEN :since + i * :apart + 1000000 END,
           CASE WHEN kind >= 10 AND kind <> 1000 THEN :since + i * :apart + 9500000 END,
           CASE WHEN :moved AND kind >= 40 AND kind <> 1000 THEN
                CAST(iif(kind BETWEEN 40 AND 59, 'rejected/', iif(analyses.id % 3, 'human/', 'artificial/'))
                     || parent || '/' || name AS BLOB) END
    FROM shapes LEFT JOIN analyses ON analyses.id = CASE WHEN kind BETWEEN 60 AND 109 AND i > 500 THEN i - 500 ELSE i END
    """,
    """
    INSERT INTO queue (analysis_id, whose, backlog, priority, noticed_at, due)
    SELECT DISTINCT analyses.id, node, analyses.backlog, analyses.priority, analyses.noticed_at, analyses.due
    FROM analyses JOIN files ON files.analysis_id = analyses.id JOIN folders ON folders.id = folder_id
    WHERE analyses.state = 'queued' AND analyses.due IS NOT NULL AND files.state IN ('waiting', 'delivered')
    """,
    """
    INSERT INTO history (at, who, event, file_id, analysis_id, detail, digest)
    SELECT at, 'daemon', event, file_id, analysis_id,
           printf('{"sha256": "%s", "identifier": "%x"}', lower(hex(sha256)), analysis_id), randomblob(32)
    FROM (SELECT id AS analysis_id, NULL AS file_id, sha256, submitted_at AS at, 'uploaded' AS event FROM analyses
          UNION ALL SELECT id, NULL, sha256, judged_at, 'judged' FROM analyses
          UNION ALL SELECT analysis_id, id, sha256, delivered_at, 'delivered' FROM files)
    WHERE at IS NOT NULL ORDER BY at
    """,
)


def _fill(connection: sqlite3.Connection, place: Place, *, moved: bool) -> None:
    """Make the rows of what stands in the table ``shapes``, evenly over the last six years until an hour ago."""
    (files,) = connection.execute("SELECT count(*) FROM shapes").fetchone()
    config = place.config()
    folder = config.folders[0]
    (now,) = connection.execute("SELECT CAST(strftime('%s') AS INTEGER) * 1000000").fetchone()
    since = now - 6 * 365 * 86_400_000_000
    values = {
        "since": since,
        "apart": (now - 3_600_000_000 - since) // max(files, 1),
        "human": _VERDICT % "human",
        "artificial": _VERDICT % "artificial",
        "rules": rules_key(folder, folder.media_policy(config.limits.by_media())),
        "moved": moved,
    }
    connection.execute(
        "INSERT INTO folders (id, node, name, filesystem, archived_at) VALUES (1, ?, 'drop', ?, ?)",
        (socket.gethostname(), inspect_root(folder.root).identity, since),
    )
    connection.execute("INSERT INTO account (id, state, reason) VALUES (1, 'paused', 'operator')")
    for statement in _STATEMENTS:
        connection.execute(statement, values)
