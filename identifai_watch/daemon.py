"""The loop: take what the workers bring, carry out orders, hand out what is due; each round is one transaction."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from identifai_watch import duties, orders, systemd
from identifai_watch.config import Config, Folder, restart_needed
from identifai_watch.core.events import Barred, Resumed
from identifai_watch.core.model import PauseReason
from identifai_watch.dispatch import Departures, dispatch
from identifai_watch.errand import Ending, Errand
from identifai_watch.errors import ConfigError, LaterError
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction, budget, claims, desk, intake, views
from identifai_watch.patrol import Health
from identifai_watch.places import AD_HOC, ad_hoc_folder, place_of
from identifai_watch.shift import Shift

BUSY_TICK = 0.2
IDLE_TICK = 1.0
RENEW_EVERY = timedelta(seconds=5)
REPORT_EVERY = timedelta(seconds=60)
PRUNE_EVERY = timedelta(hours=1)
HUNG_AFTER = 60.0
"""Seconds without progress after which a thread that touches a folder counts as hung on it."""

LAST_WORDS = timedelta(seconds=2)
"""How long a stop waits for the uploads that it cut, so that the ledger knows what became of them."""

JUDGE_PRIORITY = 10_000
"""Of a file that an operator named: above every folder's."""


class Daemon:
    """One daemon on one ledger. ``reload`` gives the configuration anew when SIGHUP asks for it.

    ``key`` gives the API key; ``give_up`` is how long a run over all there is bears an API that does not answer.
    ``only`` are absolute paths: a run over these alone, which scans no folder and sends nothing else.
    """

    def __init__(
        self,
        shift: Shift,
        key: Callable[[], str],
        *,
        reload: Callable[[], Config] | None = None,
        give_up: timedelta = timedelta(minutes=10),
        only: tuple[bytes, ...] = (),
    ) -> None:
        self.shift = shift
        self._reload = reload
        self._only = only
        departures = Departures(shift)
        self._api = duties.connect(shift.config.api.url, key, departures)
        self._intakes: dict[int, Intake] = {}
        self._dispatch = dispatch(shift, self._api, departures, self._intakes)
        self._errand = Errand(shift, self._intakes, self._dispatch, give_up=give_up)
        self._key_file: tuple[int, int] | None = None
        self._wants_reload = False
        self._since = shift.clock()
        self._began_with = shift.config
        self._renewed_at = self._reported_at = self._pruned_at = self._since
        self._fed_at = time.monotonic()
        self._feed_every = systemd.watchdog_interval()
        self._idle_tick = IDLE_TICK
        if self._feed_every is not None:
            self._idle_tick = min(IDLE_TICK, self._feed_every.total_seconds() / 2)
        self._told: list[dict[str, Any]] = []

    # What signals and commands ask; safe in a signal handler.

    def stop(self) -> None:
        """End soon: what is in flight is abandoned, and what it was stands in the ledger."""
        self.shift.stopping.set()
        self.shift.workers.wake()

    def ask_reload(self) -> None:
        """Read the configuration anew at the next round."""
        self._wants_reload = True
        self.shift.workers.wake()

    @property
    def settling(self) -> int:
        """How many files are on their way in; may be asked from another thread."""
        return sum(one.settling for one in list(self._intakes.values()))

    # Running.

    def run(self) -> Ending | None:
        """Run until stopped, or in a run over all there is until that is done, and say why that ended.

        Raises:
            LaterError: Another daemon has this ledger.
        """
        self._begin()
        ending = None
        try:
            while not self.shift.stopping.is_set() and ending is None:
                self._round()
                ending = self._errand.ending() if self.shift.once else None
        finally:
            self._end()
        return ending

    def _begin(self) -> None:
        shift = self.shift
        if not shift.ledger.lock.take():
            raise LaterError(
                f"another daemon runs on this ledger ({shift.config.ledger.url}); there is one for each"
            )
        with shift.ledger.write() as tx:
            claims.free(tx, shift.claimant.node)
            self._key_file = _mark_of(shift.config.api.key_file)
            budget.advance_account(tx, _look_now(tx), shift.clock(), shift.chance())
            shift.learn(tx)
            if self._only:
                shift.least_priority = JUDGE_PRIORITY
                self._errand.targets = [self._take(tx, path) for path in self._only]
            else:
                self._open_all(tx)
            self._report(tx, force=True)
        shift.log.info("started", folders=len(shift.config.folders), ledger=shift.config.ledger.url)
        systemd.ready(self._status())

    def _round(self) -> None:
        """Wait for something to do, do all of it in one transaction, then launch what that planned."""
        shift = self.shift
        arrived = shift.workers.collect(self._patience())
        try:
            with shift.ledger.write() as tx:
                for then in arrived:
                    then(tx)
                self._obey(tx)
                for one in self._intakes.values():
                    one.tick(tx)
                self._dispatch.tick(tx)
                self._keep_house(tx)
        except BaseException:
            shift.workers.drop()
            raise
        shift.workers.launch()
        if self._wants_reload:
            self._wants_reload = False
            self._apply_reload()
        self._feed()

    def _patience(self) -> float:
        """Return how many seconds nothing may be due."""
        now = self.shift.clock()
        dues = [due for one in self._intakes.values() if (due := one.next_due()) is not None]
        is_busy = not self._dispatch.is_idle() or any(one.settling for one in self._intakes.values())
        if not is_busy:
            with self.shift.ledger.read() as tx:
                resting = (claims.next_due(tx, now), budget.account(tx).hold_until)
            dues += [due for due in resting if due is not None and due > now]
        soonest = min(((due - now).total_seconds() for due in dues), default=IDLE_TICK)
        return max(0.0, min(soonest, BUSY_TICK if is_busy else self._idle_tick))

    def _end(self) -> None:
        """Stop: cut the uploads, write what became of them, and leave hung threads behind."""
        shift = self.shift
        systemd.stopping()
        shift.stopping.set()
        self._api.abandon()
        for one in self._intakes.values():
            one.close()
        deadline = time.monotonic() + LAST_WORDS.total_seconds()
        while (
            self._dispatch.uploads.in_flight + self._dispatch.deliveries.in_flight
            and time.monotonic() < deadline
        ):
            self._last_words(0.1)
        self._last_words(0.0)
        with shift.ledger.write() as tx:
            self._report(tx, force=True)
        self._api.close()
        shift.ledger.lock.release()
        shift.log.info("stopped")

    def _last_words(self, timeout: float) -> None:
        arrived = self.shift.workers.collect(timeout)
        with self.shift.ledger.write() as tx:
            for then in arrived:
                then(tx)
        self.shift.workers.drop()

    # Folders.

    def _open_all(self, tx: Transaction) -> None:
        """Open every folder, and the place of single files if one of them still waits."""
        for folder in self.shift.config.folders:
            self._open(tx, folder)
        singles = intake.folder(tx, self.shift.ledger.node, AD_HOC)
        if views.unsettled(tx, [singles.id]):
            self._open(tx, ad_hoc_folder(), scans=False)

    def _open(self, tx: Transaction, folder: Folder, *, scans: bool = True) -> Intake:
        opened = Intake(self.shift, folder, scans=scans)
        opened.open(tx)
        self._intakes[opened.folder_id] = opened
        return opened

    def _take(self, tx: Transaction, path: bytes) -> tuple[int, bytes]:
        """Take the file at an absolute path first in line; return its folder's number and its path there."""
        folder, relative = place_of(self.shift.config.folders, path)
        found = next((one for one in self._intakes.values() if one.folder.name == folder.name), None)
        one = found or self._open(tx, folder, scans=False)
        one.offer(tx, relative, JUDGE_PRIORITY)
        return one.folder_id, relative

    def _apply_reload(self) -> None:
        """Take a new configuration; a wrong one is refused with its problems, and the old one stays."""
        shift = self.shift
        if self._reload is None:
            return
        systemd.reloading()
        try:
            fresh = self._reload()
        except ConfigError as error:
            for problem in error.problems:
                shift.log.error("configuration refused", problem=problem)  # noqa: TRY400 - a traceback tells nothing
            systemd.ready(self._status())
            return
        for name in restart_needed(self._began_with, fresh):
            shift.log.warning("needs a restart", key=name)
        self._replace_folders(fresh)
        shift.log.info("reloaded", folders=len(fresh.folders))
        systemd.ready(self._status())

    def _replace_folders(self, fresh: Config) -> None:
        """Close the folders that changed or are gone, and open those that are new; the rest goes on untouched."""
        shift = self.shift
        same_limits = fresh.limits == shift.config.limits
        shift.config = fresh
        with shift.ledger.write() as tx:
            for key, one in list(self._intakes.items()):
                kept = fresh.folder_named(one.folder.name)
                if one.folder.name != AD_HOC and (kept != one.folder or not same_limits):
                    one.close()
                    del self._intakes[key]
            running = {one.folder.name for one in self._intakes.values()}
            for folder in fresh.folders:
                if folder.name not in running:
                    self._open(tx, folder)
            budget.advance_account(tx, _look_now(tx), shift.clock(), shift.chance())
            self._report(tx, force=True)

    # Orders.

    def _obey(self, tx: Transaction) -> None:
        """Carry out what operators asked for since the last round."""
        now = self.shift.clock()
        for command in desk.open_commands(tx):
            match command.verb:
                case "judge":
                    answer = self._judge(tx, os.fsencode(command.arguments["path"]))
                case "reach":
                    answer = self._reach(str(command.arguments["folder"]))
                case _:
                    answer = orders.carry_out(tx, command, self.shift.step(tx))
            desk.answered(tx, command.id, answer, now)
            self.shift.log.info("order carried out", verb=command.verb, by=command.who, **answer)

    def _judge(self, tx: Transaction, path: bytes) -> dict[str, Any]:
        number, relative = self._take(tx, path)
        return {"folder": self._intakes[number].folder.name, "path": os.fsdecode(relative)}

    def _reach(self, name: str) -> dict[str, Any]:
        """Accept what is mounted at a folder's root now, and scan it."""
        for one in self._intakes.values():
            if one.folder.name == name:
                one.patrol.accept_filesystem()
                return {"folder": name}
        return {"error": f"there is no folder {name}"}

    # Housekeeping.

    def _keep_house(self, tx: Transaction) -> None:
        shift, now = self.shift, self.shift.clock()
        if now - self._renewed_at >= RENEW_EVERY:
            self._renewed_at = now
            claims.renew(tx, shift.claimant, now)
            self._mind_key(tx)
            self._mind_hung()
        if now - self._pruned_at >= PRUNE_EVERY:
            self._pruned_at = now
            budget.prune(tx, now)
        self._report(tx)

    def _mind_key(self, tx: Transaction) -> None:
        """Have a paused account probed when the key's file is another one than it was."""
        found = _mark_of(self.shift.config.api.key_file)
        if found != self._key_file:
            self._key_file = found
            budget.advance_account(tx, _look_now(tx), self.shift.clock(), self.shift.chance())

    def _mind_hung(self) -> None:
        """Set folders aside whose threads hang on them; the others go on."""
        for running in self.shift.workers.running():
            name, _, what = running.lane.partition("/")
            if what in {"", "upload"} or time.monotonic() - running.moved_at < HUNG_AFTER:
                continue
            for one in self._intakes.values():
                if one.folder.name == name and one.patrol.health is not Health.UNAVAILABLE:
                    one.patrol.out_of_reach(f"it has not answered for {HUNG_AFTER:.0f} s ({what})")

    def _report(self, tx: Transaction, *, force: bool = False) -> None:
        """Write what this daemon alone knows, on change and at most once a minute for what moves all the time."""
        if self._only:
            return
        now = self.shift.clock()
        news = self._news()
        # When a folder was last scanned moves all the time; that it was scanned at all is worth telling at once.
        told = [folder | {"last_scan_at": folder["last_scan_at"] is not None} for folder in news["folders"]]
        if force or told != self._told or now - self._reported_at >= REPORT_EVERY:
            self._told = told
            self._reported_at = now
            self._put_node(tx)
            systemd.status(self._status())

    def _put_node(self, tx: Transaction) -> None:
        shift = self.shift
        desk.put_node(
            tx,
            shift.ledger.node,
            process=os.getpid(),
            since=self._since,
            now=shift.clock(),
            report=self._news(),
        )

    def _news(self) -> dict[str, Any]:
        """Return what other processes cannot read from the ledger's rows."""
        return {
            "folders": [one.patrol.report() for one in self._intakes.values() if one.folder.name != AD_HOC],
            "settling": self.settling,
            "uploading": self._dispatch.uploads.in_flight,
        }

    def _status(self) -> str:
        """Return one line for systemd's STATUS."""
        out = [one.folder.name for one in self._intakes.values() if one.patrol.health is Health.UNAVAILABLE]
        settling = self.settling
        said = f"{len(self._intakes)} folders, {settling} files settling, {self._dispatch.uploads.in_flight} uploading"
        return f"{said}; unavailable: {', '.join(out)}" if out else said

    def _feed(self) -> None:
        """Feed systemd's watchdog: this loop turns, and a hung mount is its folder's matter, never a restart's."""
        if (
            self._feed_every is not None
            and time.monotonic() - self._fed_at >= self._feed_every.total_seconds()
        ):
            self._fed_at = time.monotonic()
            systemd.watchdog()


def _look_now(tx: Transaction) -> Resumed | Barred:
    """Have a paused account probed now: a start or a reload may have brought a new key; the operator's pause stays."""
    account = budget.account(tx)
    if account.reason is PauseReason.OPERATOR:
        return Barred(PauseReason.OPERATOR, account.detail or "by hand")
    return Resumed()


def _mark_of(path: Path | None) -> tuple[int, int] | None:
    """Return what tells one version of a small file from the next; None if it is not there."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_mtime_ns, found.st_ino)
