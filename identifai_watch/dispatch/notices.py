"""Notifications: whoever is configured is told of an outcome that is new, by a thread of its own."""

import os
from dataclasses import dataclass
from functools import partial

from identifai_watch import notify
from identifai_watch.core.model import File
from identifai_watch.core.sidecar import shown
from identifai_watch.ledger import Transaction
from identifai_watch.shift import Shift
from identifai_watch.workers import Job

LANE = "notify"


@dataclass(frozen=True, slots=True)
class Notices:
    """What one shift tells others; that nobody hears it is logged, and keeps nothing up."""

    shift: Shift

    def tell(self, file: File, root: bytes, sidecar: bytes | None, document: bytes) -> None:
        """Tell of a file that was delivered with an outcome that it did not have before."""
        config = self.shift.config.notify
        if file.outcome is None or file.outcome not in config.on:
            return
        beside = "" if sidecar is None else os.fsdecode(os.path.join(root, sidecar))  # noqa: PTH118 - bytes
        told = {
            "IDENTIFAI_OUTCOME": file.outcome.value,
            "IDENTIFAI_FOLDER": file.folder,
            "IDENTIFAI_PATH": shown(file.path),
            "IDENTIFAI_SIDECAR": beside,
        }
        if config.command:
            self._plan(partial(notify.run, config.command, beside, told), file)
        if config.webhook:
            self._plan(partial(notify.post, config.webhook, document), file)

    def _plan(self, work: partial[str | None], file: File) -> None:
        job = Job(lane=LANE, label=LANE, work=work, then=partial(self._told, file), failed=self._failed)
        self.shift.workers.plan(job)

    def _told(self, file: File, _tx: Transaction, trouble: str | None) -> None:
        if trouble is not None:
            self.shift.log.warning("nobody was told", folder=file.folder, path=file.path, reason=trouble)

    def _failed(self, _tx: Transaction, error: Exception) -> None:
        self.shift.bug(error)
