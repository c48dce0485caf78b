"""The folders of one shift: opened and closed, shared or this host's own, and those that a reload replaces."""

from identifai_watch.config import Config, Folder
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction
from identifai_watch.places import AD_HOC, place_of
from identifai_watch.shares import Shares
from identifai_watch.shift import Shift

JUDGE_PRIORITY = 10_000
"""Of a file that an operator named: above every folder's."""


class Watchlist:
    """Opens and closes ``intakes``, by their folders' numbers; ``shares`` tells which shares this host has."""

    def __init__(self, shift: Shift, intakes: dict[int, Intake], shares: Shares) -> None:
        self._shift = shift
        self._intakes = intakes
        self._shares = shares

    def begin(self, tx: Transaction, folder: Folder) -> None:
        """Watch a folder, or wait until this host has it where several share it."""
        if folder.shared:
            self._shares.want(tx, folder)
        else:
            self.watch(tx, folder)

    def watch(self, tx: Transaction, folder: Folder, *, scans: bool = True) -> Intake:
        """Open a folder; one that is not scanned is for single files."""
        opened = Intake(self._shift, folder, scans=scans)
        opened.open(tx)
        self._intakes[opened.folder_id] = opened
        return opened

    def take(self, tx: Transaction, path: bytes) -> tuple[int, bytes]:
        """Take the file at an absolute path first in line; return its folder's number and its path there.

        Raises:
            LaterError: It lies in a share that another host has.
        """
        folder, relative = place_of(self._shift.config.folders, path)
        found = next((one for one in self._intakes.values() if one.folder.name == folder.name), None)
        if found is None and folder.shared:
            self._shares.take(tx, folder)
        one = found or self.watch(tx, folder, scans=False)
        one.offer(tx, relative, JUDGE_PRIORITY)
        return one.folder_id, relative

    def close_lost(self, tx: Transaction) -> None:
        """Close the shares that another host has by now, before anything is written of them; keep the others."""
        for number in self._shares.keep(tx):
            one = self._intakes.pop(number)
            one.close()
            self._shift.log.warning("share lost", folder=one.folder.name)
            self._shares.want(tx, one.folder)

    def take_shares(self, tx: Transaction) -> None:
        """Hand on the shares that cannot be reached from here, and watch those that this host comes to have."""
        for number in self._shares.hand_on(tx):
            one = self._intakes.pop(number)
            one.close()
            self._shift.log.warning("share handed on", folder=one.folder.name, reason=one.patrol.reason)
            self._shares.want(tx, one.folder, aside=one.patrol.reason)
        for folder in self._shares.tick(tx):
            self.watch(tx, folder)

    def replace(self, tx: Transaction, fresh: Config) -> None:
        """Close the folders that changed or are gone, and open those that are new; the rest goes on untouched."""
        same_limits = fresh.limits == self._shift.config.limits
        self._shift.config = fresh
        for key, one in list(self._intakes.items()):
            kept = fresh.folder_named(one.folder.name)
            if one.folder.name != AD_HOC and (kept != one.folder or not same_limits):
                one.close()
                self._shares.give_up(tx, key)
                del self._intakes[key]
        self._shares.reload({folder.name: folder for folder in fresh.folders})
        running = {one.folder.name for one in self._shares.folders}
        for folder in fresh.folders:
            if folder.name not in running:
                self.begin(tx, folder)
