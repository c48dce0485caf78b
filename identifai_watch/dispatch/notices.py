"""Notices: written down with what they are about, and told by threads of their own; nothing waits for anybody who is told.

What is still to be told stands in the ledger, so that no restart loses it. Each channel is told one notice after another,
and again if it does not answer; it is told the same one twice only if its answer was lost.
"""

import json
import os
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from uuid import uuid4

from identifai_watch.config import Folder
from identifai_watch.core import notices, retry
from identifai_watch.core.model import File
from identifai_watch.core.notices import KEPT, MOST_WAITING, News, Notice
from identifai_watch.core.sidecar import shown
from identifai_watch.dispatch.channels import APPRISE, Channels, Told, stored_of
from identifai_watch.errors import LedgerError
from identifai_watch.ledger import Transaction, part
from identifai_watch.ledger import notices as outbox
from identifai_watch.ledger.notices import Head
from identifai_watch.notify import TOLD, Answer
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

LANE = "notify"

REMEMBERED = 1_000
"""So many notices that were told are known by heart, for the round in which the ledger learns of it may be taken back."""

DROP_EVERY = timedelta(minutes=1)

Delivered = tuple[File, bytes | None, bytes]
"""A file that was delivered, the path of its sidecar below the folder's root, if it has one, and what that says."""


class Notices:
    """What one shift tells others; that nobody hears it is logged, and keeps nothing up."""

    def __init__(self, shift: Shift) -> None:
        self._shift = shift
        self._node = shift.ledger.member
        self._channels = Channels(complain=self._complain)
        self._busy: set[str] = set()
        self._told: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self._lock = Lock()
        self._due_at: datetime | None = None
        self._dropped_at: datetime | None = None
        self._is_new = True

    @property
    def in_flight(self) -> int:
        """How many are being told."""
        return len(self._busy)

    @property
    def due_at(self) -> datetime | None:
        """When there is something to tell; None if nothing waits, or only for an answer."""
        return self._due_at

    @property
    def is_due(self) -> bool:
        """Whether there may be something to tell now."""
        return self._is_new or (self._due_at is not None and self._due_at <= self._shift.clock())

    def renew(self) -> None:
        """Make anew from the ledger what is in memory: a round was taken back, or the clock set."""
        self._busy.clear()
        self._look_now()

    # What there is to tell.

    def deliver(self, tx: Transaction, folder: Folder, done: Sequence[Delivered]) -> None:
        """Tell of files that were delivered with an outcome that they did not have before."""
        config = self._shift.config.notify
        wanted = config.on if folder.notify is None else folder.notify
        told = [one for one in done if one[0].outcome in wanted]
        if not told or not config.has_channels:
            return
        try:
            with part(tx):
                self._deliver(tx, folder, told)
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug in what is told must not keep a verdict from being delivered
            self._shift.bug(error)

    def _deliver(self, tx: Transaction, folder: Folder, told: Sequence[Delivered]) -> None:
        config = self._shift.config.notify
        now = self._shift.clock()
        documents = [json.loads(document) for _, _, document in told]
        news = [_news(folder, file, document) for (file, _, _), document in zip(told, documents, strict=True)]
        is_crowded = outbox.most_waiting(tx, self._node) >= MOST_WAITING
        flow, alone = notices.take(
            outbox.flow(tx, self._node), news, now, above=config.digest_above, is_crowded=is_crowded
        )
        outbox.put_flow(tx, self._node, flow)
        for one, document, (_, sidecar, _) in zip(news[:alone], documents, told, strict=False):
            beside = None if sidecar is None else os.path.join(folder.root, sidecar)  # noqa: PTH118 - bytes
            self.tell(tx, notices.of_outcome(one, document), beside)
        self._look_now()

    def tell(self, tx: Transaction, notice: Notice, sidecar: bytes | None = None) -> None:
        """Have every channel told."""
        shift, now = self._shift, self._shift.clock()
        channels = self._channels.known(shift.config.notify)
        if channels:
            document = notices.document(notice, uid=uuid4().hex, now=now, host=shift.ledger.node)
            outbox.put(tx, self._node, stored_of(document, notice.kind, sidecar), channels, now)
            self._look_now()

    # Telling it.

    def tick(self, tx: Transaction) -> None:
        """Tell each channel what is due, the oldest notice first."""
        now = self._shift.clock()
        self._is_new, self._due_at = False, None
        self._drop(tx, now)
        flow_due = self._close(tx, now)
        heads = outbox.heads(tx, self._node)
        waiting = [head for head in heads if head.channel not in self._busy]
        for head in waiting:
            if head.due <= now:
                self._plan(tx, head)
        dues = [head.due for head in waiting if head.due > now]
        self._due_at = min([*dues, *([] if flow_due is None else [flow_due])], default=None)

    def is_telling(self, tx: Transaction) -> bool:
        """Tell whether somebody is being told, or was not tried to be told yet: a run that ends waits for that."""
        heads = outbox.heads(tx, self._node)
        return (
            bool(self._busy)
            or outbox.flow(tx, self._node).due is not None
            or any(not one.failures for one in heads)
        )

    def _close(self, tx: Transaction, now: datetime) -> datetime | None:
        """Tell the digest whose minute is over; return when the next one is due."""
        before = outbox.flow(tx, self._node)
        flow, digest = notices.close(before, now, above=self._shift.config.notify.digest_above)
        if flow != before:
            outbox.put_flow(tx, self._node, flow)
        if digest is not None:
            self.tell(tx, notices.of_digest(digest, now))
            self._is_new = False  # it is told in this very round
        return flow.due

    def _drop(self, tx: Transaction, now: datetime) -> None:
        """Drop what nobody would take for a day, and what is for channels that are configured no more."""
        if self._dropped_at is not None and now - self._dropped_at < DROP_EVERY:
            return
        self._dropped_at = now
        outbox.bring_forward(tx, self._node, now + KEPT)
        dropped = outbox.drop_older(tx, self._node, now - KEPT)
        for channel, number in dropped.items():
            self._log_untold(channel, "they waited for a day", number=number)
        config = self._shift.config.notify
        names = self._channels.names(config)
        unsure = [APPRISE] if names is None else []
        known = [head.channel for head in outbox.heads(tx, self._node)]
        gone = notices.unwanted(known, self._channels.known(config), unsure=unsure)
        for channel, number in (outbox.drop_channels(tx, self._node, gone) if gone else {}).items():
            self._log_untold(channel, "it is configured no more", number=number)

    def _plan(self, tx: Transaction, head: Head) -> None:
        shift = self._shift
        stored = outbox.stored(tx, head.notice_id)
        told = self._channels.teller(shift.config.notify, head.channel, stored)
        if told is None:  # an address that cannot be read now, or is dropped soon
            due = shift.clock() + DROP_EVERY
            outbox.postpone(tx, head, due=due, trouble="it is not known now")
            return
        self._busy.add(head.channel)
        lane = f"{LANE} {head.channel}"
        shift.workers.plan(
            Job(
                lane=lane,
                label=lane,
                work=partial(self._tell_once, (head.channel, head.uid), told),
                then=partial(self._answered, head),
                failed=partial(self._failed, head),
            )
        )

    def _tell_once(self, which: tuple[str, str], told: Told) -> Answer:
        """Tell a channel in its thread, but not what it was told already by a round that was taken back."""
        with self._lock:
            if which in self._told:
                return TOLD
        answer = told()
        if answer.trouble is None:
            with self._lock:
                self._told.append(which)
        return answer

    def _answered(self, head: Head, tx: Transaction, answer: Answer) -> None:
        """Write what came of telling a channel."""
        shift = self._shift
        self._busy.discard(head.channel)
        self._look_now()
        if answer.trouble is None:
            outbox.done(tx, head)
            return
        if not answer.again:
            outbox.done(tx, head)
            self._log_untold(head.channel, answer.trouble)
            return
        wait = retry.backoff(head.failures + 1, shift.chance(), answer.at_least)
        due = shift.clock() + wait
        outbox.postpone(tx, head, due=due, trouble=answer.trouble)
        words = self._channels.words(shift.config.notify, head.channel)
        shift.log.warning("not told yet", channel=words, reason=answer.trouble, again_at=due)

    def _failed(self, head: Head, tx: Transaction, error: Exception) -> None:
        self._shift.bug(error)
        self._answered(head, tx, Answer(trouble=f"a bug: {type(error).__name__}", again=True))

    def _look_now(self) -> None:
        """Have the next round ask the ledger what there is to tell."""
        self._is_new = True
        self._due_at = self._shift.clock()

    def _log_untold(self, channel: str, reason: str, *, number: int = 1) -> None:
        words = self._channels.words(self._shift.config.notify, channel)
        self._shift.log.warning("nobody was told", channel=words, reason=reason, notices=number)

    def _complain(self, trouble: str) -> None:
        self._shift.log.error("nobody can be told", reason=trouble)


def _news(folder: Folder, file: File, document: dict[str, object]) -> News:
    """Return what is new about a file that was delivered, with what its sidecar says."""
    verdict = document.get("verdict")
    confidence = verdict.get("confidence") if isinstance(verdict, dict) else None
    if file.outcome is None:
        raise ValueError(f"file {file.id} has no outcome")
    return News(
        folder=file.folder,
        path=shown(file.path),
        shown_at=folder.shown_at(file.path if file.lies_at is None else file.lies_at),
        outcome=file.outcome,
        confidence=confidence,
        media=file.media,
        reason=file.reason if file.reason is None else shown(file.reason),
    )
