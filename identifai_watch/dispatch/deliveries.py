"""Deliveries: outcome and place are committed first, then the folder's own thread puts the verdict there."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

from identifai_watch import carrying
from identifai_watch.candidates import Batch
from identifai_watch.carrying import Carried, Chosen
from identifai_watch.config import Orphans
from identifai_watch.core.events import Announced, Delivered, Destined, Swept, Undelivered
from identifai_watch.core.health import Health
from identifai_watch.core.model import File, Interim, Outcome
from identifai_watch.core.routing import Action, destination
from identifai_watch.core.tally import Counted, Took
from identifai_watch.delivery import Delivery, DeliveryError, Order, SourceChanged, SourceGone, Taken
from identifai_watch.dispatch import missing
from identifai_watch.dispatch.notices import Notices
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction, claims, history, work
from identifai_watch.ledger.reading import Delivery as Due
from identifai_watch.places import Place
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

AT_ONCE = 20

SWEEP_AGAIN = timedelta(hours=1)
"""When a sidecar is put aside again that could not be."""

Result = TypeVar("Result")
Routed = tuple[Due, Destined]
"""A file and where it is to go."""

Orders = Batch[tuple[Order, File], Carried | Exception]


class Done(NamedTuple):
    """An order that was carried out: what it was about, what is to be written of it, and the sidecar that was written.

    ``left_alone`` says which XMP file was not extended, and why.
    """

    order: Order
    file: File
    event: Delivered
    sidecar: bytes | None = None
    left_alone: str | None = None


class Deliveries:
    """The deliveries of one shift; each folder's are made one after another by a thread of its own.

    While one of a file is under way there is no second one: a claim that the file lost meanwhile, for something
    happened to it, could else be taken for the new one's.
    """

    def __init__(self, shift: Shift, intakes: Mapping[int, Intake], notices: Notices) -> None:
        self._shift = shift
        self._intakes = intakes
        self._notices = notices
        self._under_way: defaultdict[int, set[int]] = defaultdict(set)

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
                dues = claims.claim_deliveries(tx, self._shift.claimant, now, folder_id, room, but=under_way)
                self._shift.together(
                    tx, dues, partial(self._route, intake), partial(self._unroutable, intake)
                )
                self._sweep(tx, intake)

    def _route(self, intake: Intake, tx: Transaction, dues: Sequence[Due]) -> None:
        """Settle the outcomes of files and where they go; a place that was committed before stays."""
        carried: list[Due] = []
        destined: list[Routed] = []
        for due in dues:
            file = due.file
            if file.destination is not None and file.outcome is not None:
                carried.append(due)
                continue
            outcome, reason = carrying.outcome_of(due, intake.folder)
            told = replace(due, file=replace(file, outcome=outcome, reason=reason))
            wanted = None if outcome is Outcome.PENDING else _wanted(file, outcome, intake)
            if outcome is Outcome.PENDING:
                self._announce(tx, intake, told)
            elif wanted is None:
                destined.append((due, Destined(outcome, reason, None)))
            else:
                then = partial(self._chosen, intake, due, outcome, reason)
                self._plan(intake, file, partial(carrying.choose, self._order(intake, told), wanted), then)
        self._destine(intake, tx, destined)
        self._carry(intake, carried)

    def _unroutable(self, intake: Intake, tx: Transaction, due: Due, error: Exception) -> None:
        self._under_way[intake.folder_id].discard(due.file.id)
        self._postpone(tx, due.file, f"a bug: {error!r}")

    def _announce(self, tx: Transaction, intake: Intake, due: Due) -> None:
        """Have a file's sidecar say that its verdict is pending; ``record`` keeps that to the ledger."""
        if intake.folder.action is Action.RECORD:
            self._advance(tx, due.file, Announced())
            return
        then = partial(self._announced, intake, due.file)
        do = partial(carrying.announce, self._order(intake, due))
        self._plan(intake, due.file, partial(_if_ours, intake, do), then)

    def _announced(self, intake: Intake, file: File, tx: Transaction, carried: Carried) -> None:
        """Write that it was said; where nothing lies there is nobody to tell, and the scan sees it."""
        self._under_way[intake.folder_id].discard(file.id)
        if isinstance(carried, DeliveryError):
            self._undelivered(tx, intake, file, carried)
            return
        if self._advance(tx, file, Announced()) is not None:
            self._shift.log.info("verdict pending", folder=file.folder, path=file.path)
        if isinstance(carried, SourceGone):
            missing.not_found(tx, intake, file, self._shift.step())

    def _sweep(self, tx: Transaction, intake: Intake) -> None:
        """Have the sidecars put aside that nothing lies beside any more."""
        if intake.folder.orphans is Orphans.KEEP or intake.folder.action is Action.RECORD:
            return
        under_way, now = self._under_way[intake.folder_id], self._shift.clock()
        room = AT_ONCE - len(under_way)
        for due in claims.claim_orphans(tx, self._shift.claimant, now, intake.folder_id, room, but=under_way):
            do, file = partial(carrying.put_aside, self._order(intake, due)), due.file
            self._plan(intake, file, partial(_if_ours, intake, do), partial(self._swept, intake, file))

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
        return work.advance_file(tx, file.id, event, self._shift.step(), self._shift.claimant)

    def _chosen(
        self, intake: Intake, due: Due, outcome: Outcome, reason: str | None, tx: Transaction, chosen: Chosen
    ) -> None:
        self._under_way[intake.folder_id].discard(due.file.id)
        if chosen.trouble is not None:
            self._undelivered(tx, intake, due.file, chosen.trouble)
        else:
            self._destine(intake, tx, [(due, Destined(outcome, reason, chosen.destination))])

    def _destine(self, intake: Intake, tx: Transaction, routed: Sequence[Routed]) -> None:
        """Commit outcomes and places; what only the ledger keeps is delivered by that."""
        shift = self._shift
        events = {due.file.id: destined for due, destined in routed}
        after = work.advance_files(tx, events, shift.step(), shift.claimant, keep_claim=True)
        dues = [replace(due, file=after[due.file.id]) for due, _ in routed if due.file.id in after]
        if intake.folder.action is not Action.RECORD:
            self._carry(intake, dues)
            return
        done = [Done(self._order(intake, due), due.file, Delivered(due.file.lies_at, None)) for due in dues]
        self._delivered(intake, tx, done)

    def _carry(self, intake: Intake, dues: Sequence[Due]) -> None:
        """Have orders carried out by the folder's thread, one after another; what came of them comes back together."""
        if not dues:
            return
        items = [(self._order(intake, due), due.file) for due in dues]
        batch: Orders = Batch(items=items)
        label = f"{intake.folder.name}/deliver/{items[0][1].id}"
        carry = partial(self._carry_in_thread, intake, label)
        self._under_way[intake.folder_id].update(file.id for _, file in items)
        self._shift.workers.plan(
            Job(
                lane=f"{intake.folder.name}/deliver",
                label=label,
                work=partial(batch.run, carry),
                then=partial(self._carried, intake),
                failed=partial(self._none_carried, intake, batch),
            )
        )

    def _carry_in_thread(self, intake: Intake, label: str, item: tuple[Order, File]) -> Carried | Exception:
        self._shift.workers.moved(label)
        if not intake.patrol.is_ours():
            return _lost(intake)
        try:
            return carrying.carry(item[0])
        except Exception as error:  # noqa: BLE001 - a bug with one must not keep from us what came of the others
            return error

    def _carried(self, intake: Intake, tx: Transaction, batch: Orders) -> None:
        """Write what came of deliveries."""
        done: list[Done] = []
        for (order, file), carried in zip(batch.items, batch.found, strict=True):
            self._under_way[intake.folder_id].discard(file.id)
            if isinstance(carried, Delivery):
                event = Delivered(carried.lies_at, carried.fingerprint, copied_to=carried.copied_to)
                done.append(Done(order, file, event, carried.sidecar, carried.left_alone))
            else:
                self._not_carried(intake, tx, file, carried)
        self._shift.together(tx, done, partial(self._delivered, intake), self._unwritten)

    def _none_carried(self, intake: Intake, batch: Orders, tx: Transaction, error: Exception) -> None:
        for _, file in batch.items:
            self._failed(intake, file, tx, error)

    def _not_carried(
        self,
        intake: Intake,
        tx: Transaction,
        file: File,
        carried: DeliveryError | Taken | SourceChanged | SourceGone | Exception,
    ) -> None:
        """Write what kept a file from being delivered."""
        match carried:
            case DeliveryError():
                self._undelivered(tx, intake, file, carried)
            case Taken():
                self._unsettle(tx, file, "its place was taken meanwhile")
            case SourceChanged():
                self._unsettle(tx, file, "it changed before its verdict was delivered")
                missing.changed(tx, intake, file, self._shift.step())
            case SourceGone():
                self._unsettle(tx, file, "it is gone")
                missing.not_found(tx, intake, file, self._shift.step())
            case _:
                self._failed(intake, file, tx, carried)

    def _delivered(self, intake: Intake, tx: Transaction, done: Sequence[Done]) -> None:
        """Write that files are delivered, and tell of those whose outcome is news."""
        shift = self._shift
        step = shift.step()
        events = {one.file.id: one.event for one in done}
        after = work.advance_files(tx, events, step, shift.claimant)
        news: list[tuple[File, bytes | None, bytes]] = []
        for one in done:
            file = after.get(one.file.id)
            if file is None:
                continue
            where = {} if file.lies_at is None else {"lies_at": file.lies_at}
            shift.log.info("delivered", folder=file.folder, path=file.path, outcome=file.outcome, **where)
            if one.left_alone is not None:
                shift.log.warning("xmp left alone", folder=file.folder, path=file.path, reason=one.left_alone)
                history.record(tx, step, "left_alone", file=file, reason=one.left_alone)
            if one.file.delivered_at is None:
                self._time(one.file, step.now)
            if file.outcome is not one.file.delivered_as:
                shift.tally.count(Counted.DELIVERED, file.media or "none", file.outcome or "none")
                news.append((file, one.sidecar, one.order.document or b"{}"))
        self._notices.deliver(tx, intake.folder, news)
        work.reroute(tx, list(after.values()), partial(carrying.outcome_of, folder=intake.folder), step)

    def _time(self, file: File, now: datetime) -> None:
        """Take in how long a file's first delivery took; what was there before the daemon waits for the budget."""
        kind, tally = file.media or "none", self._shift.tally
        if not file.backlog:
            tally.took(Took.NOTICED_TO_DELIVERED, kind, now - file.noticed_at)
        known_at = file.failing_since or file.due
        if known_at is not None:
            tally.took(Took.JUDGED_TO_DELIVERED, kind, now - known_at)

    def _unwritten(self, tx: Transaction, done: Done, error: Exception) -> None:
        self._postpone(tx, done.file, f"a bug: {error!r}")

    def _undelivered(self, tx: Transaction, intake: Intake, file: File, error: DeliveryError) -> None:
        self._postpone(tx, file, error.reason)
        if error.folder_trouble:
            intake.patrol.out_of_reach(error.reason)

    def _unsettle(self, tx: Transaction, file: File, reason: str) -> None:
        """Take the committed place back, so that the next attempt chooses anew."""
        shift = self._shift
        if file.outcome is not None:
            again = Destined(file.outcome, file.reason, None)
            work.advance_file(tx, file.id, again, shift.step(), shift.claimant, keep_claim=True)
        self._postpone(tx, file, reason)

    def _postpone(self, tx: Transaction, file: File, reason: str) -> None:
        shift = self._shift
        shift.log.warning("not delivered", folder=file.folder, path=file.path, reason=reason)
        work.advance_file(tx, file.id, Undelivered(reason), shift.step(), shift.claimant)

    def _order(self, intake: Intake, due: Due) -> Order:
        place = Place(folder=intake.folder, path=due.file.path, network=intake.patrol.network)
        return carrying.order_of(due, place, now=self._shift.clock())

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


def _if_ours(intake: Intake, do: Callable[[], Result]) -> Result | DeliveryError:
    """Do what writes into a folder, unless another host has it by now."""
    return do() if intake.patrol.is_ours() else _lost(intake)


def _lost(intake: Intake) -> DeliveryError:
    return DeliveryError(
        f"another host may have the share {intake.folder.shared} by now", folder_trouble=False
    )


def _wanted(file: File, outcome: Outcome, intake: Intake) -> bytes | None:
    """Return where a file is to go; one that was let go unchecked stays where it lies, but for the desk's decision."""
    wanted = destination(file.path, outcome, intake.folder.routing_rules())
    was_let_go = file.interim is Interim.LATE and file.delivered_at is not None and file.decision is None
    if wanted is None or not was_let_go:
        return wanted
    return file.copied_to if intake.folder.action is Action.COPY else file.lies_at
