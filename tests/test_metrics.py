"""What a scraper is told: the report of the commands, as Prometheus reads it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from identifai_watch.core.health import Health
from identifai_watch.core.report import WatchedFolder
from identifai_watch.errors import Exit
from identifai_watch.metrics import exposition
from tests.harness import house
from tests.test_report import REPORT
from tests.watching import picture


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
    with house(tmp_path) as home:
        picture(home.drop / "a.png")
        with home.process():
            home.sidecar(home.drop / "a.png")
            running = read(home.command("status", "--metrics").stdout)
        ended = read(home.command("status", "--metrics").stdout)
        both = home.command("status", "--metrics", "--json")
    assert (1, 0) == (running["identifai_watch_up", ()], ended["identifai_watch_up", ()])
    assert ended["identifai_watch_files", (("state", "delivered"),)] == 1
    assert running["identifai_watch_folder_health", (("folder", "drop"), ("health", "ok"))] == 1
    assert Exit.USAGE == both.returncode
