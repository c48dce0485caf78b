"""Looks that may hang, on a mount that is dead for instance: each in a thread of its own, and none is waited for in vain."""

import time
from collections.abc import Callable, Iterable, Iterator
from threading import Thread

from identifai_watch.cli.preflight.finding import Finding, error

PATIENCE = 10.0
"""Seconds that one step of a look may take."""


class Progress:
    """Where a look stands, told by the look itself before each step that may hang."""

    def __init__(self) -> None:
        self.at("beginning")

    def at(self, doing: str, *, seconds: float | None = None) -> None:
        """Begin a step, which may take so many ``seconds``, or PATIENCE."""
        self.doing = doing
        self.seconds = PATIENCE if seconds is None else seconds
        self.moved_at = time.monotonic()


Look = Callable[[Progress], Iterator[Finding]]


def patiently(looks: Iterable[tuple[str, Look]]) -> list[list[Finding]]:
    """Carry out all looks at once, and return what each found; one that hangs is left behind with an error."""
    running = [_Running(about, look) for about, look in looks]
    return [one.findings() for one in running]


class _Running:
    """A look in its thread, which dies with the process however it hangs."""

    def __init__(self, about: str, look: Look) -> None:
        self._about = about
        self._look = look
        self._progress = Progress()
        self._found: list[Finding] = []
        self._is_done = False
        self._thread = Thread(target=self._run, name=f"check {about}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for finding in self._look(self._progress):
            self._found.append(finding)
        self._is_done = True

    def findings(self) -> list[Finding]:
        """Wait while it moves, and return what it found by then."""
        while self._thread.is_alive():
            left = self._progress.moved_at + self._progress.seconds - time.monotonic()
            if left <= 0:
                return [*self._found, self._hung()]
            self._thread.join(left)
        if not self._is_done:
            return [
                *self._found,
                error(self._about, "this look itself failed; that is a bug of identifai-watch"),
            ]
        return self._found

    def _hung(self) -> Finding:
        return error(
            self._about,
            f"it does not answer: nothing for {self._progress.seconds:g} s while {self._progress.doing}",
            "Is it a mount whose server is away? What hangs is set aside by the daemon until it answers.",
        )
