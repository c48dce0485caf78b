"""What nodes tell each other: that something waits for one of them."""

import threading
from collections.abc import Callable
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from identifai_watch.errors import LedgerError
from identifai_watch.ledger.postgres import connecting
from identifai_watch.ledger.postgres.connecting import engine

CHANNEL = "identifai_watch"
"""What is told on: the payload is the node that has something to do."""


def ring(tx: sa.Connection, nodes: set[str]) -> None:
    """Tell other nodes, once this transaction is committed, that there is something for them to do."""
    for node in sorted(nodes):
        tx.execute(_RING, {"node": node})


_RING = sa.select(sa.func.pg_notify(CHANNEL, sa.bindparam("node")))


ASK_SECONDS = 2.0
"""After so long without a word the server is asked whether it is there."""


class Watch:
    """Hears, in a thread of its own, that another node has left this one something to do."""

    def __init__(self, url: sa.URL, node: str) -> None:
        self._url = url
        self._node = node
        self._heard = 0
        self._is_hearing = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def version(self) -> int | None:
        """Return a number that changes when another node told this one something; None while nobody would hear it."""
        return self._heard if self._is_hearing else None

    def listen(self, wake: Callable[[], None]) -> None:
        """Begin to hear; ``wake`` is called for what is heard, in the thread that hears."""
        self._thread = threading.Thread(target=self._listen, args=(wake,), name="ledger", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._ended.set()

    def _listen(self, wake: Callable[[], None]) -> None:
        made = engine(self._url, poolclass=NullPool).execution_options(isolation_level="AUTOCOMMIT")
        while not self._ended.is_set():
            try:
                with made.connect() as connection:
                    connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                    raw = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
                    self._hear(raw, wake)
            except (LedgerError, DBAPIError, psycopg.Error):
                self._is_hearing = False
                self._ended.wait(1)

    def _hear(self, connection: psycopg.Connection[Any], wake: Callable[[], None]) -> None:
        self._is_hearing = True
        self._heard += 1  # what was told while nobody heard
        wake()
        # Asked before silence would count as a server that is gone.
        patience = min(ASK_SECONDS, connecting.ANSWER_SECONDS / 2)
        while not self._ended.is_set():
            is_told = False
            for said in connection.notifies(timeout=patience, stop_after=1):
                is_told = is_told or said.payload == self._node
            if is_told:
                self._heard += 1
                wake()
            else:
                connection.execute("SELECT 1")  # a server that is gone says nothing at all
