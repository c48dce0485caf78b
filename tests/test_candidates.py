"""Files on their way in: in which order they are looked at."""

from datetime import UTC, datetime, timedelta

from identifai_watch.candidates import Candidates
from identifai_watch.core.model import Fingerprint
from identifai_watch.core.settling import Policy, Sample
from identifai_watch.folder.look import Look

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTLE = timedelta(seconds=3)


def candidates() -> Candidates:
    """Return none yet, which settle for three seconds."""
    return Candidates(lambda: Policy(settle=SETTLE, network=False))


def noticed(many: Candidates, *paths: bytes, at: datetime = NOW, how: str = "new") -> None:
    """Take in that paths were named: new, renamed, or of the backlog."""
    for path in paths:
        many.notice(path, at, renamed=how == "renamed", backlog=how == "backlog", priority=0)


def whole() -> Look:
    """Return a look at a file that nobody writes to."""
    shape = Fingerprint(size=1, mtime_ns=1, ctime_ns=1, inode=1)
    return Look(
        fingerprint=shape,
        sample=Sample(fingerprint=shape, writer=False, shortfall=None),
        sniffed="png",
    )


def test_what_needs_one_look_goes_before_what_is_new_and_that_before_the_backlog() -> None:
    """However long the others have been due: a file that was renamed in waits behind none of them."""
    many = candidates()
    noticed(many, b"old-1", b"old-2", how="backlog")
    noticed(many, b"new-1", b"new-2")
    later = NOW + 10 * SETTLE
    noticed(many, b"renamed", at=later, how="renamed")
    assert NOW + SETTLE / 3 == many.next_due()
    assert [b"renamed", b"new-1"] == many.due(later, 2)
    assert [b"new-2", b"old-1"] == many.due(later, 2)
    assert [b"old-2"] == many.due(later, 2)
    assert [] == many.due(later, 2)


def test_a_file_of_the_backlog_that_is_asked_for_is_looked_at_in_its_turn() -> None:
    """It is news from then on, and is looked at once at each instant all the same."""
    many = candidates()
    noticed(many, b"old", how="backlog")
    noticed(many, b"old", at=NOW + SETTLE)
    later = NOW + 2 * SETTLE
    assert [b"old"] == many.due(later, 9)
    assert [] == many.due(later, 9)
    assert many.looked(b"old", whole(), later) is None
    due = many.next_due()
    assert due is not None
    assert [] == many.due(due - timedelta(seconds=0.001), 9)
    assert [b"old"] == many.due(due, 9)
