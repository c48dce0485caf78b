"""Uploads: which content goes next, when it may go, and what came of it."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from identifai_watch import duties
from identifai_watch.api import Api
from identifai_watch.core import gate
from identifai_watch.core.events import Begun, Deferred, Missed, Overdue, Refused, Unsent, Uploaded
from identifai_watch.core.model import Analysis, File
from identifai_watch.dispatch.departures import Departures
from identifai_watch.dispatch.standing import Standing
from identifai_watch.duties import Place, Sent
from identifai_watch.intake import Intake
from identifai_watch.ledger import Transaction, budget, claims, work
from identifai_watch.patrol import Health
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

BIG = 100_000_000
"""Bytes: all but one of the upload slots at most go to files above this."""

HORIZON = timedelta(seconds=1)
"""A request is begun when its instant is at most this far ahead: a newer file must not wait behind it for long."""

OLDEST_EVERY = 4
"""One upload in so many takes the content that has waited longest, so that nothing starves."""


class Uploads:
    """The uploads of one shift; what is in flight is a claim in the ledger."""

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
        self._sizes: dict[int, int] = {}
        self._begun = 0

    @property
    def in_flight(self) -> int:
        """How many uploads are under way."""
        return len(self._sizes)

    @property
    def begun(self) -> int:
        """How many uploads were begun since the shift began."""
        return self._begun

    def recover(self, tx: Transaction) -> None:
        """Take up what was being sent when a daemon died, and give up what has been awaited too long."""
        shift = self._shift
        step = shift.step(tx)
        for row in claims.lapsed(tx, step.now):
            if row.id not in self._sizes:
                work.advance(tx, row.id, Deferred("the daemon ended while it was sent", counts=False), step)
                shift.log.warning("upload in doubt", sha256=row.sha256.hex())
        for row in claims.overdue(tx, step.now):
            work.advance(tx, row.id, Overdue(), step)
            shift.log.warning("verdict overdue", sha256=row.sha256.hex(), identifier=row.identifier)

    def tick(self, tx: Transaction, *, in_flight: int) -> None:
        """Begin uploads as long as there is a slot, an instant soon, and money in the purse.

        ``in_flight`` are the other requests under way: while the network is in doubt, one at a time finds out.
        """
        shift = self._shift
        reachable = [
            key for key, intake in self._intakes.items() if intake.patrol.health is not Health.UNAVAILABLE
        ]
        while reachable and self.in_flight < shift.config.api.uploads:
            now = shift.clock()
            if not gate.may_submit(budget.account(tx), now, self.in_flight + in_flight):
                return
            if not has_instant(tx, shift, "POST", self._departures.waiting):
                return
            claimed = self._claim(tx, reachable)
            if claimed is None:
                return
            self._begin(tx, *claimed)

    def _claim(self, tx: Transaction, reachable: list[int]) -> tuple[Analysis, File] | None:
        """Claim the content whose turn it is, within the purse and the slots for large files."""
        shift, waiting = self._shift, self._departures.waiting
        now = shift.clock()
        purse = budget.purse(tx, shift.limits, now)
        if purse.left is not None and purse.left <= waiting:
            return None
        large = sum(size > BIG for size in self._sizes.values())
        return claims.claim_upload(
            tx,
            shift.claimant,
            now,
            folder_ids=reachable,
            oldest=self._begun % OLDEST_EVERY == OLDEST_EVERY - 1,
            backlog=purse.backlog_left is None or purse.backlog_left > waiting,
            at_most=BIG if large >= max(1, shift.config.api.uploads - 1) else None,
            least_priority=shift.least_priority,
        )

    def _begin(self, tx: Transaction, analysis: Analysis, file: File) -> None:
        """Commit that an upload begins, and plan it: it starts after the commit."""
        shift = self._shift
        begun = work.advance(tx, analysis.id, Begun(), shift.step(tx), shift.claimant)
        if begun is None:
            return
        self._begun += 1
        self._sizes[begun.id] = begun.size
        self._departures.begun()
        intake = next(intake for intake in self._intakes.values() if intake.folder.name == file.folder)
        shift.log.info(
            "upload begins", folder=file.folder, path=file.path, sha256=begun.sha256.hex(), doubt=begun.doubt
        )
        shift.workers.plan(
            Job(
                lane=f"{file.folder}/upload",
                label=f"{file.folder}/upload/{begun.id}",
                work=partial(self._upload, begun, file, intake),
                then=partial(self._sent, begun, file, intake),
                failed=partial(self._failed, begun),
                threads=shift.config.api.uploads,
            )
        )

    def _upload(self, analysis: Analysis, file: File, intake: Intake) -> Sent:
        """Send, in a thread of the file's folder."""
        shift = self._shift
        label = f"{file.folder}/upload/{analysis.id}"
        with self._departures.upload(backlog=analysis.backlog):
            return duties.upload(
                self._api,
                analysis,
                Place(folder=intake.folder, path=file.lies_at or file.path, network=intake.patrol.network),
                file.fingerprint,
                send_names=shift.config.api.send_names,
                now=shift.clock,
                progress=lambda _: shift.workers.moved(label),
            )

    def _sent(self, analysis: Analysis, file: File, intake: Intake, tx: Transaction, sent: Sent) -> None:
        """Write what came of an upload, for the row, for the account and for the file."""
        self._sizes.pop(analysis.id, None)
        shift = self._shift
        event = sent.reading.event or Unsent("no answer")
        if isinstance(event, Uploaded):
            event = Uploaded(event.identifier, sent_name=sent.sent_name, ref_id=sent.ref_id)
        step = shift.step(tx)
        if work.advance(tx, analysis.id, event, step, shift.claimant) is None:
            shift.log.warning("claim lost", sha256=analysis.sha256.hex())
        self._standing.advance(tx, sent.reading.account)
        if isinstance(event, Uploaded | Refused):
            self._standing.terms_hold(tx)
        self._say(file, event)
        if sent.changed:
            intake.offer(tx, file.path, intake.folder.priority)
        if sent.missing:
            work.advance_file(tx, file.id, Missed(), step)
        if sent.unavailable is not None:
            intake.patrol.out_of_reach(sent.unavailable)

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

    def _failed(self, analysis: Analysis, tx: Transaction, error: Exception) -> None:
        self._sizes.pop(analysis.id, None)
        self._shift.bug(error)
        work.advance(
            tx, analysis.id, Deferred(f"a bug: {error!r}"), self._shift.step(tx), self._shift.claimant
        )


def has_instant(tx: Transaction, shift: Shift, method: str, waiting: int) -> bool:
    """Tell whether one more request could leave within the horizon, behind those that wait already."""
    windows = shift.limits.windows(method)
    if not windows:
        return True
    now = shift.clock()
    return gate.instants(budget.sent(tx, method, now), windows, now, waiting + 1)[-1] <= now + HORIZON
