"""What judging costs: counted from a ledger as the daemon writes it, and reckoned on to the end of the credits."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from identifai_watch.core import costs as core
from identifai_watch.core.costs import Balance, Basis, Cost, Left, Spent
from identifai_watch.core.events import Begun, Credited, Judged, Lost, Uploaded
from identifai_watch.core.gate import Limits
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import Fingerprint, Label, Media, Verdict
from identifai_watch.ledger import (
    Ledger,
    Transaction,
    admission,
    alarms,
    budget,
    costs,
    editions,
    intake,
    reading,
    schema,
    work,
)
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.step import Step
from identifai_watch.ledger.whereabouts import Arrival

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
VERDICT = Verdict(classification=Label.HUMAN, confidence=0.9, heuristic="Majority")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty ledger."""
    with Ledger(f"sqlite:///{tmp_path}/ledger.db", node="studio") as made:
        yield made


def step(at: datetime) -> Step:
    """Return a step at an instant."""
    return Step(now=at, policy=Policy())


def came(
    tx: Transaction, name: str, mark: int, at: datetime, *, folder: str = "drop", media: Media = Media.IMAGE
) -> int:
    """Admit a file with a content of its own or another's, send it if it is new, and return its analysis."""
    shape = Fingerprint(size=1, mtime_ns=1, ctime_ns=1, inode=mark)
    place = Arrival(
        folder_id=intake.folder(tx, "studio", folder).id, path=name.encode(), fingerprint=shape, noticed_at=at
    )
    content = Content(sha256=bytes([mark]) * 32, media=media, mime="image/png", options="{}")
    file = admission.admit(tx, place, content, step(at))
    assert file.analysis_id is not None
    if not file.duplicate:
        for event in (Begun(), Uploaded(f"id-{mark}"), Judged(VERDICT, b"{}")):
            work.advance(tx, file.analysis_id, event, step(at))
    return file.analysis_id


def used(ledger: Ledger, since: datetime = NOW - 30 * DAY) -> list[tuple[Any, ...]]:
    """Return what was used, line by line."""
    found = costs.used(ledger.read, since, NOW).lines
    return [(one.day.day, one.folder, one.media.value, one.posts, one.copies) for one in found]


def test_posts_and_copies_are_counted_by_day_folder_and_kind(ledger: Ledger) -> None:
    """The newest day first; a copy counts for the folder that it came to, on its own day."""
    with ledger.write() as tx:
        came(tx, "a.jpg", 1, NOW - 2 * DAY)
        came(tx, "b.jpg", 2, NOW - DAY)
        came(tx, "b2.jpg", 2, NOW)
        came(tx, "a2.jpg", 1, NOW - DAY, folder="wires")
        came(tx, "c.mp4", 3, NOW - DAY, media=Media.VIDEO)
        came(tx, "d.jpg", 4, NOW - timedelta(seconds=1), folder="wires")
    assert [
        (10, "wires", "image", 1, 0),
        (9, "drop", "image", 1, 0),
        (9, "drop", "video", 1, 0),
        (9, "wires", "image", 0, 1),
        (8, "drop", "image", 1, 0),
    ] == used(ledger)


def test_days_are_cut_where_the_question_begins_and_ends(ledger: Ledger) -> None:
    """What was sent at the instant itself is in, what was sent at the end is not."""
    midnight = NOW.replace(hour=0)
    with ledger.write() as tx:
        for mark, at in enumerate((midnight - DAY, midnight - timedelta(microseconds=1), midnight, NOW), 1):
            came(tx, f"{mark}.jpg", mark, at)
    assert [(10, "drop", "image", 1, 0), (9, "drop", "image", 2, 0)] == used(ledger)
    assert [(10, "drop", "image", 1, 0)] == used(ledger, midnight)
    assert [(10, "drop", "image", 1, 0), (9, "drop", "image", 1, 0)] == used(
        ledger, midnight - timedelta(hours=1)
    )
    assert [] == used(ledger, NOW)


def test_what_is_judged_anew_counts_again_and_for_its_folder(ledger: Ledger) -> None:
    """The older edition has no file any more; the newer one's says where it belonged."""
    with ledger.write() as tx:
        number = came(tx, "a.jpg", 1, NOW - DAY)
        [file] = reading.files_of(tx, number)
        fresh = editions.new_edition(tx, file, step(NOW - timedelta(hours=1)))
        assert fresh is not None
        for event in (Begun(), Uploaded("id-2")):
            work.advance(tx, fresh.id, event, step(NOW - timedelta(hours=1)))
    assert [(10, "drop", "image", 1, 0), (9, "drop", "image", 1, 0)] == used(ledger)


def test_what_was_sent_once_more_is_told_apart(ledger: Ledger) -> None:
    """It stands on the day of its last post, once."""
    with ledger.write() as tx:
        number = came(tx, "a.jpg", 1, NOW - 3 * DAY)
        # As it was before its verdict: what is lost was not judged.
        tx.execute(sa.update(schema.analyses).values(state="awaiting", verdict=None, judged_at=None))
        for event in (Lost("403"), Begun(), Uploaded("id-2")):
            work.advance(tx, number, event, step(NOW - DAY))
    found = costs.used(ledger.read, NOW - 30 * DAY, NOW)
    assert (1, 1) == (sum(one.posts for one in found.lines), found.resent)
    assert [9] == [one.day.day for one in found.lines]


def test_what_is_not_sent_costs_nothing(ledger: Ledger) -> None:
    """Queued, or rebuilt from a sidecar: of the one nothing is charged, of the other it is not known when it was."""
    assert [] == used(ledger)
    with ledger.write() as tx:
        came(tx, "a.jpg", 1, NOW - DAY)
        tx.execute(sa.update(schema.analyses).values(submitted_at=None))
    assert [] == used(ledger)


def test_costs_have_the_account_and_the_purse(ledger: Ledger) -> None:
    """What is left of the credits above the floor, and of the sliding day's posts."""
    with ledger.write() as tx:
        for mark in range(1, 8):
            came(tx, f"{mark}.jpg", mark, NOW - timedelta(hours=mark))
        budget.advance_account(tx, Credited(120.0, floor=50.0), NOW, 0.5)
        limits = Limits(posts_per_second=0, posts_per_minute=0, posts_per_day=20, credits_floor=50)
        for _ in range(3):
            budget.depart(tx, "POST", limits, NOW - timedelta(hours=1))
    found = costs.costs(ledger.read, limits, NOW - DAY, NOW)
    assert (7, 0, 0) == (found.posts, found.copies, found.resent)
    assert (120, NOW, 50) == (found.left.credits, found.left.credits_at, found.left.floor)
    assert (17, 20) == (found.left.purse, found.left.purse_whole)
    assert (Basis.POSTS, 7) == (found.left.basis, found.left.per_day)
    assert NOW + 10 * DAY == found.left.ends_at


def test_credits_are_told_by_day_as_the_balance_went(ledger: Ledger) -> None:
    """As far back as is asked for, with the look before that to compare with."""
    limits = Limits()
    with ledger.write() as tx:
        for days, left_then in ((40, 900.0), (20, 800.0), (9, 790.0), (1, 780.0), (0, 750.0)):
            alarms.note_balance(tx, left_then, NOW - days * DAY)
        budget.advance_account(tx, Credited(750.0, floor=0.0), NOW, 0.5)
    found = costs.costs(ledger.read, limits, NOW - 30 * DAY, NOW)
    assert [(10, 30), (9, 10), (1, 10), (18, 100)] == [(one.day.day, one.credits) for one in found.spent]
    assert (Basis.CREDITS, 30, NOW + 25 * DAY) == (found.left.basis, found.left.per_day, found.left.ends_at)
    recent = costs.costs(ledger.read, limits, NOW - DAY / 2, NOW)
    assert ([30], 30) == ([one.credits for one in recent.spent], recent.left.per_day)


# Reckoned.


def reckoned(
    *, balance: Balance | None = None, balances: tuple[Balance, ...] = (), day: int = 0, week: int = 0
) -> Left:
    """Return what is left, with a floor of 10."""
    return core.left(
        balance=balance, balances=balances, posts_of_day=day, posts_of_week=week, floor=10, purse=None,
        purse_whole=None, now=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("day", "week", "pace", "days"),
    [(0, 70, 10, 9), (30, 70, 30, 3), (10, 0, 10, 9), (0, 0, None, None)],
)
def test_the_faster_of_day_and_week_is_the_pace(
    day: int, week: int, pace: float | None, days: int | None
) -> None:
    """Who plans by it is rather warned too early; without a use there is no end."""
    found = reckoned(balance=(NOW, 100.0), day=day, week=week)
    assert pace == found.per_day
    assert (None if days is None else NOW + days * DAY) == found.ends_at


def test_the_balance_tells_the_pace_better_than_the_posts() -> None:
    """More frames cost more; what was bought meanwhile does not slow it down."""
    looks = ((NOW - 2 * DAY, 50.0), (NOW - DAY, 10.0), (NOW - timedelta(hours=12), 210.0), (NOW, 190.0))
    found = reckoned(balance=looks[-1], balances=looks, day=2, week=2)
    assert (Basis.CREDITS, 30) == (found.basis, found.per_day)
    assert NOW + 6 * DAY == found.ends_at


@pytest.mark.parametrize(
    ("balance", "week", "ends"),
    [(None, 7, None), ((NOW, 10.0), 7, NOW), ((NOW, 0.0), 7, NOW), ((NOW, 1e9), 1, None)],
)
def test_the_end_is_now_unknown_or_too_far_to_tell(
    balance: Balance | None, week: int, ends: datetime | None
) -> None:
    """At the floor nothing more is sent; an end in a hundred years is none."""
    assert ends == reckoned(balance=balance, week=week).ends_at


def test_credits_go_on_the_day_on_which_they_were_missed() -> None:
    """What is added is told apart; a day on which nothing changed has no line."""
    looks = [(NOW - 3 * DAY, 100.0), (NOW - 2 * DAY, 90.0), (NOW - DAY, 90.0), (NOW, 190.0), (NOW, 187.5)]
    assert (
        Spent(day=date(2026, 3, 10), credits=2.5, added=100),
        Spent(day=date(2026, 3, 8), credits=10, added=0),
    ) == core.spent(looks, NOW - 9 * DAY)
    assert () == core.spent(looks[:1], NOW - 9 * DAY)
    assert [10] == [one.day.day for one in core.spent(looks, NOW - DAY)]


def test_folders_come_by_what_they_sent() -> None:
    """With all their days and kinds."""
    lines = [
        Cost(day=date(2026, 3, 10 - n), folder=folder, media=media, posts=posts, copies=1)
        for n, (folder, media, posts) in enumerate([("a", Media.IMAGE, 2), ("b", Media.AUDIO, 3), ("a", Media.VIDEO, 2)])
    ]  # fmt: skip
    assert [("a", (4, 2)), ("b", (3, 1))] == list(core.by_folder(lines).items())


def test_costs_are_json() -> None:
    """Whole, also where nothing is known yet."""
    document = json.loads(json.dumps(core.costs_json(core.nothing(NOW - DAY, NOW))))
    assert (0, 0, [], []) == (document["posts"], document["copies"], document["days"], document["credits"])
    assert (None, None) == (document["left"]["credits"], document["left"]["pace"])
