"""What a daemon watches over, its claims, its key and its hung threads; and what it tells of itself."""

import os
import time
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from identifai_watch import __version__, orders, systemd
from identifai_watch.core.health import Health
from identifai_watch.core.moment import MOST_SHOWN, Moment
from identifai_watch.dispatch import Dispatch
from identifai_watch.dispatch.stamps import Stamps
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction, budget, claims, desk, trail
from identifai_watch.places import AD_HOC
from identifai_watch.shares import Shares
from identifai_watch.shift import Shift

RENEW_EVERY = timedelta(seconds=5)
REPORT_EVERY = timedelta(seconds=60)
COUNT_EVERY = timedelta(seconds=10)
"""How often at most the sums are written: what a scraper was told is never taken back, whatever end this run has."""

PRUNE_EVERY = timedelta(hours=1)
HUNG_AFTER = 60.0
"""Seconds without progress after which a thread that touches a folder counts as hung on it."""

STALLED = 60.0
"""Seconds without a turn of the loop after which it is stalled; the unit's WatchdogSec is as long."""

MOMENT_EVERY = 0.4
ASKED_FOR = 10.0
"""Seconds for which the loop goes on telling what is under way after somebody asked."""

REQUEST_OVERDUE = 1200.0
"""Seconds after which a request that is neither answered nor cut is our own fault: only a restart helps."""


class Vigil:
    """The housekeeping of one shift; ``is_silent`` is a run over single files, which tells nobody of folders."""

    def __init__(
        self,
        shift: Shift,
        intakes: Mapping[int, Intake],
        shares: Shares,
        dispatch: Dispatch,
        *,
        is_silent: bool,
    ) -> None:
        self._shift = shift
        self._intakes = intakes
        self._shares = shares
        self._dispatch = dispatch
        self._is_silent = is_silent
        self._stamps = Stamps(shift)
        self._since = self._renewed_at = self._reported_at = self._pruned_at = shift.clock()
        self._key_file = _mark_of(shift.config.api.key_file)
        self._told_on: date | None = None
        self._told: list[dict[str, Any]] = []
        self._feed_every = systemd.watchdog_interval()
        self._fed_at = self._turned_at = time.monotonic()
        self._moment = Moment(at=self._since, settling=0, hashing=0, uploading=0)
        self._moment_at = self._asked_at = -ASKED_FOR

    def idle_tick(self, longest: float) -> float:
        """Return how many seconds the loop may rest, at most ``longest``: the watchdog wants to be fed in time."""
        return longest if self._feed_every is None else min(longest, self._feed_every.total_seconds() / 2)

    def mind_last_end(self) -> None:
        """Look whether the ledger is whole if the last daemon ended without a chance to say that it does.

        Raises:
            LedgerError: It is damaged.
        """
        ledger, began = self._shift.ledger, time.monotonic()
        with ledger.read() as tx:
            if not desk.is_unended(tx, ledger.node):
                return
        ledger.examine()
        took = round(time.monotonic() - began, 3)
        self._shift.log.warning("unclean stop, ledger checked", seconds=took)

    def keep(self, tx: Transaction) -> None:
        """Hold the claims, have a new key tried, set hung folders aside, forget old requests; tell, and stamp, the day's head."""
        shift, now = self._shift, self._shift.clock()
        for what in orders.end_pauses(tx, shift.step()):
            shift.log.info("pause over", what=what)
        if now - self._renewed_at >= RENEW_EVERY:
            self._renewed_at = now
            claims.renew(tx, shift.claimant, now, self._dispatch.asked)
            self._mind_key(tx)
            self._mind_hung()
            self._stamps.tick(tx)
        if now - self._pruned_at >= PRUNE_EVERY:
            self._pruned_at = now
            budget.prune(tx, now)
        if now.date() != self._told_on and not self._is_silent:
            self._told_on = now.date()
            self._tell_head(tx, now)

    def report(self, tx: Transaction, *, force: bool = False) -> None:
        """Write what this daemon alone knows: at once what changes how things stand, else at most once a minute.

        While files come the sums are written oftener.
        """
        if self._is_silent:
            return
        shift, now = self._shift, self._shift.clock()
        news = self._news()
        # When a folder was last scanned moves all the time; that it was scanned at all is worth telling at once.
        told = [
            folder | {"last_scan_at": folder["last_scan_at"] is not None, "scan_seconds": None}
            for folder in news["folders"]
        ]
        tally = shift.reckon()
        patience = REPORT_EVERY if tally.is_told else COUNT_EVERY
        if force or told != self._told or now - self._reported_at >= patience:
            self._told = told
            self._reported_at = now
            tally.is_told = True
            node = shift.ledger.node
            news["tally"] = tally.document()
            desk.put_node(tx, node, process=os.getpid(), since=self._since, now=now, report=news)
            systemd.status(self.status())

    def status(self) -> str:
        """Return one line for systemd's STATUS."""
        out = [one.folder.name for one in self._shares.folders if one.patrol.health is Health.UNAVAILABLE]
        news = self._news()
        said = (
            f"{len(self._intakes)} folders, {news['settling']} files settling, {news['uploading']} uploading"
        )
        return f"{said}; unavailable: {', '.join(out)}" if out else said

    def feed(self) -> None:
        """Feed systemd's watchdog: the loop turns, and no request is overdue.

        A mount that hangs is its folder's matter, never a restart's.
        """
        self._turned_at = now = time.monotonic()
        self._publish(now)
        if self._feed_every is None or now - self._fed_at < self._feed_every.total_seconds():
            return
        if self._is_answered(now):
            self._fed_at = now
            systemd.watchdog()

    def _is_answered(self, now: float) -> bool:
        """Tell whether no request is overdue."""
        asking = [running for running in self._shift.workers.running() if running.lane == "network"]
        return all(now - running.moved_at < REQUEST_OVERDUE for running in asking)

    def is_well(self) -> bool:
        """Tell whether the watchdog would be fed: the loop turns, and no request is overdue; for any thread."""
        now = time.monotonic()
        return now - self._turned_at < STALLED and self._is_answered(now)

    def moment(self) -> Moment:
        """Return what was under way when the loop last told; for any thread, and while somebody asks it goes on telling."""
        self._asked_at = time.monotonic()
        return self._moment

    def _publish(self, now: float) -> None:
        """Tell what is under way, while somebody looks."""
        if now - self._asked_at > ASKED_FOR or now - self._moment_at < MOMENT_EVERY:
            return
        self._moment_at = now
        uploading = self._dispatch.uploads.motions()
        moving = [motion for one in self._intakes.values() for motion in one.motions(MOST_SHOWN)]
        hashing = sum(one.hashing for one in self._intakes.values())
        self._moment = Moment(
            at=self._shift.clock(),
            settling=sum(one.settling for one in self._intakes.values()) - hashing,
            hashing=hashing,
            uploading=len(uploading),
            motions=(*moving, *uploading[:MOST_SHOWN]),
        )

    def _news(self) -> dict[str, Any]:
        """Return what other processes cannot read from the ledger's rows."""
        return {
            "folders": [one.patrol.report() for one in self._shares.folders if one.folder.name != AD_HOC],
            "settling": sum(one.settling for one in self._intakes.values()),
            "uploading": self._dispatch.uploads.in_flight,
            "version": __version__,
        }

    def _tell_head(self, tx: Transaction, now: datetime) -> None:
        """Log where the history's chain stood when the day began: whoever has the log can tell whether it was made anew."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        head = trail.head(tx, before=midnight)
        if head is not None:
            day = (midnight - timedelta(days=1)).date()
            self._shift.log.info("history head", day=day, lines=head.lines, head=head.digest.hex())
            self._stamps.want(tx, head)

    def _mind_key(self, tx: Transaction) -> None:
        """Have a paused account probed when the key's file is another one than it was."""
        found = _mark_of(self._shift.config.api.key_file)
        if found != self._key_file:
            self._key_file = found
            orders.look_now(tx, self._shift.clock(), self._shift.chance())

    def _mind_hung(self) -> None:
        """Set folders aside whose threads hang on them; the others go on."""
        for running in self._shift.workers.running():
            name, _, what = running.lane.partition("/")
            # An upload waits for the network most of the time; only what it asks of the disk is the folder's matter.
            since = running.on_disk_since if what == "upload" else running.moved_at
            if what == "" or since is None or time.monotonic() - since < HUNG_AFTER:
                continue
            for one in self._shares.folders:
                if one.folder.name == name:
                    one.patrol.hangs(running, f"it has not answered for {HUNG_AFTER:.0f} s ({what})")


def _mark_of(path: Path | None) -> tuple[int, int] | None:
    """Return what tells one version of a small file from the next; None if it is not there."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_ino)
