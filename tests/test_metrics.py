"""What a scraper is told: the report of the commands, as Prometheus reads it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from identifai_watch.core.gate import Limits
from identifai_watch.core.health import Health
from identifai_watch.core.lifecycle import Policy
from identifai_watch.core.model import Fingerprint, Media
from identifai_watch.core.report import Post, WatchedFolder, rooms
from identifai_watch.core.tally import Tally, Took
from identifai_watch.errors import Exit
from identifai_watch.ledger import Ledger, Transaction, admission, intake, views
from identifai_watch.ledger.admission import Content
from identifai_watch.ledger.step import Step
from identifai_watch.ledger.whereabouts import Arrival
from identifai_watch.metrics import exposition
from tests.harness import house
from tests.test_report import REPORT
from tests.watching import picture

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample of an exposition, as a scraper takes it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_folder_tells_its_health_and_what_no_event_named() -> None:
    """Each state is a sample of its own, so that an alarm can be set on one of them; the reason is a label."""
    folder = WatchedFolder(
        name='a "drop"\n',
        path="/srv/drop",
        health="degraded",
        mode="scan",
        reason="the limit of inotify watches is reached",
        last_scan_at=datetime(2026, 3, 1, tzinfo=UTC),
        paused="by anna",
        scan_seconds=1.5,
        unheard=7,
        overflows=2,
    )
    found = read(exposition(replace(REPORT, folders=(folder,))))
    of = (("folder", 'a "drop"\n'),)
    for state in Health:
        assert found["identifai_watch_folder_health", (*of, ("health", state))] == (state == "degraded")
    why = ("reason", "the limit of inotify watches is reached")
    assert found["identifai_watch_folder_reason", (*of, why)] == 1
    assert found["identifai_watch_folder_unheard_files_total", of] == 7
    assert found["identifai_watch_folder_overflows_total", of] == 2
    assert found["identifai_watch_folder_scan_seconds", of] == 1.5
    assert found["identifai_watch_folder_last_scan_timestamp_seconds", of] == 1772323200
    assert found["identifai_watch_folder_paused", of] == 1


def test_the_command_tells_what_status_tells(tmp_path: Path) -> None:
    """``status --metrics`` works with and without a daemon, and is one thing or the other."""
    with house(tmp_path, api={"posts_per_minute": 30, "posts_per_day": 10, "backlog_share": 0.5}) as home:
        picture(home.drop / "a.png")
        with home.process():
            home.sidecar(home.drop / "a.png")
            running = read(home.command("status", "--metrics").stdout)
        ended = read(home.command("status", "--metrics").stdout)
        both = home.command("status", "--metrics", "--json")
    assert (1, 0) == (running["identifai_watch_up", ()], ended["identifai_watch_up", ()])
    assert ended["identifai_watch_files", (("state", "delivered"),)] == 1
    assert running["identifai_watch_folder_health", (("folder", "drop"), ("health", "ok"))] == 1
    assert ended["identifai_watch_budget_left", (("method", "POST"), ("window", "minute"))] == 29
    assert ended["identifai_watch_budget_left", (("method", "POST"), ("window", "day"))] == 9
    assert ended["identifai_watch_budget_left", (("method", "POST"), ("window", "backlog"))] == 4
    assert ended["identifai_watch_requests_total", (("kind", "upload"), ("status", "200"))] == 1
    assert ended["identifai_watch_upload_seconds_count", (("media", "image"),)] == 1
    assert Exit.USAGE == both.returncode


def test_histograms_are_cumulative() -> None:
    """Each bucket has all that took at most so long; what took longer than all is in the last one alone."""
    tally = Tally()
    for seconds in (0.01, 0.3, 0.3, 1e6):
        tally.took(Took.UPLOAD, "video", timedelta(seconds=seconds))
    found = read(exposition(replace(REPORT, tally=tally)))
    bucket = "identifai_watch_upload_seconds_bucket"
    told = [
        found[bucket, (("le", le), ("media", "video"))] for le in ("0.05", "0.25", "0.5", "86400", "+Inf")
    ]
    assert [1, 1, 3, 3, 4] == told
    assert found["identifai_watch_upload_seconds_sum", (("media", "video"),)] == pytest.approx(1_000_000.61)


def test_what_is_not_known_has_no_sample() -> None:
    """An age of an instant that there was not would set off alarms."""
    found = {name for name, _ in read(exposition(replace(REPORT, since=None)))}
    for name in ("start", "seen", "api_answered", "credits", "oldest_queued"):
        assert f"identifai_watch_{name}_timestamp_seconds" not in found


def test_the_age_of_the_queue_is_that_of_the_oldest_content_to_send(tmp_path: Path) -> None:
    """Of what is new, and of the backlog; what is sent, judged or stuck is in it no more."""
    with house(tmp_path) as home, Ledger(home.ledger_url, node="here") as ledger, ledger.write() as tx:
        folder = intake.folder(tx, "here", "drop").id
        for number, backlog in enumerate((True, False, False, True)):
            offer(tx, folder, number, backlog=backlog)
        sent = views.oldest(tx)
        tx.exec_driver_sql("UPDATE analyses SET due = NULL, stuck_at = 1 WHERE id = 2")
        left = views.oldest(tx)
        plan = tx.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT min(noticed_at) FROM analyses "
            "WHERE state = ? AND due IS NOT NULL AND backlog = ?",
            ("queued", 0),
        ).all()
    assert (NOW + timedelta(hours=1), NOW) == sent
    assert (NOW + timedelta(hours=2), NOW) == left
    assert "ix_analyses_queued" in str(plan), "a million rows are not read for it"


def offer(tx: Transaction, folder_id: int, number: int, *, backlog: bool) -> None:
    """Admit a file that was noticed so many hours after NOW."""
    arrival = Arrival(
        folder_id=folder_id,
        path=f"{number}.png".encode(),
        fingerprint=Fingerprint(size=1, mtime_ns=1, ctime_ns=1, inode=number),
        noticed_at=NOW + timedelta(hours=number),
        backlog=backlog,
    )
    content = Content(sha256=bytes([number]) * 32, media=Media.IMAGE, mime="image/png", options="{}")
    admission.admit(tx, arrival, content, Step(now=NOW, policy=Policy()))


def test_what_each_limit_still_has() -> None:
    """Of its own requests alone; the backlog's share of the purse counts the backlog's."""
    limits = Limits(
        posts_per_second=0, posts_per_minute=3, gets_per_second=2, posts_per_day=10, backlog_share=0.5
    )
    posts = [
        Post(at=NOW - timedelta(hours=1), backlog=True),
        Post(at=NOW - timedelta(seconds=2), backlog=False),
        Post(at=NOW + timedelta(seconds=1), backlog=False),
    ]
    gets = [NOW - timedelta(seconds=3)]
    found = {(room.method, room.window): room.left for room in rooms(limits, posts, gets, NOW)}
    assert found == {
        ("POST", "minute"): 1,
        ("GET", "second"): 2,
        ("GET", "minute"): 59,
        ("POST", "day"): 7,
        ("POST", "backlog"): 4,
    }
    free = Limits(posts_per_second=0, posts_per_minute=0, gets_per_second=0, gets_per_minute=0)
    assert rooms(free, posts, gets, NOW) == ()
