"""The ``Report`` as metrics in the text format of Prometheus, for a scraper or for node_exporter's textfile collector."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from identifai_watch.core.explaining import PAUSES
from identifai_watch.core.health import Health
from identifai_watch.core.report import Report, WatchedFolder

PREFIX = "identifai_watch"


def exposition(report: Report) -> str:
    """Return all metrics of a report as text, with what each means."""
    registry = CollectorRegistry()
    registry.register(_Reported(report))
    return generate_latest(registry).decode("utf-8")


class _Reported(Collector):
    """Hands a report to the library, family by family."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        """Yield every family of metrics."""
        yield from _of_files(self._report)
        yield from _of_account(self._report)
        yield from _of_folders(self._report.folders)


def _of_files(report: Report) -> Iterator[Metric]:
    yield _gauge("up", "Whether a daemon runs on the ledger.", report.is_running)
    yield _counted("files", "Files by state.", "state", report.files)
    yield _counted("analyses", "Contents by the state of their judging.", "state", report.analyses)
    yield _counted("outcomes", "Delivered files by outcome.", "outcome", report.outcomes)
    yield _gauge("settling_files", "Files that are watched until they are whole.", report.settling)
    yield _gauge("held_files", "Files held since before the daemon.", report.held)
    yield _gauge("stuck", "Files and contents that wait for a person.", report.stuck)
    yield _gauge("doubt", "Contents that were perhaps paid for without an answer.", report.doubt)
    yield _gauge("uploads_to_make", "Uploads that are still to be made.", report.queue.total)


def _of_account(report: Report) -> Iterator[Metric]:
    paused = {str(reason): int(report.account.reason is reason) for reason in PAUSES}
    yield _counted("account_paused", "Whether the account is paused, by reason.", "reason", paused)
    if report.account.credits is not None:
        yield _gauge(
            "credits", "Credits that were left when they were last asked for.", report.account.credits
        )


def _of_folders(folders: Iterable[WatchedFolder]) -> Iterator[Metric]:
    health = GaugeMetricFamily(
        f"{PREFIX}_folder_health",
        "Whether a folder is ok, degraded (scanned only) or unavailable.",
        labels=["folder", "health"],
    )
    reason = GaugeMetricFamily(
        f"{PREFIX}_folder_reason", "Why a folder is as it is, as a label.", labels=["folder", "reason"]
    )
    paused = _by_folder("folder_paused", "Whether nothing of a folder is sent, for an operator paused it.")
    scanned = _by_folder("folder_last_scan_timestamp_seconds", "When a folder was last scanned as a whole.")
    took = _by_folder("folder_scan_seconds", "How long the last scan of a folder took.")
    unheard = CounterMetricFamily(
        f"{PREFIX}_folder_unheard_files", "Files that scans found and no event had named.", labels=["folder"]
    )
    overflows = CounterMetricFamily(
        f"{PREFIX}_folder_overflows", "How often the kernel lost events of a folder.", labels=["folder"]
    )
    for one in folders:
        for state in Health:
            health.add_metric([one.name, state], float(one.health == state))
        if one.reason is not None:
            reason.add_metric([one.name, one.reason], 1.0)
        paused.add_metric([one.name], float(one.paused is not None))
        if one.last_scan_at is not None:
            scanned.add_metric([one.name], one.last_scan_at.timestamp())
        took.add_metric([one.name], one.scan_seconds)
        unheard.add_metric([one.name], one.unheard)
        overflows.add_metric([one.name], one.overflows)
    yield from (health, reason, paused, scanned, took, unheard, overflows)


def _by_folder(name: str, says: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", says, labels=["folder"])


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", says, value=float(value))


def _counted(name: str, says: str, label: str, numbers: Mapping[Any, int]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", says, labels=[label])
    for value, number in numbers.items():
        family.add_metric([str(value)], float(number))
    return family
