"""Deliveries: outcome and place are committed first, then the folder's own thread puts the verdict there."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from identifai_watch import duties
from identifai_watch.config import Orphans
from identifai_watch.core.events import Announced, Delivered, Destined, Swept, Undelivered
from identifai_watch.core.health import Health
from identifai_watch.core.model import File, Interim, Outcome
from identifai_watch.core.routing import Action, destination
from identifai_watch.delivery import Delivery, DeliveryError, Order, SourceChanged, SourceGone, Taken
from identifai_watch.dispatch import missing
from identifai_watch.dispatch.notices import Notices
from identifai_watch.duties import Carried, Chosen, Place
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction, claims, work
from identifai_watch.ledger.work import Delivery as Due
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

AT_ONCE = 20

SWEEP_AGAIN = timedelta(hours=1)
"""When a sidecar is put aside again that could not be."""

Result = TypeVar("Result")


class Deliveries:
    """The deliveries of one shift; each folder's are made one after another by a thread of its own.

    While one of a file is under way there is no second one: a claim that the file lost meanwhile, for something
    happened to it, could else be taken for the new one's.
    """

    def __init__(self, shift: Shift, intakes: Mapping[int, Intake]) -> None:
        self._shift = shift
        self._intakes = intakes
        self._notices = Notices(shift)
        self._under_way: defaultdict[int, set[int]] = defaultdict(set)
        self._news: set[int] = set()

    @property
    def in_flight(self) -> int:
        """How many deliveries are under way in the folders that can be reached; one that hangs is not waited for."""
        return sum(
            len(self._under_way[folder_id])
            for folder_id, intake in self._intakes.items()
            if intake.patrol.health is not Health.UNAVAILABLE
        )

    def tick(self, tx: Transaction) -> None:
        """Claim what can be delivered, folder by folder."""
        now = self._shift.clock()
        for folder_id, intake in self._intakes.items():
            under_way = self._under_way[folder_id]
            room = AT_ONCE - len(under_way)
            if intake.patrol.health is not Health.UNAVAILABLE and room > 0:
                for due in claims.claim_deliveries(
                    tx, self._shift.claimant, now, folder_id, room, but=under_way
                ):
                    self._route(tx, intake, due)
                self._sweep(tx, intake)

    def _route(self, tx: Transaction, intake: Intake, due: Due) -> None:
        """Settle the outcome of one file and where it goes; a place that was committed before stays."""
        file = due.file
        if file.destination is not None and file.outcome is not None:
            self._carry(intake, due)
            return
        outcome, reason = duties.outcome_of(due, intake.folder)
        if outcome is not file.outcome or file.delivered_at is None:
            self._news.add(file.id)
        if outcome is Outcome.PENDING:
            self._announce(tx, intake, replace(due, file=replace(file, outcome=outcome, reason=reason)))
            return
        wanted = _wanted(file, outcome, intake)
        if wanted is None:
            self._destine(intake, due, tx, Destined(outcome, reason, None))
            return
        order = self._order(intake, replace(due, file=replace(file, outcome=outcome, reason=reason)))
        then = partial(self._chosen, intake, due, outcome, reason)
        self._plan(intake, file, partial(duties.choose, order, wanted), then)

    def _announce(self, tx: Transaction, intake: Intake, due: Due) -> None:
        """Have a file's sidecar say that its verdict is pending; ``record`` keeps that to the ledger."""
        if intake.folder.action is Action.RECORD:
            self._advance(tx, due.file, Announced())
            return
        then = partial(self._announced, intake, due.file)
        self._plan(intake, due.file, partial(duties.announce, self._order(intake, due)), then)

    def _announced(self, intake: Intake, file: File, tx: Transaction, carried: Carried) -> None:
        """Write that it was said; where nothing lies there is nobody to tell, and the scan sees it."""
        self._under_way[intake.folder_id].discard(file.id)
        if isinstance(carried, DeliveryError):
            self._undelivered(tx, intake, file, carried)
            return
        if self._advance(tx, file, Announced()) is not None:
            self._shift.log.info("verdict pending", folder=file.folder, path=file.path)
        if isinstance(carried, SourceGone):
            missing.not_found(tx, intake, file, self._shift.step(tx))

    def _sweep(self, tx: Transaction, intake: Intake) -> None:
        """Have the sidecars put aside that nothing lies beside any more."""
        if intake.folder.orphans is Orphans.KEEP or intake.folder.action is Action.RECORD:
            return
        under_way, now = self._under_way[intake.folder_id], self._shift.clock()
        room = AT_ONCE - len(under_way)
        for due in claims.claim_orphans(tx, self._shift.claimant, now, intake.folder_id, room, but=under_way):
            order, file = self._order(intake, due), due.file
            self._plan(intake, file, partial(duties.put_aside, order), partial(self._swept, intake, file))

    def _swept(self, intake: Intake, file: File, tx: Transaction, trouble: DeliveryError | None) -> None:
        self._under_way[intake.folder_id].discard(file.id)
        if trouble is None:
            self._advance(tx, file, Swept())
            return
        self._shift.log.warning("not put aside", folder=file.folder, path=file.path, reason=trouble.reason)
        claims.postpone_orphan(tx, file.id, self._shift.clock() + SWEEP_AGAIN)
        if trouble.folder_trouble:
            intake.patrol.out_of_reach(trouble.reason)

    def _advance(self, tx: Transaction, file: File, event: Announced | Swept) -> File | None:
        return work.advance_file(tx, file.id, event, self._shift.step(tx), self._shift.claimant)

    def _chosen(
        self, intake: Intake, due: Due, outcome: Outcome, reason: str | None, tx: Transaction, chosen: Chosen
    ) -> None:
        self._under_way[intake.folder_id].discard(due.file.id)
        if chosen.trouble is not None:
            self._undelivered(tx, intake, due.file, chosen.trouble)
        else:
            self._destine(intake, due, tx, Destined(outcome, reason, chosen.destination))

    def _destine(self, intake: Intake, due: Due, tx: Transaction, destined: Destined) -> None:
        """Commit outcome and place; what only the ledger keeps is delivered by that."""
        shift = self._shift
        file = work.advance_file(tx, due.file.id, destined, shift.step(tx), shift.claimant, keep_claim=True)
        if file is None:
            return
        carried = replace(due, file=file)
        if intake.folder.action is Action.RECORD:
            self._delivered(tx, intake, self._order(intake, carried), file, Delivered(file.lies_at, None))
        else:
            self._carry(intake, carried)

    def _carry(self, intake: Intake, due: Due) -> None:
        order = self._order(intake, due)
        then = partial(self._carried, intake, order, due.file)
        self._plan(intake, due.file, partial(duties.carry, order), then)

    def _carried(self, intake: Intake, order: Order, file: File, tx: Transaction, carried: Carried) -> None:
        """Write what came of a delivery."""
        self._under_way[intake.folder_id].discard(file.id)
        match carried:
            case Delivery():
                done = Delivered(carried.lies_at, carried.fingerprint, copied_to=carried.copied_to)
                self._delivered(tx, intake, order, file, done, sidecar=carried.sidecar)
            case DeliveryError():
                self._undelivered(tx, intake, file, carried)
            case Taken():
                self._unsettle(tx, file, "its place was taken meanwhile")
            case SourceChanged():
                self._unsettle(tx, file, "it changed before its verdict was delivered")
                missing.changed(tx, intake, file, self._shift.step(tx))
            case SourceGone():
                self._unsettle(tx, file, "it is gone")
                missing.not_found(tx, intake, file, self._shift.step(tx))

    def _delivered(
        self,
        tx: Transaction,
        intake: Intake,
        order: Order,
        file: File,
        event: Delivered,
        *,
        sidecar: bytes | None = None,
    ) -> None:
        """Write that a file is delivered, and tell of it if its outcome is news."""
        shift = self._shift
        after = work.advance_file(tx, file.id, event, shift.step(tx), shift.claimant)
        if after is not None:
            where = {} if after.lies_at is None else {"lies_at": after.lies_at}
            shift.log.info("delivered", folder=file.folder, path=file.path, outcome=after.outcome, **where)
            if file.id in self._news:
                self._news.discard(file.id)
                self._notices.tell(after, order.root, sidecar, order.document or b"")
            work.reroute(tx, after, partial(duties.outcome_of, folder=intake.folder), shift.step(tx))

    def _undelivered(self, tx: Transaction, intake: Intake, file: File, error: DeliveryError) -> None:
        self._postpone(tx, file, error.reason)
        if error.folder_trouble:
            intake.patrol.out_of_reach(error.reason)

    def _unsettle(self, tx: Transaction, file: File, reason: str) -> None:
        """Take the committed place back, so that the next attempt chooses anew."""
        shift = self._shift
        if file.outcome is not None:
            again = Destined(file.outcome, file.reason, None)
            work.advance_file(tx, file.id, again, shift.step(tx), shift.claimant, keep_claim=True)
        self._postpone(tx, file, reason)

    def _postpone(self, tx: Transaction, file: File, reason: str) -> None:
        shift = self._shift
        shift.log.warning("not delivered", folder=file.folder, path=file.path, reason=reason)
        work.advance_file(tx, file.id, Undelivered(reason), shift.step(tx), shift.claimant)

    def _order(self, intake: Intake, due: Due) -> Order:
        place = Place(folder=intake.folder, path=due.file.path, network=intake.patrol.network)
        return duties.order_of(due, place, now=self._shift.clock())

    def _plan(
        self,
        intake: Intake,
        file: File,
        do: Callable[[], Result],
        then: Callable[[Transaction, Result], None],
    ) -> None:
        self._under_way[intake.folder_id].add(file.id)
        self._shift.workers.plan(
            Job(
                lane=f"{intake.folder.name}/deliver",
                label=f"{intake.folder.name}/deliver/{file.id}",
                work=do,
                then=then,
                failed=partial(self._failed, intake, file),
            )
        )

    def _failed(self, intake: Intake, file: File, tx: Transaction, error: Exception) -> None:
        self._under_way[intake.folder_id].discard(file.id)
        self._shift.bug(error)
        self._postpone(tx, file, f"a bug: {error!r}")


def _wanted(file: File, outcome: Outcome, intake: Intake) -> bytes | None:
    """Return where a file is to go; one that was let go unchecked stays where it lies, but for the desk's decision."""
    wanted = destination(file.path, outcome, intake.folder.routing_rules())
    was_let_go = file.interim is Interim.LATE and file.delivered_at is not None and file.decision is None
    if wanted is None or not was_let_go:
        return wanted
    return file.copied_to if intake.folder.action is Action.COPY else file.lies_at
