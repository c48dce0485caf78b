"""A PostgreSQL of the benchmarks' own, and ledgers on it that look as if many hosts had kept them for years.

They are made in SQL inside the server, past everything that the daemons do.
"""

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import click
import psycopg
import pytest

from identifai_watch.ledger import Ledger
from identifai_watch.ledger.schema import EPOCH
from tests.postgres import Cluster

SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "maintenance_work_mem": "1GB",
    "checkpoint_timeout": "15min",
    "shared_preload_libraries": "pg_stat_statements",
}
"""Those of a small server that keeps what it commits; all else is PostgreSQL's default."""

ANSWER = 600
"""Bytes of an answer of the API, compressed."""

NEWEST_WITH_ANSWERS = 0.1
"""The part of the files, the newest, of which the API's answers are still there: ``prune`` forgets older ones."""


@contextmanager
def server() -> Iterator[Cluster | None]:
    """Start a PostgreSQL for as long as the block lasts; None, said on standard error, where none is installed."""
    try:
        cluster = Cluster(settings=SETTINGS)
    except pytest.skip.Exception as missing:
        click.echo(f"nothing is measured: {missing}", err=True)
        yield None
        return
    with cluster:
        yield cluster


@contextmanager
def careless(cluster: Cluster) -> Iterator[None]:
    """Have the server wait for no disk while much is written to it; at the end all is there."""
    for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
        cluster.administer(statement)
    yield
    for statement in ("ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()", "CHECKPOINT"):
        cluster.administer(statement)


def address(url: str) -> str:
    """Return the address of a database for libpq."""
    return url.replace("+psycopg", "", 1)


def archive(url: str, files: int, *, now: datetime, folders: int, each: int = 1, alone: bool = False) -> None:
    """Make the ledger at ``url``, and let it have ``files`` files of two years until ``now`` in so many folders.

    Each host, ``host-1`` and so on, has ``each`` of them; with ``alone`` nine of ten files are in one
    directory of the first. Of a
    thousand files 5 are queued, 5 held, 20 gone, 10 replaced, 20 refused here, 50 copies of another, 3 awaited, 2 judged
    and not delivered yet, and 1 released from an archive and not looked at; in ten thousand one is stuck, and in a
    hundred thousand one each is overdue, waits for its heatmap, and was being sent when its host ended. All others are
    delivered. Of the last host nothing is queued. Each has two lines of history; the API's answers are kept of the newest tenth. There are the requests of a
    day at 30 posts and 60 gets a minute, but not more than files.
    """
    with Ledger(url, node="host-1"):
        pass
    since = now - timedelta(days=730)
    apart = (now - timedelta(hours=1) - since) // files
    values = {
        "files": files,
        "folders": folders,
        "each": each,
        "alone": alone,
        "now": _micros(now),
        "since": _micros(since),
        "apart": apart // timedelta(microseconds=1),
        "answers": int(files * (1 - NEWEST_WITH_ANSWERS)),
        "requests": min(files, 43_200),
        "verdict": _VERDICT,
        "answer": zlib.compress(random.Random(1).randbytes(ANSWER)),
    }
    with psycopg.connect(address(url), autocommit=True) as connection:
        with connection.transaction():
            bare, whole = _hindrances(connection)
            for statement in bare:
                connection.execute(statement.encode())
            for statement in _STATEMENTS:
                connection.execute(statement.encode(), values)
            _count_on(connection)
            for statement in whole:
                connection.execute(statement.encode())
        connection.execute("VACUUM ANALYZE")


def queue(url: str, contents: int, *, now: datetime) -> None:
    """Make the ledger at ``url``, with so many contents that wait for their upload, each of one file of one folder."""
    with Ledger(url, node="host-0"):
        pass
    with psycopg.connect(address(url), autocommit=True) as connection:
        for statement in _QUEUE:
            connection.execute(statement.encode(), {"contents": contents, "now": _micros(now)})
        _count_on(connection)
        connection.execute("VACUUM ANALYZE")


def _micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _count_on(connection: psycopg.Connection) -> None:
    """Have the numbers of rows go on behind those that were given."""
    for table in ("analyses", "files", "folders"):
        sequence = f"pg_get_serial_sequence('{table}', 'id')"
        connection.execute(f"SELECT setval({sequence}, max(id)) FROM {table}".encode())


def _hindrances(connection: psycopg.Connection) -> tuple[list[str], list[str]]:
    """Return the statements that take away what makes many rows slow to write, and those that put it back."""
    keys = connection.execute(
        "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname), "
        "format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) "
        "FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'u') ORDER BY contype"
    ).fetchall()
    indexes = connection.execute(
        "SELECT format('DROP INDEX %I', c.relname), pg_get_indexdef(c.oid) "
        "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "WHERE c.relnamespace = 'public'::regnamespace "
        "AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid)"
    ).fetchall()
    both = [*keys, *indexes]
    return [drop for drop, _ in both], [make for _, make in reversed(both)]


_VERDICT = (
    '{"classification": "%s", "confidence": 0.93, "heuristic": "Majority", "models": ["one", "two"], "unknown": '
    'false, "forced": null, "nsfw": null, "c2pa": null, "api_version": "2.1", "result_url": null, "has_heatmap": false}'
)
_SHAPES = """
    SELECT i, CASE WHEN i %% 10000 = 700 THEN 1000 ELSE i %% 1000 END AS kind, %(since)s + i * %(apart)s AS at,
           CASE WHEN i %% 1000 BETWEEN 60 AND 109 AND i > 500 THEN i - 500 ELSE i END AS content
    FROM generate_series(1::bigint, %(files)s) AS i
"""
_MEDIA = "CASE WHEN {0} %% 20 = 13 THEN 'video' WHEN {0} %% 50 = 1 THEN 'audio' ELSE 'image' END"
_LABEL = "CASE WHEN {0} %% 3 = 0 THEN 'artificial' ELSE 'human' END"

_WAITING = """
    INSERT INTO queue (analysis_id, whose, backlog, priority, noticed_at, due)
    SELECT DISTINCT a.id, folders.node, a.backlog, a.priority, a.noticed_at, a.due
    FROM analyses AS a JOIN files ON files.analysis_id = a.id JOIN folders ON folders.id = files.folder_id
    WHERE a.state = 'queued' AND a.due IS NOT NULL AND files.state IN ('waiting', 'delivered')
"""

# An analysis has the number of the file that it was made for.
# ruff: noqa: S608 - what stands in them is from above
_STATEMENTS = (
    """
    INSERT INTO folders (id, node, name, filesystem, archived_at)
    SELECT i, 'host-' || 1 + (i - 1) / %(each)s, 'drop-' || i, 'ext4 /dev/sda1 /', %(since)s
    FROM generate_series(1, %(folders)s) AS i
    """,
    f"""
    INSERT INTO analyses (id, sha256, media, options, mime, size, noticed_at, state, doubt, backlog, priority, due, stuck_at,
                          identifier, sent_name, submitted_at, deadline, judged_at, heatmap_due, verdict, claimed_by,
                          claim, claimed_until)
    SELECT i, sha256(int8send(i)), {_MEDIA.format("i")}, '{{}}', 'image/jpeg', 200000 + i %% 5000000, at, state,
           (i %% 10000 = 2)::int, CASE WHEN kind = 0 THEN 1 ELSE 0 END, CASE WHEN kind = 1 THEN 10 ELSE 0 END,
           CASE WHEN kind = 1000 THEN NULL WHEN state IN ('queued', 'awaiting') THEN at END,
           CASE WHEN kind = 1000 THEN at END,
           CASE WHEN state IN ('awaiting', 'judged') THEN to_hex(i * 7919) END,
           CASE WHEN state IN ('awaiting', 'judged') THEN lpad(to_hex(i), 16, '0') END,
           CASE WHEN state <> 'queued' THEN at + 2000000 END,
           CASE WHEN state = 'awaiting' THEN %(now)s + CASE WHEN i %% 100000 = 112 THEN -1000000 ELSE 3600000000 END END,
           CASE WHEN state = 'judged' THEN at + 9000000 END,
           CASE WHEN i %% 100000 = 200 THEN at END,
           CASE WHEN state = 'judged' THEN replace(%(verdict)s, '%%s', {_LABEL.format("i")}) END,
           CASE WHEN state = 'sending' THEN 'host-2' END, CASE WHEN state = 'sending' THEN 'run' END,
           CASE WHEN state = 'sending' THEN at + 17000000 END
    FROM (SELECT *, CASE WHEN kind < 5 THEN 'queued' WHEN kind = 1000 OR kind BETWEEN 110 AND 112 THEN 'awaiting'
                         WHEN i %% 100000 = 201 THEN 'sending' ELSE 'judged' END AS state FROM ({_SHAPES}) AS s) AS shapes
    WHERE kind NOT BETWEEN 5 AND 9 AND kind NOT BETWEEN 40 AND 59 AND kind <> 115 AND content = i
    """,
    f"""
    INSERT INTO files (id, folder_id, parent, name, size, mtime_ns, ctime_ns, inode, noticed_at, state, held, backlog,
                       analysis_id, media, sha256, refusal, rules, duplicate, decision, decided_by, decided_at, outcome,
                       delivered_as, hashed_at, delivered_at, due)
    SELECT i, CASE WHEN %(alone)s AND i %% 10 > 0 THEN 1 ELSE 1 + (i / 10 + i / 1000) %% (%(folders)s - %(each)s * (kind < 5)::int) END,
           CASE WHEN %(alone)s AND i %% 10 > 0 THEN '' ELSE convert_to(format('%%s/desk-%%s', i / 5000, i %% 7), 'UTF8') END,
           convert_to(CASE WHEN %(alone)s THEN i || '.jpg' ELSE format('IMG_%%s.jpg', lpad(i::text, 9, '0')) END, 'UTF8'),
           200000 + content %% 5000000,
           at * 1000, at * 1000, i, at, state, (kind BETWEEN 5 AND 9)::int,
           (kind BETWEEN 5 AND 9 OR kind IN (0, 115))::int,
           CASE WHEN is_sent THEN content END, {_MEDIA.format("content")},
           CASE WHEN is_sent THEN sha256(int8send(content)) END,
           CASE WHEN kind BETWEEN 40 AND 59 THEN 'is no image that identifAI takes' END,
           CASE WHEN kind BETWEEN 40 AND 59 THEN 'rules' END, (content <> i)::int,
           CASE WHEN i %% 200 = 150 THEN 'human' END, CASE WHEN i %% 200 = 150 THEN 'ann' END,
           CASE WHEN i %% 200 = 150 THEN at + 60000000 END, outcome, outcome,
           CASE WHEN is_sent THEN at + 1000000 END, CASE WHEN state <> 'waiting' THEN at + 9500000 END,
           CASE WHEN kind IN (113, 114) THEN at END
    FROM (SELECT *, CASE WHEN state = 'waiting' THEN NULL WHEN kind BETWEEN 40 AND 59 THEN 'rejected'
                         ELSE {_LABEL.format("content")} END AS outcome
          FROM (SELECT *, CASE WHEN kind < 10 OR kind BETWEEN 110 AND 115 OR kind = 1000 OR i %% 100000 = 201 THEN 'waiting'
                               WHEN kind BETWEEN 10 AND 29 THEN 'gone' WHEN kind BETWEEN 30 AND 39 THEN 'superseded'
                               ELSE 'delivered' END AS state,
                       kind NOT BETWEEN 5 AND 9 AND kind NOT BETWEEN 40 AND 59 AND kind <> 115 AS is_sent
                FROM ({_SHAPES}) AS s) AS t) AS shapes
    """,
    f"""
    INSERT INTO history (at, who, event, file_id, analysis_id, detail, digest)
    SELECT at + n * 9000000, 'daemon', CASE n WHEN 0 THEN 'admitted' ELSE 'judged' END, CASE n WHEN 0 THEN i END, i,
           format('{{"sha256": "%%s", "identifier": "%%s"}}', encode(sha256(int8send(i)), 'hex'), to_hex(i * 7919)),
           sha256(int8send(i * 2 + n))
    FROM ({_SHAPES}) AS shapes, generate_series(0, 1) AS n
    WHERE kind NOT BETWEEN 5 AND 9 AND kind NOT BETWEEN 40 AND 59 AND kind <> 115 AND content = i
    """,
    _WAITING,
    """
    INSERT INTO answers (analysis_id, raw)
    SELECT id, %(answer)s FROM analyses
    WHERE state = 'judged' AND id > %(answers)s
    """,
    """
    INSERT INTO "left" (folder_id, parent, name, size, mtime_ns, ctime_ns, inode, reason, rules, left_at)
    SELECT 1 + i %% %(folders)s, convert_to(format('%%s/desk-%%s', i / 500, i %% 7), 'UTF8'), convert_to(format('notes-%%s.txt', i), 'UTF8'),
           10, 1, 2, 3, 'is no media', 'rules', %(since)s FROM generate_series(1, %(files)s / 10) AS i
    """,
    """
    INSERT INTO requests (at, method, backlog)
    SELECT %(now)s - i * (86400000000 / %(requests)s), 'POST', 0 FROM generate_series(1, %(requests)s) AS i
    UNION ALL
    SELECT %(now)s - i * (43200000000 / %(requests)s), 'GET', 0 FROM generate_series(1, 2 * %(requests)s) AS i
    """,
    "INSERT INTO account (id, state) VALUES (1, 'ok') ON CONFLICT DO NOTHING",
)

_QUEUE = (
    "INSERT INTO folders (id, node, name) VALUES (1, 'host-0', 'drop')",
    """
    INSERT INTO analyses (id, sha256, media, options, mime, size, noticed_at, state, due)
    SELECT i, sha256(int8send(i)), 'image', '{}', 'image/jpeg', 200000 + i, %(now)s - i * 1000000, 'queued', %(now)s - i * 1000000
    FROM generate_series(1::bigint, %(contents)s) AS i
    """,
    """
    INSERT INTO files (folder_id, parent, name, size, mtime_ns, ctime_ns, noticed_at, state, analysis_id, media, sha256)
    SELECT 1, '', convert_to(id || '.jpg', 'UTF8'), size, 1, 2, noticed_at, 'waiting', id, media, sha256 FROM analyses
    """,
    _WAITING,
)
