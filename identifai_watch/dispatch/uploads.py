"""Uploads: which content goes next, when it may go, and what came of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from identifai_watch import duties
from identifai_watch.api import Api, Cancelled
from identifai_watch.brakes import Brake, allowed
from identifai_watch.candidates import BIG
from identifai_watch.core import gate
from identifai_watch.core.answers import Reading
from identifai_watch.core.events import (
    AccountEvent,
    AnalysisEvent,
    Deferred,
    Healthy,
    Overdue,
    Refused,
    Unsent,
    Uploaded,
)
from identifai_watch.core.health import Health
from identifai_watch.core.model import AccountState, Analysis, File
from identifai_watch.core.moment import Doing, Motion
from identifai_watch.core.tally import Took
from identifai_watch.dispatch import missing
from identifai_watch.dispatch.departures import HORIZON, Departures
from identifai_watch.dispatch.standing import Standing
from identifai_watch.duties import Sent, Signs
from identifai_watch.intake import Intake, reach
from identifai_watch.ledger import Transaction, budget, claims, holds, work
from identifai_watch.places import Place
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

AHEAD = 4
"""Where nothing limits the posts so many times the slots are begun: a thread that is done has the next one at hand."""

QUICK = timedelta(seconds=2)
"""So lately an answer must have come for uploads to be handed out ahead."""

LEAST_LINE = 0.5
"""Seconds that a line is taken to last at least."""

OLDEST_EVERY = 4
"""One upload in so many takes the content that has waited longest, so that nothing starves."""


@dataclass(slots=True, kw_only=True)
class Flight:
    """One upload under way, of a file of ``intake``; ``is_closing`` once its closing boundary may have been written.

    ``round`` is the number of that in which it was begun, ``sent`` how many bytes have left; ``left_at`` is when its first
    block was read, right behind its head, and ``landed_at`` when it was answered.
    """

    analysis: Analysis
    file: File
    intake: Intake
    round: int
    is_closing: bool = False
    sent: int = 0
    left_at: datetime | None = None
    landed_at: datetime | None = None

    @property
    def label(self) -> str:
        """What its job is called."""
        return f"{self.file.folder}/upload/{self.analysis.id}"

    @property
    def is_in_line(self) -> bool:
        """Whether it has not left yet."""
        return self.left_at is None and self.landed_at is None

    def close(self) -> None:
        """Note that it is about to be completed; called in its thread."""
        self.is_closing = True

    def motion(self) -> Motion:
        """Return how far it is, for people."""
        return Motion(
            folder=self.file.folder,
            path=self.file.path,
            doing=Doing.UPLOADING,
            size=self.analysis.size,
            done=self.sent,
            analysis_id=self.analysis.id,
        )


class Uploads:
    """The uploads of one shift; what is in flight is a claim in the ledger.

    An upload of a folder that cannot be reached may hang on its disk for good: it takes nobody's slot, instant or
    money.
    """

    def __init__(
        self,
        shift: Shift,
        api: Api,
        departures: Departures,
        standing: Standing,
        intakes: Mapping[int, Intake],
    ) -> None:
        self._shift = shift
        self._api = api
        self._departures = departures
        self._standing = standing
        self._intakes = intakes
        self._flights: dict[int, Flight] = {}
        self._begun = 0
        self._round = 0
        self._held_back = 0
        self._bears_until: datetime | None = None
        self._why_back: AccountEvent | None = None
        self._brake = Brake(lambda: shift.config.api.upload_rate)
        self._turn, self._turned_at = 0.0, time.monotonic()

    @property
    def in_flight(self) -> int:
        """How many uploads of folders that can be reached are under way."""
        return len(self._near())

    @property
    def begun(self) -> int:
        """How many uploads were begun since the shift began."""
        return self._begun

    def motions(self) -> list[Motion]:
        """Return every upload under way, for people."""
        return [flight.motion() for flight in self._flights.values()]

    def log_departures(self, tx: Transaction) -> None:
        """Write down the requests that left while nothing limited them."""
        self._departures.write(tx)

    def bear_with_others(self) -> None:
        """Let claims that lapsed while nobody could renew them be renewed first: the ledger was away for all nodes."""
        self._bears_until = self._shift.clock() + claims.TTL

    def recover(self, tx: Transaction) -> None:
        """Take up what was being sent when a daemon died, and give up what has been awaited too long."""
        shift = self._shift
        step = shift.step()
        is_early = self._bears_until is not None and step.now < self._bears_until
        for row in () if is_early else claims.lapsed(tx, step.now):
            if row.id in self._flights:
                continue
            event = Deferred("the daemon ended while it was sent", counts=False)
            if work.advance(tx, row.id, event, step) is not None:
                shift.log.warning("upload in doubt", sha256=row.sha256.hex())
        for row in claims.overdue(tx, step.now):
            work.advance(tx, row.id, Overdue(), step)
            shift.log.warning("verdict overdue", sha256=row.sha256.hex(), identifier=row.identifier)

    def tick(self, tx: Transaction, *, in_flight: int) -> None:
        """Begin uploads as long as there is a slot, an instant soon, and money in the purse.

        ``in_flight`` are the other requests under way: while the network is in doubt, one at a time finds out.
        """
        self.log_departures(tx)
        turned_at = time.monotonic()
        self._turn, self._turned_at = turned_at - self._turned_at, turned_at
        paused = {pause.folder_id for pause in holds.pauses(tx)}
        reachable = [key for key, one in self._intakes.items() if _is_near(one) and key not in paused]
        room = self._room(tx, reachable, in_flight) if reachable else 0
        if room > 0:
            begun = self._begin(tx, reachable, room)
            if begun and budget.account(tx).state is AccountState.PAUSED:
                self._standing.take_probe(tx)
            self._send(tx, begun)

    def _room(self, tx: Transaction, reachable: list[int], in_flight: int) -> int:
        """Return how many uploads may begin now: slots, what the gate lets through, and instants within the horizon."""
        shift = self._shift
        account, now = budget.account(tx), shift.clock()
        if not gate.may_submit(account, now, self.in_flight + in_flight):
            return 0
        if (
            account.state is AccountState.PAUSED
        ):  # the upload is the probe: of all hosts one at a time sends it
            account = budget.locked_account(tx)
            if not gate.may_submit(account, now, self.in_flight + in_flight):
                return 0
        windows = shift.limits.windows("POST")
        # Where nothing keeps them waiting, and they get through, more are handed out: no thread waits for the loop then.
        # Each folder has threads of its own: of several, more than there are slots would go at once.
        is_free = not windows and not shift.limits.credits_floor and len(reachable) == 1
        is_quick = is_free and account.succeeded_at is not None and now - account.succeeded_at < QUICK
        slots = shift.config.api.uploads * (AHEAD if is_quick else 1) - self.in_flight
        if account.holds or account.state is AccountState.PAUSED:
            slots = min(slots, 1)
        waiting = self._departures.waiting(reachable)
        left = instants_left(tx, shift, "POST", waiting, slots)
        if shift.ledger.member:
            left = max(left, self._in_line() - sum(flight.is_in_line for flight in self._near()))
        return min(slots, left)

    def _in_line(self) -> int:
        """Return how many uploads are to be in line behind those of other hosts: as many as keep a place there.

        One, where the next is begun before the line is through; a host whose ledger is far takes longer for that.
        """
        return 1 + int(2 * self._turn / max(self._departures.line, LEAST_LINE))

    def _begin(self, tx: Transaction, reachable: list[int], room: int) -> list[tuple[Analysis, File]]:
        """Commit that the uploads begin whose turn it is, within the purse and the slots for large files."""
        shift = self._shift
        waiting = self._departures.waiting(reachable)
        now = shift.clock()
        purse = budget.purse(tx, shift.limits, now)
        if purse.left is not None:
            room = min(room, purse.left - waiting)
        of_backlog = None if purse.backlog_left is None else max(0, purse.backlog_left - waiting)
        large = sum(flight.analysis.size > BIG for flight in self._near())
        turns = [(self._begun + turn) % OLDEST_EVERY == OLDEST_EVERY - 1 for turn in range(room)]
        if not turns:
            return []
        wanted = claims.Room(
            turns=turns,
            backlog=of_backlog if shift.is_backlogs_hour() else 0,
            large=BIG,
            most_large=max(0, max(1, shift.config.api.uploads - 1) - large),
            least_priority=shift.least_priority,
        )
        found = reach({key: self._intakes[key] for key in reachable})
        return claims.begin_uploads(tx, shift.claimant, shift.step(), reach=found, room=wanted)

    def _send(self, tx: Transaction, begun: Sequence[tuple[Analysis, File]]) -> None:
        """Plan the uploads that begin: they start after the commit."""
        shift = self._shift
        self._round += 1
        # While nothing gets through, each attempt is like the last one.
        say = shift.log.debug if begun and budget.account(tx).holds else shift.log.info
        for sending, file in begun:
            intake = next(one for one in self._intakes.values() if one.folder.name == file.folder)
            flight = Flight(analysis=sending, file=file, intake=intake, round=self._round)
            self._begun += 1
            self._flights[sending.id] = flight
            self._departures.begun(intake.folder_id)
            say(
                "upload begins",
                folder=file.folder,
                path=file.path,
                sha256=sending.sha256.hex(),
                doubt=sending.doubt,
            )
            self._plan(flight)

    def _plan(self, flight: Flight) -> None:
        self._shift.workers.plan(
            Job(
                lane=f"{flight.file.folder}/upload",
                label=flight.label,
                work=partial(self._upload, flight),
                then=partial(self._sent, flight),
                failed=partial(self._failed, flight),
                threads=self._shift.config.api.uploads,
                about=flight,
                gather=self._all_sent,
            )
        )

    def _upload(self, flight: Flight) -> Sent:
        """Send, in a thread of the file's folder; not what was handed out ahead when the one before it was turned away."""
        shift, file, intake = self._shift, flight.file, flight.intake
        if flight.round <= self._held_back:
            self._departures.not_leaving(intake.folder_id)
            event = Unsent("identifAI turned away the one before it", counts=False)
            return Sent(reading=Reading(event=event, account=self._why_back), sent_name="", ref_id=None)
        with self._departures.upload(intake.folder_id, backlog=flight.analysis.backlog):
            try:
                self._departures.reserve()
            except Cancelled as end:
                return Sent(reading=Reading(event=Unsent(str(end) or "cancelled")), sent_name="", ref_id=None)
            sent = duties.upload(
                self._api,
                flight.analysis,
                Place(folder=intake.folder, path=file.lies_at or file.path, network=intake.patrol.network),
                file.fingerprint if missing.is_in_place(file) else None,
                send_names=shift.config.api.send_names,
                now=shift.clock,
                signs=Signs(
                    progress=partial(self._progress, flight),
                    allowed=partial(self._allowed, flight),
                    on_disk=partial(shift.workers.on_disk, flight.label),
                    closing=flight.close,
                ),
            )
        flight.landed_at = shift.clock()
        if not isinstance(sent.reading.account, Healthy | None):
            self._why_back = sent.reading.account
            self._held_back = self._round
        return sent

    def _progress(self, flight: Flight, sent: int) -> None:
        flight.sent += sent
        self._shift.workers.moved(flight.label)

    def _allowed(self, flight: Flight, most: int) -> int:
        """Wait until some of ``most`` bytes may be read and sent, and return how many; 0 to end it."""
        flight.left_at = flight.left_at or self._shift.clock()
        if not flight.intake.patrol.is_ours():
            return 0
        return allowed(
            most,
            (flight.intake.brake, self._brake),
            ended=flight.intake.patrol.is_closed,
            moved=partial(self._shift.workers.moved, flight.label),
        )

    def _sent(self, flight: Flight, tx: Transaction, sent: Sent) -> None:
        """Write what came of one upload."""
        self._all_sent(tx, [(flight, sent)])

    def _all_sent(self, tx: Transaction, landed: Sequence[tuple[Flight, Sent]]) -> None:
        """Write what came of uploads, for the rows, for the account and for the files."""
        shift = self._shift
        step = shift.step()
        events = {flight.analysis.id: _event_of(sent) for flight, sent in landed}
        self._standing.end_probe(tx)
        after = work.advance_all(tx, events, step, shift.claimant)
        if any(isinstance(event, Uploaded | Refused) for event in events.values()):
            self._standing.terms_hold(tx)
        said: AccountEvent | None = None
        for flight, sent in landed:
            analysis, file, intake = flight.analysis, flight.file, flight.intake
            self._flights.pop(analysis.id, None)
            if analysis.id not in after:
                shift.log.warning("claim lost", sha256=analysis.sha256.hex())
            # That it answers, several times over, is worth one line.
            if sent.reading.account != said or not isinstance(said, Healthy):
                said = sent.reading.account
                self._standing.advance(tx, said)
            event = events[analysis.id]
            self._say(file, event)
            if isinstance(event, Uploaded):
                self._time(flight)
            if sent.changed:
                missing.changed(tx, intake, file, step)
            if sent.missing:
                missing.not_found(tx, intake, file, step)
            if sent.unavailable is not None:
                intake.patrol.out_of_reach(sent.unavailable)

    def _time(self, flight: Flight) -> None:
        """Take in how long an upload that was taken took, and how long a new content had waited for it."""
        analysis, file, tally = flight.analysis, flight.file, self._shift.tally
        if flight.left_at is None or flight.landed_at is None:
            return
        tally.took(Took.UPLOAD, analysis.media, flight.landed_at - flight.left_at)
        is_first = analysis.edition == 0 and analysis.resubmissions == 0
        if is_first and not analysis.backlog and file.hashed_at is not None:
            tally.took(Took.HASHED_TO_POSTED, analysis.media, flight.left_at - file.hashed_at)

    def _say(self, file: File, event: object) -> None:
        """Log what came of an upload, in a fixed phrase."""
        log = self._shift.log.bind(folder=file.folder, path=file.path)
        match event:
            case Uploaded():
                log.info("uploaded", identifier=event.identifier)
            case Refused():
                log.warning("refused by identifAI", reason=event.reason)
            case Deferred():
                log.warning("upload in doubt", reason=event.reason)
            case Unsent():
                log.warning("not sent", reason=event.reason)
            case _:
                log.warning("not sent")

    def _failed(self, flight: Flight, tx: Transaction, error: Exception) -> None:
        """Go on after a bug of ours: there is doubt only if the upload may have been completed."""
        self._flights.pop(flight.analysis.id, None)
        shift = self._shift
        shift.bug(error)
        why = f"a bug: {error!r}"
        event = Deferred(why) if flight.is_closing else Unsent(why, counts=True)
        work.advance(tx, flight.analysis.id, event, shift.step(), shift.claimant)

    def _near(self) -> list[Flight]:
        """Return the uploads under way of folders that can be reached."""
        return [flight for flight in self._flights.values() if _is_near(flight.intake)]


def _is_near(intake: Intake) -> bool:
    return intake.patrol.health is not Health.UNAVAILABLE


def _event_of(sent: Sent) -> AnalysisEvent:
    """Return what came of an upload, with what was sent along."""
    event = sent.reading.event or Unsent("no answer")
    if isinstance(event, Uploaded):
        return Uploaded(event.identifier, sent_name=sent.sent_name, ref_id=sent.ref_id)
    return event


def instants_left(tx: Transaction, shift: Shift, method: str, waiting: int, most: int) -> int:
    """Count the requests, up to ``most``, that could leave within the horizon, behind those that wait already."""
    windows = shift.limits.windows(method)
    if not windows or most <= 0:
        return most
    now = shift.clock()
    latest = budget.sent(tx, method, now, latest=max(window.count for window in windows))
    instants = gate.instants(latest, windows, now, waiting + most)[waiting:]
    return sum(instant <= now + HORIZON for instant in instants)
