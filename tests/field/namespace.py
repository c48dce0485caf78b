"""A world of one's own to break: what is mounted there, and what limits hold, is seen by whoever enters alone."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_KEEP = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]


class Namespace:
    """A user and a mount namespace, kept by a process that does nothing else."""

    def __init__(self, keeper: int) -> None:
        self._keeper = keeper
        # As seen from there, a process begins where this one is.
        place = f"--wd={Path.cwd()}"
        target = f"--target={keeper}"
        self.through = ("nsenter", target, "--user", "--mount", "--preserve-credentials", place)

    def run(self, *command: str | Path) -> str:
        """Run a command there, and return what it printed."""
        done = subprocess.run(
            [*self.through, *command], capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def path(self, path: Path) -> Path:
        """Return how a path of that world is reached from here."""
        return Path(f"/proc/{self._keeper}/root") / path.relative_to("/")


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Make a world of one's own; skips the test, with the reason, where that is not allowed."""
    keep = [*_KEEP, "sh", "-c", "mount -t tmpfs probe /mnt && umount /mnt && echo ready && exec cat"]
    with subprocess.Popen(
        keep, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        try:
            if keeper.stdout.readline() != b"ready\n":
                pytest.skip(f"no namespace can be had: {os.fsdecode(keeper.stderr.read()).strip()}")
            yield Namespace(keeper.pid)
        finally:
            keeper.stdin.close()  # it reads until then, also when this process is killed
