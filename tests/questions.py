"""What the loop asks of a ledger every round, and what people ask for: so that it can be seen how an engine finds it."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from identifai_watch.core.gate import Limits
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import Choice, File, FileState, Fingerprint, Media, Outcome
from identifai_watch.ledger import (
    archive,
    budget,
    claims,
    costs,
    desk,
    dues,
    intake,
    lists,
    quality,
    reading,
    tree,
    views,
    whereabouts,
)
from identifai_watch.ledger.claims import Room
from identifai_watch.ledger.lists import Spot, Wanted
from identifai_watch.ledger.step import Claimant, Step

Question = Callable[[sa.Connection], object]
Statement = tuple[str, Any]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MONTH = NOW - timedelta(days=30)
STEP = Step(now=NOW, policy=Policy())
ME = Claimant(node="host-1", token="run-1")
REACH = {1: ME.node}
SHAPE = Fingerprint(size=10, mtime_ns=1, ctime_ns=2, inode=3)

QUERIES: dict[str, Question] = {
    "begin_upload": lambda tx: claims.begin_uploads(tx, ME, STEP, reach=REACH, room=Room(turns=[False])),
    "begin_oldest": lambda tx: claims.begin_uploads(
        tx, ME, STEP, reach=REACH, room=Room(turns=[True], large=10**8)
    ),
    "claim_polls": lambda tx: claims.claim_polls(tx, ME, NOW, Media.IMAGE, ahead=timedelta(0), limit=50),
    "due_polls": lambda tx: claims.due_polls(tx, NOW, 50),
    "still_awaited": lambda tx: claims.still_awaited(
        tx, NOW, Media.IMAGE, ahead=timedelta(minutes=1), limit=1000
    ),
    "has_heatmap": lambda tx: claims.has_heatmap(tx, NOW),
    "claim_deliveries": lambda tx: claims.claim_deliveries(tx, ME, NOW, 1, 1),
    "claim_orphans": lambda tx: claims.claim_orphans(tx, ME, NOW, 1, 1),
    "expire": lambda tx: intake.expire(tx, 1, STEP),
    "stir": lambda tx: intake.stir(tx, 1, b"11.jpg", SHAPE, STEP, within=timedelta(0)),
    "resting": lambda tx: dues.resting(tx, REACH, NOW),
    "soonest": lambda tx: dues.soonest(tx, REACH, uploads=True),
    "claim_heatmap": lambda tx: claims.claim_heatmap(tx, ME, NOW),
    "lapsed": lambda tx: claims.lapsed(tx, NOW),
    "overdue": lambda tx: claims.overdue(tx, NOW),
    "renew": lambda tx: claims.renew(tx, ME, NOW, [110, 111]),
    "free": lambda tx: claims.free(tx, ME.node),
    "to_admit": lambda tx: archive.to_admit(tx, 1, 10),
    "known": lambda tx: tree.known(tx, 1, b"", [b"1.jpg", b"notes.txt", b"2.jpg"]),
    "directory": lambda tx: tree.directory(tx, 1, b"", most=100),
    "pages": lambda tx: list(tree.pages(tx, 1, b"")),
    "names": lambda tx: list(tree.names(tx, 1, b"")),
    "parents": lambda tx: list(tree.parents(tx, 1)),
    "at_place": lambda tx: whereabouts.at_place(tx, 1, b"1.jpg"),
    "missed": lambda tx: intake.missed(tx, 1, [b"1.jpg", b"notes.txt"], STEP),
    "reconsider": lambda tx: intake.reconsider(tx, 1, "other rules"),
    "forget_left": lambda tx: intake.forget_left(tx, 1, "other rules"),
    "files_of": lambda tx: reading.files_of(tx, 1),
    "durations": lambda tx: reading.durations(tx, Media.IMAGE),
    "sent": lambda tx: budget.sent(tx, "POST", NOW),
    "depart": lambda tx: budget.depart(tx, "POST", Limits(), NOW),
    "purse": lambda tx: budget.purse(tx, Limits(posts_per_day=10), NOW),
    "purse_refills_at": lambda tx: budget.purse_refills_at(tx, NOW),
    "prune": lambda tx: budget.prune(tx, NOW),
    "open_commands": desk.open_commands,
}
"""What the loop asks every round."""

SPOT = Spot(noticed_at=NOW, id=20)
FILTERED = Wanted(
    state=FileState.WAITING,
    outcome=Outcome.HUMAN,
    decision=Choice.HUMAN,
    media=Media.IMAGE,
    folder_ids=(1,),
    held=True,
)


def the_file(tx: sa.Connection) -> File:
    """Return the file that people ask for."""
    found = reading.file(tx, 1)
    assert found is not None
    return found


def used(tx: sa.Connection) -> object:
    """Ask for what was used in a week, in this one transaction."""
    return costs.used(lambda: nullcontext(tx), NOW - timedelta(days=7), NOW)


SHOWN: dict[str, tuple[str, Question]] = {
    "history_of": ("ix_history_analysis_id", lambda tx: views.history_of(tx, the_file(tx))),
    "copies_of": ("ix_files_analysis_id", lambda tx: views.copies_of(tx, the_file(tx))),
    "stuck": ("ix_analyses_state", lambda tx: list(views.lines(tx, stuck=True, limit=10))),
    "doubt": ("ix_analyses_state", lambda tx: list(views.lines(tx, doubt=True, limit=10))),
    "newest": ("ix_files_noticed_at", lambda tx: list(views.lines(tx, limit=10))),
    "queue": ("ix_files_admit", views.queue),
    "posts": ("ix_analyses_submitted_at", lambda tx: costs.posts_of(tx, NOW)),
    "posts_by_folder": ("ix_files_analysis_id", used),
    "copies": ("ix_files_copies", used),
    "decided": ("ix_files_decided_at", lambda tx: quality.page(tx, MONTH)),
    "decided_page": ("ix_files_decided_at", lambda tx: quality.page(tx, MONTH, quality.page(tx, MONTH)[-1])),
    "page": ("ix_files_noticed_at", lambda tx: lists.page(tx, Wanted(), after=SPOT, limit=10)),
    "page, filtered": ("ix_files_noticed_at", lambda tx: lists.page(tx, FILTERED, after=SPOT, limit=10)),
    "page, stuck": ("ix_analyses_state", lambda tx: lists.page(tx, Wanted(stuck=True), after=SPOT, limit=10)),
    "names": ("ix_files_noticed_at", lambda tx: lists.names(tx, FILTERED, after=SPOT, limit=10)),
    "review": ("ix_files_review", lambda tx: lists.page(tx, Wanted(to_review=True), after=SPOT, limit=10)),
    "reviews": ("ix_files_review", lambda tx: lists.count_to_review(tx, 10)),
    "held": ("ix_files_held", lists.held_by_folder),
    "awaited": ("ix_analyses_state", lambda tx: lists.awaited(tx, 10)),
    "content": ("ix_files_analysis_id", lambda tx: lists.with_content(tx, bytes(32))),
}
"""What people ask for, and the index that finds it in SQLite."""


def statements(tx: sa.Connection, ask: Question) -> list[Statement]:
    """Return what a function of the ledger says to the engine, with its parameters."""
    said: list[Statement] = []

    def hear(_: Any, __: Any, text: str, parameters: Any, *___: Any) -> None:
        if text.startswith(("SELECT", "WITH", "UPDATE", "DELETE")):
            said.append((text, parameters))

    sa.event.listen(tx, "before_cursor_execute", hear)
    ask(tx)
    sa.event.remove(tx, "before_cursor_execute", hear)
    return said
