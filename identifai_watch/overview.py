"""How things stand and where files lie, gathered from the configuration and the ledger in short transactions.

The commands and the page show the same. Nothing is written.
"""

import os
from datetime import datetime, timedelta

from identifai_watch import hosts
from identifai_watch.brakes import on_the_wall
from identifai_watch.config import Config
from identifai_watch.core import gate, report
from identifai_watch.core.gate import Limits
from identifai_watch.core.model import Account, AnalysisState, File, FileState, Outcome
from identifai_watch.core.report import AD_HOC, SHARED, Post, Queue, Report, SpentPurse
from identifai_watch.core.sidecar import shown
from identifai_watch.core.tally import tally_of
from identifai_watch.ledger import Ledger, Transaction, budget, views


def report_of(config: Config, ledger: Ledger | None, now: datetime) -> Report:
    """Return how things stand."""
    if ledger is None:
        return _blank(config)
    with ledger.read() as tx:
        told = hosts.told(tx, ledger)
        account = budget.account(tx)
        fresh, backlog = views.queue(tx)
        limits = config.api.limits
        made = posts(tx, limits, now)
        spent = _spent(tx, limits, now)
        counts = views.counts(tx)
        oldest_at = views.oldest(tx)
        gets = budget.sent(tx, "GET", now) if limits.windows("GET") else []
        pauses = hosts.pauses(tx, ledger)
    queue = Queue(fresh=fresh, backlog=backlog)
    hours = config.api.backlog_hours
    opens_at = None if hours is None else hours.opens_at(now, on_the_wall)
    here = told[0]
    return Report(
        analyses=counts.analyses,
        files=counts.files,
        outcomes=counts.outcomes,
        settling=sum(one.settling for one in told),
        held=counts.held,
        stuck=counts.stuck,
        doubt=counts.doubt,
        left=counts.left,
        account=account,
        folders=hosts.watched(config, ledger, told, pauses),
        queue=queue,
        eta=report.eta(queue, made, limits, account, now, backlog_opens_at=opens_at),
        is_running=here.is_running,
        since=here.since if here.is_running else None,
        spent=spent,
        backlog_hours=None if opens_at is None else hours,
        backlog_opens_at=opens_at,
        rooms=report.rooms(limits, made, gets, now),
        oldest_at=oldest_at,
        seen_at=here.seen_at,
        tally=tally_of(here.report.get("tally")),
        nodes=hosts.nodes(told, now) if ledger.member else (),
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
        folders=hosts.configured(config, [], is_running=False),
        queue=Queue(fresh=0, backlog=0),
        eta=timedelta(0),
        is_running=False,
        since=None,
    )


def posts(tx: Transaction, limits: Limits, now: datetime) -> list[Post]:
    """Return the uploads made that the limits and the purse still remember."""
    reach = gate.MINUTE if limits.posts_per_day <= 0 else gate.DAY
    return [Post(at=at, backlog=backlog) for at, backlog in views.posts(tx, now - reach)]


def lies_at(config: Config, file: File) -> bytes | None:
    """Return the absolute path of where a file lies, as far as the ledger knows.

    None if it is not there any more, lies on another host, or if its folder is not configured any more.
    """
    path = file.path if file.lies_at is None else file.lies_at
    if file.state in {FileState.GONE, FileState.SUPERSEDED} or hosts.elsewhere(config, file) is not None:
        return None
    if file.folder == AD_HOC:
        return b"/" + path.lstrip(b"/")
    folder = config.folder_of(file.node, file.folder)
    if folder is None:
        return path if path.startswith(b"/") and file.node != SHARED else None
    return os.path.join(folder.root, path)  # noqa: PTH118 - bytes


def shown_at(config: Config, file: File) -> str:
    """Return where people find a file; of a folder that is not configured here, or not any more, its path there."""
    path = file.path if file.lies_at is None else file.lies_at
    folder = config.folder_of(file.node, file.folder)
    if folder is not None:
        return folder.shown_at(path)
    return shown(b"/" + path.lstrip(b"/") if file.folder == AD_HOC else path)


def renamed(config: Config, file: File) -> str | None:
    """Return where people find a file if that is not simply its path, for their folder is known by another name."""
    folder = config.folder_of(file.node, file.folder)
    return None if folder is None or not folder.shown_as else shown_at(config, file)
