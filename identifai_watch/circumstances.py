"""What a file's next step depends on besides its own row, gathered from the ledger: for ``explain``, and for the page."""

from dataclasses import replace
from datetime import datetime

from identifai_watch import hosts, overview
from identifai_watch.brakes import on_the_wall
from identifai_watch.config import Config
from identifai_watch.core import report
from identifai_watch.core.explaining import Circumstances
from identifai_watch.core.model import Account, AnalysisState
from identifai_watch.hosts import Told
from identifai_watch.ledger import Ledger, Transaction, budget, views
from identifai_watch.ledger.views import Line


def blank(config: Config, path: str, folder: str, now: datetime) -> Circumstances:
    """Return what a file's next step depends on as far as the configuration tells; ``path`` is safe to print."""
    hours = config.api.backlog_hours
    opens_at = None if hours is None else hours.opens_at(now, on_the_wall)
    return Circumstances(
        now=now,
        path=path,
        folder=folder,
        is_running=False,
        account=Account(),
        backlog_hours=None if opens_at is None else hours,
        backlog_opens_at=opens_at,
    )


def gathered(
    tx: Transaction,
    config: Config,
    ledger: Ledger,
    line: Line | None,
    *,
    path: str,
    folder: str,
    now: datetime,
) -> Circumstances:
    """Return what the next step of the file at ``path`` depends on, without a look at the disk."""
    node = ledger.node if line is None or config.is_here(line.file.node) else line.file.node
    told = next((one for one in hosts.told(tx, ledger) if one.name == node), None)
    is_running = told is not None and told.is_running
    around = replace(
        blank(config, path, folder, now),
        is_running=is_running,
        host=None if node == ledger.node else node,
        account=budget.account(tx),
        folder=folder if line is None else line.file.folder,
        trouble=_trouble(told, folder) if told is not None and is_running else None,
        folder_paused=hosts.paused(hosts.pauses(tx, ledger), ledger, node, folder),
    )
    if line is not None and line.analysis is not None and line.analysis.state is AnalysisState.QUEUED:
        return _queueing(tx, config, line, around)
    return around


def _trouble(told: Told, name: str) -> str | None:
    """Return why a running daemon cannot reach a folder, if it cannot."""
    for one in told.folders:
        if one["name"] == name and one["health"] == "unavailable":
            return str(one["reason"])
    return None


def _queueing(tx: Transaction, config: Config, line: Line, around: Circumstances) -> Circumstances:
    """Return the circumstances with those of an upload that is still to be made: its place in line and the purse."""
    if line.analysis is None:
        return around
    limits, now = config.api.limits, around.now
    purse = budget.purse(tx, limits, now)
    left = purse.backlog_left if line.analysis.backlog else purse.left
    ahead = views.ahead(tx, line.analysis)
    made = [post.at for post in overview.posts(tx, limits, now)]
    return replace(
        around,
        is_purse_empty=left == 0,
        purse_empty_until=budget.purse_refills_at(tx, now) if left == 0 else None,
        ahead=ahead,
        sent_about=report.last_instant(ahead + 1, made, limits.windows("POST"), now),
    )
