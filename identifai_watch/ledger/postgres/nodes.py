"""Which nodes are alive: the advisory locks of their sessions, and that of this one, through which its daemon writes."""

import hashlib
import threading
import time
from contextlib import suppress
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from identifai_watch.errors import LaterError, LedgerAwayError, LedgerError
from identifai_watch.ledger.postgres.connecting import engine

_LOCKS = "identifai-watch node "
UPKEEP = "identifai-watch upkeep"
DAEMONS = "identifai-watch daemons"
"""Every daemon shares this lock; a copy of the ledger has it alone."""

RETAKE_SECONDS = 3.0
"""How long a lock that a session of ours lost is waited for: the server may still hold it for that session."""


def key_of(name: str) -> int:
    """Return the number of an advisory lock, 64 bits with a sign, of a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


class NodeLock:
    """The lock that says a node's daemon is alive, and the session that holds it, through which the daemon writes."""

    def __init__(self, url: sa.URL, node: str) -> None:
        self._name = f"identifai-watch {uuid4().hex[:12]}"
        self._engine = engine(url, poolclass=NullPool, name=self._name)
        self._asking = engine(url, poolclass=NullPool)
        self._key = key_of(_LOCKS + node)
        self._node = node
        self._session: sa.Connection | None = None
        self._owner: int | None = None

    def take(self) -> bool:
        """Take the lock for as long as this process lives; return False if another daemon has it.

        From now on ``session`` is for the thread that took it.
        """
        if not self._open():
            return False
        self._owner = threading.get_ident()
        return True

    @property
    def is_mine(self) -> bool:
        """Whether this thread took the lock."""
        return self._owner == threading.get_ident()

    def session(self) -> sa.Connection:
        """Return the session that holds the lock, taken anew if it was lost.

        Raises:
            LedgerAwayError: The server cannot be reached, or has not noticed yet that the session before is gone.
            LaterError: Another daemon has taken the lock meanwhile.
        """
        found = self._session
        if found is not None and not found.closed and not found.invalidated:
            return found
        self._drop()
        deadline = time.monotonic() + RETAKE_SECONDS
        while not self._open():
            holder = self._holder()
            if holder is not None and holder[1] != self._name:
                raise LaterError(f"another daemon runs as node {self._node} on this ledger by now")
            if holder is not None:
                self._end(holder[0])
            if time.monotonic() > deadline:
                raise LedgerAwayError(
                    f"the lock of node {self._node} is still held by a session that is gone"
                )
            time.sleep(0.05)  # the server ends the old session in its own time, and tells nobody
        if self._session is None:
            raise LedgerAwayError(f"the lock of node {self._node} was lost at once")
        return self._session

    def is_taken(self) -> bool:
        """Tell whether a daemon, of this process or of another, holds the lock."""
        if self._owner is not None:
            return True
        with self._asking.connect() as connection:
            return _holder(connection, self._key) is not None

    def release(self) -> None:
        """Give the lock back, and every connection."""
        self._owner = None
        self._drop()
        self._engine.dispose()
        self._asking.dispose()

    def _open(self) -> bool:
        session = self._engine.connect().execution_options(write=True)
        try:
            with session.begin():
                is_had = session.execute(sa.select(sa.func.pg_try_advisory_lock(self._key))).scalar_one()
        except BaseException:
            session.close()
            raise
        if not is_had:
            session.close()
            return False
        if not _share(session):
            session.close()
            raise LaterError("this ledger is being copied; a daemon can start when that has ended")
        self._session = session
        return True

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(LedgerError, DBAPIError):
                session.invalidate()
            with suppress(LedgerError, DBAPIError):
                session.close()

    def _holder(self) -> tuple[int, str] | None:
        with self._asking.connect() as connection:
            return _holder(connection, self._key)

    def _end(self, process: int) -> None:
        """End a session of ours that the server still believes in: the network between lost it."""
        with self._asking.connect() as connection:
            connection.execute(sa.select(sa.func.pg_terminate_backend(process)))


def _share(session: sa.Connection) -> bool:
    """Have a copy of the ledger wait for this session; return False if one is being made."""
    try:
        with session.begin():
            taken = sa.select(sa.func.pg_try_advisory_lock_shared(key_of(DAEMONS)))
            return bool(session.execute(taken).scalar_one())
    except BaseException:
        session.close()
        raise


_HOLDERS = sa.text(
    "SELECT l.classid::bigint AS high, l.objid::bigint AS low, l.pid, coalesce(a.application_name, '') AS name "
    "FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def _holders(connection: sa.Connection) -> dict[int, tuple[int, str]]:
    """Return who holds the advisory locks of this database: the process and what it calls itself, by the lock's key."""
    found = {}
    for row in connection.execute(_HOLDERS):
        key = (row.high << 32 | row.low).to_bytes(8, "big")
        found[int.from_bytes(key, "big", signed=True)] = (int(row.pid), str(row.name))
    return found


def _holder(connection: sa.Connection, key: int) -> tuple[int, str] | None:
    return _holders(connection).get(key)


def alive(tx: sa.Connection, nodes: list[str]) -> set[str]:
    """Return those of ``nodes`` whose daemon is alive."""
    held = _holders(tx)
    return {node for node in nodes if key_of(_LOCKS + node) in held}
