"""The jobs that hang on one folder: it is out of reach until each of them has moved or ended."""

from dataclasses import dataclass

from identifai_watch.workers import Running, Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Hung:
    """A job that hangs, and when it had last moved."""

    running: Running
    moved_at: float
    on_disk_since: float | None

    @classmethod
    def of(cls, running: Running) -> "Hung":
        """Return the job as it stands."""
        return cls(running=running, moved_at=running.moved_at, on_disk_since=running.on_disk_since)


class Hangs:
    """Those of one folder, as far as they are known."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._hung: list[Hung] = []

    def add(self, running: Running) -> None:
        """Take in that a job hangs."""
        if all(hung.running is not running for hung in self._hung):
            self._hung.append(Hung.of(running))

    def last(self) -> bool:
        """Tell whether one of them has not moved since; those that have are forgotten."""
        under_way = self._workers.running()
        self._hung = [
            hung
            for hung in self._hung
            if any(hung.running is running for running in under_way) and Hung.of(hung.running) == hung
        ]
        return bool(self._hung)
