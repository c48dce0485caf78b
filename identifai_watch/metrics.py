"""The ``Report`` as metrics in the text format of Prometheus, for a scraper or for node_exporter's textfile collector.

Nothing is counted here. What there is comes from the ledger's rows, and what happened from the sums that the daemon keeps
in them: those go on after a restart, and a scraper that reads while no daemon runs is told the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from identifai_watch import __version__
from identifai_watch.core.explaining import PAUSES
from identifai_watch.core.health import Health
from identifai_watch.core.nodes import Node
from identifai_watch.core.report import Report, WatchedFolder
from identifai_watch.core.tally import BOUNDS, LABELS, Counted, Tally, Took

PREFIX = "identifai_watch"

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What ``exposition`` is, for whoever serves it."""

COUNTED: Mapping[Counted, tuple[str, str]] = {
    Counted.REQUESTS: (
        "requests",
        "Requests to identifAI by kind, and by HTTP status or why there was none.",
    ),
    Counted.ADMITTED: (
        "admitted_files",
        "Files that were hashed, by kind, and whether the content was known.",
    ),
    Counted.DELIVERED: (
        "deliveries",
        "Outcomes that were delivered and had not been told of the file before.",
    ),
}
TOOK: Mapping[Took, tuple[str, str]] = {
    Took.NOTICED_TO_DELIVERED: (
        "noticed_to_delivered_seconds",
        "From when a file that is no backlog was noticed to its first delivery.",
    ),
    Took.SETTLED_TO_HASHED: (
        "settled_to_hashed_seconds",
        "From when a file that is no backlog had settled until its content was known.",
    ),
    Took.HASHED_TO_POSTED: (
        "hashed_to_posted_seconds",
        "How long a new content that is no backlog waited for the upload that was taken.",
    ),
    Took.UPLOAD: ("upload_seconds", "How long the uploads took that were taken, until they were answered."),
    Took.SUBMITTED_TO_JUDGED: (
        "submitted_to_judged_seconds",
        "From when a content was taken until its verdict was here.",
    ),
    Took.JUDGED_TO_DELIVERED: (
        "judged_to_delivered_seconds",
        "From when a file's verdict or refusal was known to its first delivery.",
    ),
    Took.SCAN: ("scan_seconds", "How long the scans of a whole folder took."),
}


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
        report = self._report
        yield from _of_daemons(report)
        yield from _of_files(report)
        yield from _of_account(report)
        yield from _of_folders(report.folders)
        yield from _of_tallies([(_node_of(one), one.tally) for one in _nodes(report)])


Labels = dict[str, str]
"""Labels with their values, in their order."""


def _nodes(report: Report) -> Sequence[Node]:
    """Return the hosts; of a ledger that is a file the one there is, which nothing is labelled with."""
    here = Node(
        name="",
        is_here=True,
        is_running=report.is_running,
        health="",
        since=report.since,
        seen_at=report.seen_at,
        settling=report.settling,
        tally=report.tally,
    )
    return report.nodes or (here,)


def _node_of(one: Node) -> Labels:
    return {"node": one.name} if one.name else {}


def _of_daemons(report: Report) -> Iterator[Metric]:
    info = GaugeMetricFamily(f"{PREFIX}_info", "The version that answers, as a label.", labels=["version"])
    info.add_metric([__version__], 1.0)
    yield info
    nodes = [one for one in _nodes(report) if not one.is_retired]
    running = [(_node_of(one), float(one.is_running)) for one in nodes]
    yield _labelled("up", "Whether a daemon runs on the ledger.", running)
    for name, says, instants in (
        (
            "start_timestamp_seconds",
            "When the daemon that runs began.",
            [(one, one.since if one.is_running else None) for one in nodes],
        ),
        (
            "seen_timestamp_seconds",
            "When a daemon last told how it is.",
            [(one, one.seen_at) for one in nodes],
        ),
    ):
        told = [(_node_of(one), at.timestamp()) for one, at in instants if at is not None]
        yield _labelled(name, says, told)


def _of_files(report: Report) -> Iterator[Metric]:
    yield _counted("files", "Files by state.", "state", report.files)
    yield _counted("analyses", "Contents by the state of their judging.", "state", report.analyses)
    yield _counted("outcomes", "Delivered files by outcome.", "outcome", report.outcomes)
    settling = [(_node_of(one), float(one.settling)) for one in _nodes(report)]
    yield _labelled("settling_files", "Files that are watched until they are whole.", settling)
    yield _gauge("held_files", "Files held since before the daemon.", report.held)
    yield _gauge("left_files", "Files that were looked at and left alone.", report.left)
    yield _gauge("stuck", "Files and contents that wait for a person.", report.stuck)
    yield _gauge("doubt", "Contents that were perhaps paid for without an answer.", report.doubt)
    yield _gauge("uploads_to_make", "Uploads that are still to be made.", report.queue.total)
    oldest = GaugeMetricFamily(
        f"{PREFIX}_oldest_queued_timestamp_seconds",
        "When the oldest content was noticed that waits to be sent, of what is new and of the backlog.",
        labels=["backlog"],
    )
    for at, backlog in zip(report.oldest_at, ("false", "true"), strict=True):
        if at is not None:
            oldest.add_metric([backlog], at.timestamp())
    yield oldest


def _of_account(report: Report) -> Iterator[Metric]:
    account = report.account
    paused = {str(reason): int(account.reason is reason) for reason in PAUSES}
    yield _counted("account_paused", "Whether the account is paused, by reason.", "reason", paused)
    yield _gauge(
        "api_failures", "Requests in a row that identifAI turned away or did not answer.", account.holds
    )
    yield _when(
        "api_answered_timestamp_seconds",
        "When a request last got through to identifAI.",
        account.succeeded_at,
    )
    if account.credits is not None:
        yield _gauge("credits", "Credits that were left when they were last asked for.", account.credits)
    yield _when("credits_timestamp_seconds", "When the credits were last asked for.", account.credits_at)
    says = "requests of a method in a second, a minute or, of uploads, a day; of those the backlog's share."
    left = GaugeMetricFamily(
        f"{PREFIX}_budget_left", f"What is left of the limits: {says}", labels=["method", "window"]
    )
    limit = GaugeMetricFamily(f"{PREFIX}_budget_limit", f"The limits: {says}", labels=["method", "window"])
    for room in report.rooms:
        left.add_metric([room.method, room.window], room.left)
        limit.add_metric([room.method, room.window], room.allowed)
    yield from (left, limit)


def _of_folders(folders: Sequence[WatchedFolder]) -> Iterator[Metric]:
    of = [({"node": one.node} if one.node else {}) | {"folder": one.name} for one in folders]
    both = list(zip(of, folders, strict=True))
    yield _labelled(
        "folder_health",
        "Whether a folder is ok, degraded (scanned only) or unavailable.",
        [
            (labels | {"health": state}, float(one.health == state))
            for labels, one in both
            for state in Health
        ],
    )
    reasons = [(labels | {"reason": one.reason}, 1.0) for labels, one in both if one.reason is not None]
    yield _labelled("folder_reason", "Why a folder is as it is, as a label.", reasons)
    yield _labelled(
        "folder_paused",
        "Whether nothing of a folder is sent, for an operator paused it.",
        [(labels, float(one.paused is not None)) for labels, one in both],
    )
    yield _labelled(
        "folder_last_scan_timestamp_seconds",
        "When a folder was last scanned as a whole.",
        [(labels, one.last_scan_at.timestamp()) for labels, one in both if one.last_scan_at is not None],
    )
    yield _labelled(
        "folder_scan_seconds",
        "How long the last scan of a folder took.",
        [(labels, one.scan_seconds) for labels, one in both],
    )
    for name, says, numbers in (
        (
            "folder_unheard_files",
            "Files that scans found and no event had named.",
            [(labels, one.unheard) for labels, one in both],
        ),
        (
            "folder_overflows",
            "How often the kernel lost events of a folder.",
            [(labels, one.overflows) for labels, one in both],
        ),
    ):
        counter = CounterMetricFamily(f"{PREFIX}_{name}", says, labels=_names(numbers))
        for labels, number in numbers:
            counter.add_metric(list(labels.values()), number)
        yield counter


def _of_tallies(tallies: Sequence[tuple[Labels, Tally]]) -> Iterator[Metric]:
    node = _names(tallies)
    for what, (name, says) in COUNTED.items():
        counter = CounterMetricFamily(f"{PREFIX}_{name}", says, labels=[*node, *LABELS[what]])
        for of, tally in tallies:
            for (counted, labels), number in tally.counts.items():
                if counted is what:
                    counter.add_metric([*of.values(), *labels], number)
        yield counter
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    for how_long, (name, says) in TOOK.items():
        histogram = HistogramMetricFamily(f"{PREFIX}_{name}", says, labels=[*node, *LABELS[how_long]])
        for of, tally in tallies:
            for (took, labels), times in tally.times.items():
                if took is how_long:
                    buckets = list(zip(bounds, times.cumulative(), strict=True))
                    histogram.add_metric([*of.values(), *labels], buckets, times.seconds)
        yield histogram


def _names(samples: Sequence[tuple[Labels, Any]]) -> list[str]:
    """Return the names of the labels, which all samples have alike."""
    return list(samples[0][0]) if samples else []


def _labelled(name: str, says: str, samples: Sequence[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", says, labels=_names(samples))
    for labels, value in samples:
        family.add_metric(list(labels.values()), value)
    return family


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", says, value=float(value))


def _when(name: str, says: str, at: datetime | None) -> Metric:
    """Return an instant, with no sample if there is none: an age of it would be a lie."""
    return GaugeMetricFamily(f"{PREFIX}_{name}", says, value=None if at is None else at.timestamp())


def _counted(name: str, says: str, label: str, numbers: Mapping[Any, int]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", says, labels=[label])
    for value, number in numbers.items():
        family.add_metric([str(value)], float(number))
    return family
