"""How things stand and where files lie, gathered from the configuration and the ledger in short transactions.

The commands and the page show the same. Nothing is written.
"""

import os
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from identifai_watch.brakes import on_the_wall
from identifai_watch.config import Config
from identifai_watch.core import gate, report
from identifai_watch.core.gate import Limits
from identifai_watch.core.model import Account, AnalysisState, File, FileState, Outcome
from identifai_watch.core.report import AD_HOC, Post, Queue, Report, SpentPurse, WatchedFolder
from identifai_watch.core.sidecar import shown
from identifai_watch.core.tally import tally_of
from identifai_watch.ledger import Ledger, Transaction, budget, desk, holds, views


def report_of(config: Config, ledger: Ledger | None, now: datetime) -> Report:
    """Return how things stand."""
    if ledger is None:
        return _blank(config)
    is_running = ledger.lock.is_taken()
    limits = config.api.limits
    with ledger.read() as tx:
        account = budget.account(tx)
        fresh, backlog = views.queue(tx)
        made = posts(tx, limits, now)
        spent = _spent(tx, limits, now)
        counts = views.counts(tx)
        since, news = desk.node_report(tx, ledger.node) or (None, {})
        seen_at, oldest_at = desk.seen_at(tx, ledger.node), views.oldest(tx)
        gets = budget.sent(tx, "GET", now) if limits.windows("GET") else []
        pauses = {pause.folder: report.paused(pause.by, pause.why, pause.until) for pause in holds.pauses(tx)}
    queue = Queue(fresh=fresh, backlog=backlog)
    hours = config.api.backlog_hours
    opens_at = None if hours is None else hours.opens_at(now, on_the_wall)
    return Report(
        analyses=counts.analyses,
        files=counts.files,
        outcomes=counts.outcomes,
        settling=int(news.get("settling", 0)) if is_running else 0,
        held=counts.held,
        stuck=counts.stuck,
        doubt=counts.doubt,
        left=counts.left,
        account=account,
        folders=tuple(
            replace(one, paused=pauses.get(one.name))
            for one in watched(config, news.get("folders", []), is_running=is_running)
        ),
        queue=queue,
        eta=report.eta(queue, made, limits, account, now, backlog_opens_at=opens_at),
        is_running=is_running,
        since=since if is_running else None,
        spent=spent,
        backlog_hours=None if opens_at is None else hours,
        backlog_opens_at=opens_at,
        rooms=report.rooms(limits, made, gets, now),
        oldest_at=oldest_at,
        seen_at=seen_at,
        tally=tally_of(news.get("tally")),
    )


def _spent(tx: Transaction, limits: Limits, now: datetime) -> SpentPurse | None:
    """Return the purse if nothing of it is left."""
    whole, left = limits.purse(backlog=False), budget.purse(tx, limits, now).left
    if whole is None or left != 0:
        return None
    made = len(views.posts(tx, now - gate.DAY))
    return SpentPurse(made=made, allowed=whole.count, frees_at=budget.purse_refills_at(tx, now))


def _blank(config: Config) -> Report:
    """Return how things stand before the first daemon."""
    return Report(
        analyses=dict.fromkeys(AnalysisState, 0),
        files=dict.fromkeys(FileState, 0),
        outcomes=dict.fromkeys(Outcome, 0),
        settling=0,
        held=0,
        stuck=0,
        doubt=0,
        left=0,
        account=Account(),
        folders=watched(config, [], is_running=False),
        queue=Queue(fresh=0, backlog=0),
        eta=timedelta(0),
        is_running=False,
        since=None,
    )


def watched(config: Config, reported: list[dict[str, Any]], *, is_running: bool) -> tuple[WatchedFolder, ...]:
    """Return the folders of the configuration, then those that a running daemon still has from an older one."""
    by_name = {one["name"]: one for one in reported}
    folders = [
        replace(
            report.folder(one.name, shown(one.root), by_name.pop(one.name, None)), shown_at=one.shown_at(b"")
        )
        for one in config.folders
    ]
    if is_running:
        folders += [
            report.folder(name, shown(os.fsencode(one["path"])), one) for name, one in by_name.items()
        ]
    return tuple(folders)


def posts(tx: Transaction, limits: Limits, now: datetime) -> list[Post]:
    """Return the uploads made that the limits and the purse still remember."""
    reach = gate.MINUTE if limits.posts_per_day <= 0 else gate.DAY
    return [Post(at=at, backlog=backlog) for at, backlog in views.posts(tx, now - reach)]


def lies_at(config: Config, file: File) -> bytes | None:
    """Return the absolute path of where a file lies, as far as the ledger knows.

    None if it is not there any more, or if its folder is not configured any more.
    """
    path = file.path if file.lies_at is None else file.lies_at
    if file.state in {FileState.GONE, FileState.SUPERSEDED}:
        return None
    if file.folder == AD_HOC:
        return b"/" + path.lstrip(b"/")
    folder = config.folder_named(file.folder)
    if folder is None:
        return path if path.startswith(b"/") else None
    return os.path.join(folder.root, path)  # noqa: PTH118 - bytes


def shown_at(config: Config, file: File) -> str:
    """Return where people find a file; of a folder that is not configured any more, its path there."""
    path = file.path if file.lies_at is None else file.lies_at
    folder = config.folder_named(file.folder)
    if folder is not None:
        return folder.shown_at(path)
    return shown(b"/" + path.lstrip(b"/") if file.folder == AD_HOC else path)


def renamed(config: Config, file: File) -> str | None:
    """Return where people find a file if that is not simply its path, for their folder is known by another name."""
    folder = config.folder_named(file.folder)
    return None if folder is None or not folder.shown_as else shown_at(config, file)
