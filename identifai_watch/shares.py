"""The folders that several hosts share, as this one sees them: which it has, and which it waits for.

One host at a time has a share: it alone scans it, sends from it and delivers into it. The others look now and then at
its root, so that whoever takes over is one that sees it, and take over when it is given up, when nobody renews it any
more, or when the host that had it is not alive. Opening and closing the folder is the daemon's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from identifai_watch.config import Folder
from identifai_watch.core.health import Health
from identifai_watch.errors import LaterError
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction, intake, shares
from identifai_watch.patrol import LAST_RETRY, Findings, Patrol
from identifai_watch.places import rules_of
from identifai_watch.shift import Shift

RENEW_EVERY = timedelta(seconds=5)
LOOK_EVERY = timedelta(seconds=3)
"""How often it is asked whether the host that has a share is alive, and whether another could have ours."""

FRESH = timedelta(seconds=2)
"""So lately the root of a share was seen by whoever takes it."""

FIRST_PAUSE = timedelta(seconds=10)
"""How long a share that was handed on is left to others; twice as long each time that it comes back soon."""


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A share that this host does not have; ``patrol`` looks at its root.

    ``is_alive`` is whether the host that has it was, when that was asked at ``asked_at``.
    """

    folder: Folder
    patrol: Patrol
    asked_at: datetime
    is_alive: bool = True


class Shares:
    """The shares of one shift; ``intakes`` are its open folders, those that it has among them."""

    def __init__(self, shift: Shift, intakes: Mapping[int, Intake]) -> None:
        self._shift = shift
        self._intakes = intakes
        self._waiting: dict[int, Waiting] = {}
        self._until: dict[int, datetime] = {}
        self._renewed_at = self._asked_at = shift.clock()
        self._handed_on: dict[int, tuple[datetime, timedelta]] = {}

    # What others ask.

    @property
    def folders(self) -> list[Intake | Waiting]:
        """All folders: those that are open, and the shares that this host does not have."""
        return [*self._intakes.values(), *self._waiting.values()]

    @property
    def waiting(self) -> list[Waiting]:
        """The shares that this host does not have."""
        return list(self._waiting.values())

    def next_due(self) -> datetime | None:
        """Return when a root is to be looked at, somebody to be asked for, or a share of ours to be renewed."""
        dues = [one.patrol.next_due() for one in self._waiting.values()]
        dues += [one.asked_at + LOOK_EVERY for one in self._waiting.values() if one.patrol.watched_by]
        if self._until:
            dues.append(self._renewed_at + RENEW_EVERY)
        return min((due for due in dues if due is not None), default=None)

    @property
    def is_undecided(self) -> bool:
        """Whether it is not known yet of a share if this host may have it."""
        patrols = [one.patrol for one in self._waiting.values()]
        return any(one.health is not Health.UNAVAILABLE and one.watched_by is None for one in patrols)

    # Having.

    def keep(self, tx: Transaction) -> list[int]:
        """Hold the shares that this host has until the transaction ends; return those that it has lost.

        What is lost is to be closed before anything else is done: of what its threads bring nothing is to be written.
        """
        if not self._until:
            return []
        shift, now = self._shift, self._shift.clock()
        held = shares.hold(tx, shift.claimant, self._until)
        lost = [number for number in self._until if number not in held]
        self._let_go(lost)
        self._until.update(held)
        if held and now - self._renewed_at >= RENEW_EVERY:
            self._renewed_at = now
            self._until.update(dict.fromkeys(held, shares.renew(tx, shift.claimant, held, now)))
        return lost

    def confirm(self) -> None:
        """Let threads go by how long this host has its shares, once that is committed."""
        for number, until in self._until.items():
            if number in self._intakes:
                self._intakes[number].patrol.until = until

    def hand_on(self, tx: Transaction) -> list[int]:
        """Give the shares up that this host cannot reach and another waits for; return them, to be closed."""
        shift, now = self._shift, self._shift.clock()
        if not self._until or shift.once or now - self._asked_at < LOOK_EVERY:
            return []
        self._asked_at = now
        given: list[int] = []
        for number in self._until:
            one = self._intakes.get(number)
            is_out = one is not None and one.patrol.health is Health.UNAVAILABLE
            if one is not None and is_out and shares.is_wanted(tx, shift.claimant, one.folder.name):
                given.append(number)
        for number in given:
            self.give_up(tx, number)
            at, pause = self._handed_on.get(number, (now - 2 * LAST_RETRY, FIRST_PAUSE))
            is_again = now - at <= pause + LAST_RETRY
            self._handed_on[number] = (now, min(LAST_RETRY, 2 * pause) if is_again else FIRST_PAUSE)
        return given

    def give_up(self, tx: Transaction, *numbers: int) -> None:
        """Let others have shares; all that this host has if none is named."""
        given = [number for number in numbers or self._until if number in self._until]
        if given:
            shares.give_up(tx, self._shift.claimant, given)
            self._let_go(given)

    # Waiting.

    def want(self, tx: Transaction, folder: Folder, *, aside: str | None = None) -> None:
        """Begin to wait for a share; one that was handed on is left ``aside``, for that reason, for a while."""
        shift, number = self._shift, self._number(tx, folder)
        patrol = Patrol(shift, folder, rules_of(folder), _NOTHING, scans=False)
        patrol.open(number)
        if aside is not None:
            at, pause = self._handed_on[number]
            patrol.set_aside(aside, at + pause)
        self._waiting[number] = Waiting(folder=folder, patrol=patrol, asked_at=shift.clock() - LOOK_EVERY)

    def tick(self, tx: Transaction) -> list[Folder]:
        """Look at roots and at who has what; return the folders that this host has from now on, to be opened."""
        if not self._waiting:
            return []
        now = self._shift.clock()
        had = shares.had(tx, self._waiting)
        taken: list[Folder] = []
        for number, one in list(self._waiting.items()):
            one.patrol.watched_by = self._holder(tx, one, had[number], now)
            is_free = one.patrol.watched_by is None
            if is_free and self._is_seen(one.patrol, now) and self._claim(tx, number, now):
                self._shift.log.info("share taken", folder=one.folder.name)
                self._forget(number)
                taken.append(one.folder)
            else:
                one.patrol.tick(has_room=True)
        return taken

    def take(self, tx: Transaction, folder: Folder) -> None:
        """Take a share at once, whether or not its root was seen: an operator names a file in it.

        Raises:
            LaterError: Another host has it, or this one waits for it.
        """
        number = self._number(tx, folder)
        if number in self._waiting or not self._claim(tx, number, self._shift.clock()):
            node = shares.had(tx, [number])[number].node
            whose = "no node yet" if node is None else f"node {node}"
            raise LaterError(f"the share {folder.name} is watched by {whose}: have the file judged there")

    def reload(self, fresh: Mapping[str, Folder]) -> None:
        """Wait no longer for shares that are configured otherwise by now, or not at all."""
        for number, one in list(self._waiting.items()):
            if fresh.get(one.folder.name) != one.folder:
                self._forget(number)

    def close(self) -> None:
        """Wait for none any more, and know of none that this host has: what it has stands in the ledger."""
        for number in list(self._waiting):
            self._forget(number)
        self._until.clear()

    def _number(self, tx: Transaction, folder: Folder) -> int:
        return intake.folder(tx, folder.node_of(self._shift.ledger.node), folder.name).id

    def _holder(self, tx: Transaction, one: Waiting, had: shares.Had, now: datetime) -> str | None:
        """Return which other host has a share; None if none has that is alive."""
        if not had.is_by_other(self._shift.ledger.node, now):
            return None
        if now - one.asked_at >= LOOK_EVERY:
            one.asked_at = now
            one.is_alive = shares.is_alive(tx, had.node)
        return had.node if one.is_alive else None

    def _is_seen(self, patrol: Patrol, now: datetime) -> bool:
        """Tell whether the root of a share was just seen; if not, have it looked at."""
        if patrol.health is Health.UNAVAILABLE:
            return False
        if patrol.looked_at is not None and now - patrol.looked_at <= FRESH:
            return True
        if patrol.next_due() is not None:
            patrol.rescan()
        return False

    def _claim(self, tx: Transaction, number: int, now: datetime) -> bool:
        until = shares.claim(tx, self._shift.claimant, number, now)
        if until is None:
            return False
        self._until[number] = until
        return True

    def _forget(self, number: int) -> None:
        self._waiting.pop(number).patrol.close()

    def _let_go(self, numbers: list[int]) -> None:
        """Have the threads of folders write nothing more."""
        for number in numbers:
            del self._until[number]
            if number in self._intakes:
                self._intakes[number].patrol.until = self._shift.clock()


def _unheard(*_: object) -> None:
    """Hear nothing: of a root alone there is nothing to tell."""


_NOTHING = Findings(heard=_unheard, found=_unheard, ended=_unheard, moved=_unheard)
