"""A storm of files on the real daemon: its watch gives way once, a scan finds what came, and a new watch hears."""

from pathlib import Path
from typing import Any

import pytest

from identifai_watch.core.health import Health
from identifai_watch.folder import watch
from identifai_watch.folder.watch import Notice, NoticeKind
from identifai_watch.sentry import STORMY, Mode
from tests.harness import house, wait_for
from tests.watching import in_loop, intake, picture, quiet, scan

SELDOM: dict[str, Any] = {"settle_seconds": 0.1, "rescan_seconds": 600.0}
FILES = 60


def test_nothing_of_a_storm_is_lost_and_none_is_paid_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No scan is due for ten minutes, and the watch gives way: each file is judged, once, and no event is missed."""
    monkeypatch.setattr(watch, "STORM", 20)
    unwritten = SELDOM | {"action": "record"}  # our own sidecars would be a storm too, of so few
    with house(tmp_path, folder=unwritten) as home, home.daemon() as daemon:
        scan(daemon)
        state = home.simulator.state
        for number in range(FILES):
            picture(home.drop / f"{number:02}.png")
        wait_for(lambda: len(state.charged) >= FILES, "each is judged")
        quiet(daemon)
        one = intake(daemon)
        wait_for(
            lambda: one.patrol.mode is Mode.EVENTS and one.patrol.is_idle() and not one.patrol._lacks_events,
            "it is over",
        )
        assert (Health.OK, 0) == (one.patrol.health, one.patrol.witness.total)
        scanned_at = one.patrol.last_scan_at
        picture(home.drop / "later.png")
        wait_for(lambda: len(state.charged) > FILES, "a later one is judged")
        assert scanned_at == one.patrol.last_scan_at, "no scan came to its help"
        assert FILES + 1 == len({submission.sha256 for submission in state.charged}) == len(state.charged)


def test_a_storm_is_said_once_and_in_plain_words_while_it_lasts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However often the watch gives way: it is scanned, and nobody takes the folder for ill."""
    with house(tmp_path, folder=SELDOM) as home, home.daemon() as daemon:
        scan(daemon)
        one = intake(daemon)

        def blow(tx: Any) -> dict[str, Any]:
            for _ in range(3):
                one._heard(tx, Notice(path=b"", kind=NoticeKind.STORM))
            return one.patrol.report()

        during = in_loop(daemon, blow)
        assert ("ok", "scan", STORMY) == (during["health"], during["mode"], during["reason"])
        quiet(daemon)
        wait_for(lambda: one.patrol.mode is Mode.EVENTS, "it is over")
        after = in_loop(daemon, lambda _: one.patrol.report())
        assert ("ok", "events", None) == (after["health"], after["mode"], after["reason"])
        told = capsys.readouterr().out
        assert (1, 1) == (told.count("storm of files, scanning"), told.count("storm over"))


def test_what_is_said_of_a_file_many_times_is_handed_on_once(tmp_path: Path) -> None:
    """A file that grows block by block costs the loop one notice a round, not one a block."""
    with house(tmp_path, folder=SELDOM) as home, home.daemon() as daemon:
        scan(daemon)
        sentry = intake(daemon).patrol.sentry
        heard: list[Notice] = []

        def listen(_tx: Any) -> None:
            sentry._heard = lambda _tx, notice: heard.append(notice)
            for kind in (NoticeKind.RENAMED, NoticeKind.FILE, NoticeKind.RENAMED, NoticeKind.FILE):
                sentry._hear(Notice(path=b"a.png", kind=kind))
            sentry._hear(Notice(path=b"a.png", kind=NoticeKind.DIRECTORY))

        in_loop(daemon, listen)
        wait_for(lambda: len(heard) >= 2, "it is handed on")
        assert [NoticeKind.FILE, NoticeKind.DIRECTORY] == [notice.kind for notice in heard]


def test_a_bug_about_one_name_keeps_no_other_from_being_heard(tmp_path: Path) -> None:
    """What stood behind it comes with the next round."""
    with house(tmp_path, folder=SELDOM) as home, home.daemon() as daemon:
        scan(daemon)
        sentry = intake(daemon).patrol.sentry
        heard: list[bytes] = []

        def stumble(_tx: Any, notice: Notice) -> None:
            if notice.path == b"bad.png":
                raise LookupError(notice.path)
            heard.append(notice.path)

        def listen(_tx: Any) -> None:
            sentry._heard = stumble
            for path in (b"a.png", b"bad.png", b"b.png"):
                sentry._hear(Notice(path=path, kind=NoticeKind.FILE))

        in_loop(daemon, listen)
        wait_for(lambda: len(heard) >= 2, "the others are handed on")
        assert [b"a.png", b"b.png"] == heard
