"""The loop: take what the workers bring, carry out orders, hand out what is due; each round is one transaction."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from identifai_watch import orders, systemd
from identifai_watch.config import Config, restart_needed
from identifai_watch.core.model import Media
from identifai_watch.core.moment import Moment
from identifai_watch.core.tally import tally_of
from identifai_watch.dispatch import Notices, dispatch
from identifai_watch.errand import Ending, Errand
from identifai_watch.errors import ConfigError, LaterError, LedgerAwayError, LedgerError
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction, claims, desk, intake, part, queue, runs, shown
from identifai_watch.ledger.desk import Command
from identifai_watch.lookout import Lookout
from identifai_watch.places import AD_HOC, ad_hoc_folder
from identifai_watch.rest import BUSY_TICK, IDLE_TICK, Rest
from identifai_watch.shares import Shares
from identifai_watch.shift import Shift
from identifai_watch.vigil import Vigil
from identifai_watch.watchlist import JUDGE_PRIORITY, Watchlist
from identifai_watch.workers import Arrived, Gather

LINGER = 0.02
"""Seconds that a round waits for more while several uploads are under way."""

HINTS_FOR = 0.5
"""Seconds for which files on their way in may keep all else waiting, if they never cease to come."""

LAST_WORDS = timedelta(seconds=2)
"""How long a stop waits for the uploads that it cut, so that the ledger knows what became of them."""

AWAY_WAIT = 1.0

CLOCK_SLACK = timedelta(seconds=2)
"""How far the clock may be set back without a word."""

Failed = Callable[[Transaction, Exception], None]


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
        self._key = key
        self._intakes: dict[int, Intake] = {}
        self._dispatch = dispatch(shift, key, self._intakes, Notices(shift))
        self._shares = Shares(shift, self._intakes)
        self._watchlist = Watchlist(shift, self._intakes, self._shares)
        self._errand = Errand(shift, self._intakes, self._shares, self._dispatch, give_up=give_up)
        self._vigil = Vigil(shift, self._intakes, self._shares, self._dispatch, is_silent=bool(only))
        self._rest = Rest(shift, self._intakes, self._shares, self._dispatch)
        self._lookout = Lookout(shift, self._shares, self._dispatch.notices)
        self._arrived: list[Arrived] = []
        self._claims_since = shift.clock()
        self._unbegun_since: datetime | None = None
        self._whole_round_at = 0.0
        self._away_since: datetime | None = None
        self._is_to_open = False
        self._latest = shift.clock()
        self._wants_reload = False
        self._began_with = shift.config

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

    def moment(self) -> Moment:
        """Return what is under way; may be asked from another thread."""
        return self._vigil.moment()

    def is_well(self) -> bool:
        """Tell whether systemd's watchdog would be fed; may be asked from another thread."""
        return self._vigil.is_well()

    # Running.

    def run(self) -> Ending | None:
        """Run until stopped, or in a run over all there is until that is done, and say why that ended.

        Raises:
            LaterError: Another daemon has this ledger.
            LedgerError: The last one ended without a chance to say so, and the ledger is damaged.
        """
        self._begin()
        ending = None
        is_meant = False
        try:
            while not self.shift.stopping.is_set() and ending is None:
                self._round()
                ending = self._errand.ending() if self.shift.once else None
            is_meant = True
        finally:
            self._end(is_meant=is_meant)
        return ending

    def _begin(self) -> None:
        shift = self.shift
        if not shift.ledger.lock.take():
            raise LaterError(self._taken())
        shift.ledger.listen(shift.workers.wake)
        self._vigil.mind_last_end()
        with shift.ledger.write() as tx:
            claims.free(tx, shift.claimant.node)
            mended = queue.mend(tx)
            shift.learn(tx, *Media)
            self._open(tx)
            self._vigil.report(tx, force=True)
        if mended:
            shift.log.warning("queue mended", contents=mended)
        shift.log.info("started", folders=len(shift.config.folders), ledger=shown(shift.config.ledger.url))
        systemd.ready(self._vigil.status())

    def _taken(self) -> str:
        """Return what is said to a second daemon."""
        ledger, where = self.shift.ledger, shown(self.shift.config.ledger.url)
        if ledger.member:
            return f"another daemon runs as node {ledger.node} on this ledger ({where}); give this one a node.name of its own"
        return f"another daemon runs on this ledger ({where}); there is one for each"

    def _round(self) -> None:
        """Wait for something to do, do all of it in one transaction, then launch what that planned.

        A ledger that cannot be written keeps everything waiting, and what the workers brought is kept for it. After
        one that failed in mid-round all that was in memory is made anew from it; where the answer to the commit is
        missing, so are the claims that may stand in it. While there is nothing to do the round ends with the wait.
        """
        shift = self.shift
        self._mind_clock()
        is_begun = is_done = False
        try:
            linger = LINGER if self._dispatch.uploads.in_flight > 1 else 0.0
            patience = self._rest.patience(self._vigil.idle_tick(IDLE_TICK))
            self._arrived += shift.workers.collect(patience, linger=linger)
            if not self._arrived and self._rest.lasts():
                self._vigil.feed()
                return
            self._rest.mark()
            with shift.ledger.write() as tx:
                is_begun = True
                is_whole = self._work(tx)
                is_done = True
        except LedgerAwayError as error:
            shift.workers.drop()
            if is_begun:
                self._renew()
            if is_done:
                self._unbegun_since = self._unbegun_since or self._claims_since
            self._bear(error)
            return
        self._arrived = []
        self._is_to_open = False
        self._unbegun_since = None
        self._is_back()
        self._shares.confirm()
        shift.workers.launch()
        try:
            self._go_on(is_whole=is_whole)
        except LedgerAwayError as error:
            self._bear(error)

    def _go_on(self, *, is_whole: bool) -> None:
        """Do what follows a round that is committed."""
        if self._wants_reload:
            self._apply_reload()
            self._wants_reload = False
        if is_whole:  # the others have not seen what somebody may have written meanwhile
            self._rest.begin()
        self._vigil.feed()

    def _work(self, tx: Transaction) -> bool:
        """Do one round: keep the claims, take in what came, obey, begin what is due.

        Or only what files on their way in need; tell whether it was a whole one.
        """
        if self._is_to_open:
            self._open(tx)
        if self._unbegun_since is not None:
            claims.give_back(tx, self.shift.claimant, self._unbegun_since, self.shift.step())
        self._watchlist.close_lost(tx)
        is_whole = self._is_stirred()
        if is_whole:
            self._whole_round_at = time.monotonic()
            self._vigil.keep(tx)
        self._claims_since = self.shift.clock()
        self._take_in(tx)
        if is_whole:
            self._obey(tx)
            self._watchlist.take_shares(tx)
        for one in self._intakes.values():
            one.tick(tx)
        if is_whole:
            self._dispatch.tick(tx)
            self._tell(tx)
            self._vigil.report(tx)
        return is_whole

    def _tell(self, tx: Transaction) -> None:
        """Look whether anything is wrong, and tell people what is new; a bug in that is no reason to judge nothing."""
        if self._lookout.is_due and not self.shift.once:
            self._guarded(tx, partial(self._lookout.tick, is_well=self._vigil.is_well()), self._misdone)
        if self._dispatch.notices.is_due:
            self._guarded(tx, self._dispatch.notices.tick, self._misdone)

    def _take_in(self, tx: Transaction) -> None:
        """Do what the workers brought: what is gathered at once, or after a bug in that one by one like the rest."""
        gathered: dict[Gather, list[Arrived]] = {}
        for arrived in self._arrived:
            if arrived.gather is None:
                self._guarded(tx, arrived.then, arrived.failed or self._misdone)
            else:
                gathered.setdefault(arrived.gather, []).append(arrived)
        for gather, together in gathered.items():
            found = [arrived.found for arrived in together if arrived.found is not None]
            self._guarded(tx, partial(_gather, gather, found), partial(self._one_by_one, together))

    def _one_by_one(self, together: Sequence[Arrived], tx: Transaction, error: Exception) -> None:
        self.shift.bug(error)
        for arrived in together:
            self._guarded(tx, arrived.then, arrived.failed or self._misdone)

    def _is_stirred(self) -> bool:
        """Tell whether this round asks the ledger for all that may be due: that is much, and files on their way in ask often.

        What was heard of one, and a look at one, change nothing that is to be sent, asked for or delivered.
        """
        if any(arrived.stirs for arrived in self._arrived):
            return True
        since = time.monotonic() - self._whole_round_at
        if self._arrived:
            return since >= HINTS_FOR
        return since >= BUSY_TICK or not any(one.settling for one in self._intakes.values())

    def _guarded(self, tx: Transaction, do: Callable[[Transaction], None], failed: Failed) -> None:
        """Do one thing of a round; if it raises, take back what it wrote and go on with the rest."""
        try:
            with part(tx):
                do(tx)
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug about one row must not end the daemon, again at each start
            if failed == self._misdone:
                self.shift.bug(error)
            else:
                self._guarded(tx, partial(_fail, failed, error), self._misdone)

    def _misdone(self, _tx: Transaction, error: Exception) -> None:
        self.shift.bug(error)

    def _mind_clock(self) -> None:
        """Make what is in memory anew when the clock was set back: instants in it would be waited for far too long."""
        before, self._latest = self._latest, self.shift.clock()
        if before - self._latest > CLOCK_SLACK:
            self.shift.log.warning("clock set back", seconds=(before - self._latest).total_seconds())
            self._renew()

    def _renew(self) -> None:
        """Forget what is in memory, and have it made anew from the ledger with the next round, as by a start.

        What is under way in threads ends as it began: its claims are held, and what it brings is written.
        """
        for one in self._intakes.values():
            one.close()
        self._intakes.clear()
        self._shares.close()
        self._dispatch.take_over(dispatch(self.shift, self._key, self._intakes, self._dispatch.notices))
        self._rest.end()
        self._is_to_open = True

    def _bear(self, error: LedgerAwayError) -> None:
        """Wait for a ledger that is locked, or cannot be reached; nothing is sent meanwhile."""
        if self._away_since is None:
            self._away_since = self.shift.clock()
            self.shift.log.error("ledger away", reason=str(error))
        systemd.status(f"waiting for the ledger: {error}")
        self._vigil.feed()
        self.shift.stopping.wait(AWAY_WAIT)

    def _is_back(self) -> None:
        """Say that the ledger is back, if it was away."""
        if self._away_since is not None:
            away = self.shift.clock() - self._away_since
            self._away_since = None
            self.shift.log.info("ledger back", seconds=round(away.total_seconds(), 1))
            self._dispatch.uploads.bear_with_others()

    def _end(self, *, is_meant: bool) -> None:
        """Stop: cut the uploads, write what became of them, and leave hung threads behind."""
        shift = self.shift
        systemd.stopping()
        shift.stopping.set()
        self._dispatch.abandon()
        for one in self._intakes.values():
            one.close()
        deadline = time.monotonic() + LAST_WORDS.total_seconds()
        is_written = True
        while (self._is_under_way() or not is_written) and time.monotonic() < deadline:
            is_written = self._last_words(0.1)
        if is_written and self._last_words(0.0):
            with suppress(LedgerAwayError, LaterError), shift.ledger.write() as tx:
                self._dispatch.uploads.log_departures(tx)
                self._shares.give_up(tx)
                self._vigil.report(tx, force=True)
                if is_meant:
                    desk.end_node(tx, shift.ledger.node, shift.clock())
        self._dispatch.close()
        shift.ledger.lock.release()
        shift.log.info("stopped")

    def _is_under_way(self) -> bool:
        """Tell whether anything is under way that the ledger is to know the end of."""
        of = self._dispatch
        return bool(of.uploads.in_flight + of.deliveries.in_flight + of.notices.in_flight)

    def _last_words(self, timeout: float) -> bool:
        """Write what came of what was in flight; return False, and keep it, if the ledger is away.

        If it stays away, or another daemon has this node's name by now, the next start finds it in doubt.
        """
        self._arrived += self.shift.workers.collect(timeout)
        try:
            with self.shift.ledger.write() as tx:
                for one in self._arrived:
                    self._guarded(tx, one.then, one.failed or self._misdone)
        except (LedgerAwayError, LaterError):
            return False
        finally:
            self.shift.workers.drop()
        self._arrived = []
        return True

    # Folders.

    def _open(self, tx: Transaction) -> None:
        """Open what is to be watched, and let nothing wait for an instant that only another clock would reach."""
        shift = self.shift
        shift.tally = tally_of(desk.sums(tx, shift.ledger.node))
        orders.look_now(tx, shift.clock(), shift.chance())
        claims.bring_forward(tx, shift.clock())
        if self._only:
            shift.least_priority = JUDGE_PRIORITY
            self._errand.targets = [self._watchlist.take(tx, path) for path in self._only]
            return
        for folder in shift.config.folders:
            self._watchlist.begin(tx, folder)
        singles = intake.folder(tx, self.shift.ledger.node, AD_HOC)
        if runs.unsettled(tx, [singles.id]):
            self._watchlist.watch(tx, ad_hoc_folder(), scans=False)

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
            systemd.ready(self._vigil.status())
            return
        for name in restart_needed(self._began_with, fresh):
            shift.log.warning("needs a restart", key=name)
        self._replace_folders(fresh)
        shift.log.info("reloaded", folders=len(fresh.folders))
        systemd.ready(self._vigil.status())

    def _replace_folders(self, fresh: Config) -> None:
        """Go on with the folders of another configuration."""
        shift, before = self.shift, self.shift.config
        try:
            with shift.ledger.write() as tx:
                self._watchlist.replace(tx, fresh)
                orders.look_now(tx, shift.clock(), shift.chance())
                self._vigil.report(tx, force=True)
        except LedgerAwayError:
            shift.config = before
            raise

    # Orders.

    def _obey(self, tx: Transaction) -> None:
        """Carry out what operators asked for since the last round."""
        for command in desk.open_commands(tx, self.shift.ledger.member):
            self._guarded(tx, partial(self._carry_out, command), partial(self._disobey, command))

    def _carry_out(self, command: Command, tx: Transaction) -> None:
        match command.verb:
            case "judge":
                answer = self._judge(tx, os.fsencode(command.arguments["path"]))
            case "reach":
                answer = self._reach(str(command.arguments["folder"]))
            case _:
                answer = orders.carry_out(tx, command, self.shift.step())
        desk.answered(tx, command.id, answer, self.shift.clock())
        self.shift.log.info("order carried out", verb=command.verb, by=command.who, **answer)

    def _disobey(self, command: Command, tx: Transaction, error: Exception) -> None:
        """Answer an order that cannot be carried out: left open it would be tried, and fail, at each round."""
        self.shift.bug(error)
        desk.answered(tx, command.id, {"error": repr(error)}, self.shift.clock())

    def _judge(self, tx: Transaction, path: bytes) -> dict[str, Any]:
        try:
            number, relative = self._watchlist.take(tx, path)
        except LaterError as error:
            return {"error": str(error)}
        return {"folder": self._intakes[number].folder.name, "path": os.fsdecode(relative)}

    def _reach(self, name: str) -> dict[str, Any]:
        """Accept what is mounted at a folder's root now, and scan it."""
        for one in self._shares.folders:
            if one.folder.name == name:
                one.patrol.accept_filesystem()
                return {"folder": name}
        return {"error": f"there is no folder {name}"}


def _gather(gather: Gather, found: Sequence[tuple[Any, Any]], tx: Transaction) -> None:
    gather(tx, found)


def _fail(failed: Failed, error: Exception, tx: Transaction) -> None:
    failed(tx, error)
