"""The real program, killed: it sends itself SIGKILL right before or right after a named point where state is written.

``POINTS`` is the list of them. Such processes are started by ``tests.nursery``, and ``arm`` is called in them before the
program's own ``main``; around the points the real functions are called, always, and nothing runs after the signal: no
``finally``, no flush, no other thread.
"""

import os
import signal
import stat
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Side(StrEnum):
    """On which side of a point."""

    BEFORE = "before"
    AFTER = "after"


class Kind(StrEnum):
    """What happens at a point."""

    COMMIT = "a transaction of the ledger is committed"
    REQUEST = "a part of a request leaves"
    ANSWER = "an answer is read"
    DISK = "something is written beside the files, or they are moved"


@dataclass(frozen=True, slots=True)
class Point:
    """A point where state is written, here, at the API or on the disk."""

    kind: Kind
    name: str


POINTS: tuple[Point, ...] = (
    # The commit in which an arrow of core/lifecycle.py is written: an analysis's,
    Point(Kind.COMMIT, "queued, Begun"),
    Point(Kind.COMMIT, "queued, Absent"),
    Point(Kind.COMMIT, "queued, Present"),
    Point(Kind.COMMIT, "queued, Retried"),
    Point(Kind.COMMIT, "sending, Uploaded"),
    Point(Kind.COMMIT, "sending, Unsent"),
    Point(Kind.COMMIT, "sending, Deferred"),
    Point(Kind.COMMIT, "sending, Refused"),
    Point(Kind.COMMIT, "awaiting, Pending"),
    Point(Kind.COMMIT, "awaiting, Judged"),
    Point(Kind.COMMIT, "awaiting, Errored"),
    Point(Kind.COMMIT, "awaiting, Lost"),
    Point(Kind.COMMIT, "awaiting, Mismatched"),
    Point(Kind.COMMIT, "awaiting, Malformed"),
    Point(Kind.COMMIT, "awaiting, Unanswered"),
    Point(Kind.COMMIT, "awaiting, Overdue"),
    Point(Kind.COMMIT, "awaiting, Retried"),
    Point(Kind.COMMIT, "judged, Overridden"),
    Point(Kind.COMMIT, "refused, Retried"),
    # a file's,
    Point(Kind.COMMIT, "waiting, Destined"),
    Point(Kind.COMMIT, "waiting, Delivered"),
    Point(Kind.COMMIT, "waiting, Undelivered"),
    Point(Kind.COMMIT, "waiting, Reopened"),
    Point(Kind.COMMIT, "waiting, Retried"),
    Point(Kind.COMMIT, "waiting, Superseded"),
    Point(Kind.COMMIT, "waiting, Seen"),
    Point(Kind.COMMIT, "waiting, Missed"),
    Point(Kind.COMMIT, "waiting, Stirred"),
    Point(Kind.COMMIT, "waiting, Announced"),
    Point(Kind.COMMIT, "waiting, Expired"),
    Point(Kind.COMMIT, "delivered, Reopened"),
    Point(Kind.COMMIT, "delivered, Retried"),
    Point(Kind.COMMIT, "delivered, Superseded"),
    Point(Kind.COMMIT, "delivered, Seen"),
    Point(Kind.COMMIT, "delivered, Missed"),
    Point(Kind.COMMIT, "delivered, Stirred"),
    Point(Kind.COMMIT, "gone, Seen"),
    Point(Kind.COMMIT, "gone, Superseded"),
    Point(Kind.COMMIT, "gone, Swept"),
    Point(Kind.COMMIT, "superseded, Swept"),
    # and what else is written.
    Point(Kind.COMMIT, "schema made"),
    Point(Kind.COMMIT, "root pinned"),
    Point(Kind.COMMIT, "held"),
    Point(Kind.COMMIT, "archive known"),
    Point(Kind.COMMIT, "released"),
    Point(Kind.COMMIT, "admitted"),
    Point(Kind.COMMIT, "refused here"),
    Point(Kind.COMMIT, "left alone"),
    Point(Kind.COMMIT, "polls claimed"),
    Point(Kind.COMMIT, "deliveries claimed"),
    Point(Kind.COMMIT, "heatmap claimed"),
    Point(Kind.COMMIT, "heatmap kept"),
    Point(Kind.COMMIT, "POST logged"),
    Point(Kind.COMMIT, "GET logged"),
    Point(Kind.COMMIT, "account advanced"),
    Point(Kind.COMMIT, "decided"),
    Point(Kind.COMMIT, "rejudged"),
    Point(Kind.COMMIT, "order asked"),
    Point(Kind.COMMIT, "order answered"),
    # What leaves for the API. Before its head no byte has gone; a block is half of the content.
    Point(Kind.REQUEST, "head of an upload"),
    Point(Kind.REQUEST, "block of an upload"),
    Point(Kind.REQUEST, "closing boundary of an upload"),
    Point(Kind.REQUEST, "head of a question for one result"),
    Point(Kind.REQUEST, "head of a question for many results"),
    Point(Kind.REQUEST, "head of a question for a heatmap"),
    # What comes from it.
    Point(Kind.ANSWER, "answer to an upload"),
    Point(Kind.ANSWER, "answer with one result"),
    Point(Kind.ANSWER, "answer with many results"),
    Point(Kind.ANSWER, "answer with a heatmap"),
    # What a delivery does, in its order.
    Point(Kind.DISK, "making of a directory"),
    Point(Kind.DISK, "writing of the sidecar"),
    Point(Kind.DISK, "sync of the sidecar"),
    Point(Kind.DISK, "naming of the sidecar"),
    Point(Kind.DISK, "rename of the moved file"),
    Point(Kind.DISK, "link of the moved file"),
    Point(Kind.DISK, "unlink of the moved file"),
    Point(Kind.DISK, "writing of the file taken across"),
    Point(Kind.DISK, "sync of the file taken across"),
    Point(Kind.DISK, "rename of the file taken across"),
    Point(Kind.DISK, "unlink of the file taken across"),
    Point(Kind.DISK, "writing of the copy"),
    Point(Kind.DISK, "sync of the copy"),
    Point(Kind.DISK, "rename of the copy"),
    Point(Kind.DISK, "writing of a companion"),
    Point(Kind.DISK, "sync of a companion"),
    Point(Kind.DISK, "rename of a companion"),
    Point(Kind.DISK, "unlink of a companion"),
    Point(Kind.DISK, "unlink of the old sidecar"),
    Point(Kind.DISK, "rename of what is put aside"),
    Point(Kind.DISK, "writing of the heatmap"),
    Point(Kind.DISK, "sync of the heatmap"),
    Point(Kind.DISK, "naming of the heatmap"),
)

UNMET = {
    **dict.fromkeys(("queued, Refused",), "only the answer to an upload refuses, and it is sending then"),
    **dict.fromkeys(
        ("sending, Absent", "awaiting, Absent", "judged, Absent", "refused, Absent"),
        "nothing is written: only what is queued rests while its file is away",
    ),
    **dict.fromkeys(
        ("sending, Present", "awaiting, Present", "judged, Present", "refused, Present"),
        "nothing is written: only what is queued had rested",
    ),
    **dict.fromkeys(("sending, Retried", "judged, Retried"), "nothing is written: there is nothing to retry"),
    "gone, Missed": "scans and deliveries pass over what is gone",
    **dict.fromkeys(("gone, Reopened", "gone, Retried"), "nothing is written: there is no file to deliver"),
    **dict.fromkeys(
        ("superseded, Seen", "superseded, Missed"), "nothing is written: another row stands for its path"
    ),
}
"""Arrows of core/lifecycle.py that no running daemon writes, each with the reason; a process that writes one fails."""

WROTE_UNMET = 70
"""How a process ends that wrote what is said to be never written."""

BY_LINK = frozenset({"link of the moved file", "unlink of the moved file"})
"""Points that are met where the system knows no ``renameat2``: it is taken away for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a process dies: on this side of the ``nth`` time that it passes ``points``.

    Several points are met at once: by the transaction in which all of them are written.
    """

    points: tuple[str, ...]
    side: Side
    nth: int = 1


# The process that dies.


class _Here(threading.local):
    """What this thread is at: what is noted in its transaction, what it asks, and what it writes."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.arrows: list[dict[int, str]] = []
        self.asked = ""
        self.departing = ""
        self.is_head_gone = False
        self.writes: list[str] = []


_here = _Here()


class Killer:
    """Ends this process at its aim; ``mark`` is written right before that, to be found by whoever started it."""

    def __init__(self, aim: Aim, mark: Path) -> None:
        self._aim = aim
        self._mark = mark
        self._left = aim.nth
        self._lock = threading.Lock()

    def aims_at(self, points: Collection[str]) -> bool:
        """Tell whether it is one of these points that this process dies at."""
        return not set(points).isdisjoint(self._aim.points)

    def passes(self, side: Side, points: Collection[str]) -> None:
        """Die if this is the aim."""
        if side is not self._aim.side or not set(self._aim.points) <= set(points):
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._mark.write_text(f"{side} {', '.join(self._aim.points)}", encoding="utf-8")
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, point_of: Callable[..., str | None]) -> None:
        """Pass a point on both sides of each call of a real function, where ``point_of`` its arguments names one."""
        real = getattr(owner, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            point = point_of(*args, **kwargs)
            if point is None:
                return real(*args, **kwargs)
            self.passes(Side.BEFORE, [point])
            result = real(*args, **kwargs)
            self.passes(Side.AFTER, [point])
            return result

        setattr(owner, name, called)


def _then(owner: Any, name: str, note: Callable[..., str | None]) -> None:
    """Note in the transaction what a call of a real function wrote; ``note`` gets its result and its arguments."""
    real = getattr(owner, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        noted = note(result, *args, **kwargs)
        if noted is not None:
            _here.noted.append(noted)
        return result

    setattr(owner, name, called)


def _within(owner: Any, name: str, what: str, *, unless: Collection[str] = ()) -> None:
    """Know what is being written while a real function is called."""
    real = getattr(owner, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        if _here.writes and _here.writes[-1] in unless:
            return real(*args, **kwargs)
        _here.writes.append(what)
        try:
            return real(*args, **kwargs)
        finally:
            _here.writes.pop()

    setattr(owner, name, called)


def _commits(killer: Killer) -> None:
    """Note what each transaction writes, and pass its points before and after its COMMIT."""
    from identifai_watch.ledger import Ledger, archive, budget, claims, desk, history, intake, work  # noqa: PLC0415 - after the fork

    real = Ledger.write

    @contextmanager
    def write(ledger: Ledger) -> Iterator[Any]:
        _here.noted = noted = []
        with real(ledger) as tx:
            yield tx
            killer.passes(Side.BEFORE, noted)
        killer.passes(Side.AFTER, noted)

    Ledger.write = write  # type: ignore[method-assign] - around the real one
    _arrows(work, "advance_all", "advance")
    _arrows(work, "begin", "advance")
    _arrows(work, "advance_files", "advance_file")
    _taken(work)
    _then(history, "record", lambda _, _tx, _step, event, **__: event if isinstance(event, str) else None)
    _then(history, "record_admitted", lambda *_: "admitted")
    _then(work, "keep_heatmap", lambda *_, **__: "heatmap kept")
    for owner, name, noted in (
        (intake, "pin", "root pinned"),
        (archive, "hold", "held"),
        (archive, "archived", "archive known"),
        (intake, "leave", "left alone"),
    ):
        _then(owner, name, lambda *_, noted=noted, **__: noted)
    for name, noted in (
        ("claim_polls", "polls claimed"),
        ("claim_deliveries", "deliveries claimed"),
        ("claim_heatmap", "heatmap claimed"),
    ):
        _then(claims, name, lambda found, *_, noted=noted, **__: noted if found else None)
    _departures(killer, budget)
    _then(
        budget, "advance_account", lambda both, *_, **__: "account advanced" if both[0] != both[1] else None
    )
    _then(desk, "ask", lambda *_, **__: "order asked")
    _then(desk, "answered", lambda *_, **__: "order answered")
    if killer.aims_at({"schema made"}):
        _migration(killer)


def _migration(killer: Killer) -> None:
    """Pass the point of the transaction that makes the ledger's schema."""
    from identifai_watch.ledger import migrate  # noqa: PLC0415 - only a new ledger needs it

    made, upgrade = migrate.command.upgrade, migrate.upgrade

    def made_in_transaction(*args: Any, **kwargs: Any) -> None:
        made(*args, **kwargs)
        killer.passes(Side.BEFORE, ["schema made"])

    def upgraded(*args: Any, **kwargs: Any) -> None:
        upgrade(*args, **kwargs)
        killer.passes(Side.AFTER, ["schema made"])

    migrate.command.upgrade = made_in_transaction
    migrate.upgrade = upgraded


def _arrows(work: Any, name: str, core: str) -> None:
    """Know by which arrows rows are being advanced: by the function ``name``, which asks ``core`` of each."""
    real, asked = getattr(work, name), getattr(work.lifecycle, core)

    def called(*args: Any, **kwargs: Any) -> Any:
        _here.arrows.append({})
        try:
            return real(*args, **kwargs)
        finally:
            _here.arrows.pop()

    def advanced(row: Any, event: object, *args: Any, **kwargs: Any) -> Any:
        if _here.arrows:
            _here.arrows[-1][row.id] = f"{row.state}, {type(event).__name__}"
        return asked(row, event, *args, **kwargs)

    setattr(work, name, called)
    setattr(work.lifecycle, core, advanced)


def _departures(killer: Killer, budget: Any) -> None:
    """Pass the points of requests that take their instant, which is a transaction by itself, and note those that left before.

    What nothing limits is written down after it left.
    """
    from identifai_watch.ledger import sqlite  # noqa: PLC0415 - after the fork

    departure, write, real = budget._departure, sqlite.Store.write, budget.log

    def departs(method: str, *args: Any, **kwargs: Any) -> Any:
        _here.departing = method
        return departure(method, *args, **kwargs)

    @contextmanager
    def written(store: Any) -> Iterator[Any]:
        departing, _here.departing = _here.departing, ""
        with write(store) as tx:
            yield tx
            killer.passes(Side.BEFORE, [f"{departing} logged"])
        killer.passes(Side.AFTER, [f"{departing} logged"])

    budget._departure = departs
    sqlite.Store.write = written  # type: ignore[method-assign] - around the real one

    def logged(tx: Any, departed: Any) -> None:
        real(tx, departed)
        _here.noted += [f"{one.method} logged" for one in departed]

    budget.log = logged


def _taken(work: Any) -> None:
    """Note the arrows by which rows are written; one that is not advanced but made has none."""
    real = work._write

    def written(tx: Any, table: Any, changes: Any) -> None:
        real(tx, table, changes)
        for number, _ in changes:
            taken = _here.arrows[-1].get(number) if _here.arrows else None
            if taken in UNMET:
                os._exit(WROTE_UNMET)
            if taken is not None:
                _here.noted.append(taken)

    work._write = written


_QUESTIONS = {
    "/api/classification/heatmap/": ("a question for a heatmap", "a heatmap"),
    "/api/classifications": ("a question for many results", "many results"),
    "/api/classification/": ("a question for one result", "one result"),
}


def _requests(killer: Killer) -> None:
    """Pass the points of each request and its answer."""
    from identifai_watch import api  # noqa: PLC0415 - after the fork
    from identifai_watch.api import wire as wires  # noqa: PLC0415 - likewise

    real = wires._HTTPConnection.request

    def request(wire: Any, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        found = (name for start, name in _QUESTIONS.items() if url.startswith(start))
        _here.asked = "an upload" if method == "POST" else next(found, ("", ""))[0]
        _here.is_head_gone = False
        real(wire, method, url, *args, **kwargs)

    wires._HTTPConnection.request = request  # type: ignore[method-assign] - around the real one

    def part(_wire: Any, data: bytes) -> str | None:
        is_head, _here.is_head_gone = not _here.is_head_gone, True
        if is_head:
            return f"head of {_here.asked}"
        body = wires.FLIGHT.get().body
        if body is None or data == body._head:
            return None
        return f"{'closing boundary' if data == body._tail else 'block'} of an upload"

    def answer(*_: Any, **__: Any) -> str | None:
        with_what = dict(_QUESTIONS.values()).get(_here.asked)
        return "answer to an upload" if _here.asked == "an upload" else f"answer with {with_what}"

    killer.around(wires._HTTPConnection, "send", part)
    killer.around(api, "_read", answer)


def _disk(killer: Killer) -> None:
    """Pass the points of each delivery."""
    from identifai_watch.delivery import aside, carry, companions, own, placing, tree  # noqa: PLC0415 - after the fork

    companion = ("a companion",)
    _within(own, "write_sidecar", "the sidecar")
    _within(own, "write_heatmap", "the heatmap")
    _within(own, "withdraw_sidecar", "the old sidecar")
    for name in ("move", "copy"):
        _within(companions, name, *companion)
    _within(aside, "_put_aside", "what is put aside")
    _within(carry, "copy", "the copy")
    _within(carry, "move", "the moved file")
    _within(placing, "copy", "the file taken across", unless=companion)
    _within(placing, "_drop", "the file taken across", unless=companion)
    killer.around(tree, "_make", lambda *_: "making of a directory")

    def at(verb: str) -> Callable[..., str | None]:
        return lambda *_, **__: f"{verb} of {_here.writes[-1]}" if _here.writes else None

    def named(*_: Any, **__: Any) -> str | None:
        is_own = bool(_here.writes) and _here.writes[-1] in {"the sidecar", "the heatmap"}
        return at("naming" if is_own else "rename")()

    def synced(descriptor: int) -> str | None:
        return at("sync")() if _here.writes and stat.S_ISREG(os.fstat(descriptor).st_mode) else None

    def unlinked(name: bytes, **_: Any) -> str | None:
        is_ours = isinstance(name, bytes) and name.startswith(b".identifai-")
        return None if is_ours else at("unlink")()

    killer.around(placing, "_write_all", at("writing"))
    killer.around(placing, "_rename_noreplace", named)
    killer.around(os, "replace", named)
    killer.around(os, "fsync", synced)
    killer.around(os, "link", at("link"))
    killer.around(os, "unlink", unlinked)
    if killer.aims_at(BY_LINK):
        placing._renameat2 = lambda: None  # type: ignore[assignment] - as a C library that has none


def arm(aim: dict[str, Any], mark: str) -> None:
    """Have this process die at its aim, given as the fields of an ``Aim``."""
    killer = Killer(Aim(points=tuple(aim["points"]), side=Side(aim["side"]), nth=aim["nth"]), Path(mark))
    for wrap in (_commits, _requests, _disk):
        wrap(killer)
