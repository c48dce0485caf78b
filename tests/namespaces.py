"""The kernel's own limits, without harm to anybody: mounts and users of a test's own, gone with the test.

Whatever is not allowed here skips the test with the reason: it takes root, or a user namespace that makes one root
(``unshare -Urm pytest tests/limits``).
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import identifai_watch
from tests.harness import wait_for

_NEW_MOUNTS = 0x00020000
"""CLONE_NEWNS of <linux/sched.h>."""

STRANGER = 47_110
"""A user, and a group, that nobody is and that no file of the system names."""


@contextmanager
def own_mounts() -> Iterator[None]:
    """Give this thread, and the processes that it starts, mounts that nobody else sees; all are gone at the end.

    Threads that it starts meanwhile must have ended by then: the pretend identifAI is started before.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        if libc.unshare(_NEW_MOUNTS) != 0:
            pytest.skip(f"no mount namespace can be had: {os.strerror(ctypes.get_errno())}")
        try:
            _try_to_mount()
            yield
        finally:
            # The kernel refuses while a thread that was started meanwhile is not quite gone.
            wait_for(
                lambda: libc.setns(before, _NEW_MOUNTS) == 0, "this thread is back among the mounts of all"
            )
            os.fchdir(here)
    finally:
        os.close(here)
        os.close(before)


def mount_memory(point: Path, name: str, **options: str | int) -> None:
    """Mount a file system of its own at ``point``, known as ``name``; ``options`` are those of tmpfs(5)."""
    point.mkdir(parents=True, exist_ok=True)
    said = ",".join(f"{option}={value}" for option, value in options.items())
    _run("mount", "-t", "tmpfs", *(("-o", said) if said else ()), name, str(point))


def bind(source: Path, point: Path) -> None:
    """Mount one directory at another."""
    point.mkdir(parents=True, exist_ok=True)
    _run("mount", "--bind", str(source), str(point))


def unmount(point: Path) -> None:
    """Take away what is mounted at ``point``, though somebody may have a file of it open."""
    _run("umount", "--lazy", str(point))


def remount(point: Path, *, writable: bool) -> None:
    """Have the file system at ``point`` take writes, or none."""
    _run("mount", "-o", "remount,rw" if writable else "remount,ro", str(point))


def fill(disk: Path) -> Path:
    """Write to a file system until it is full, into a file that no folder takes for media; return that file."""
    filler = disk / ".filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return filler


def open_to_all(*paths: Path) -> None:
    """Let every user reach these directories, whatever keeps strangers from what lies above them.

    In mounts of our own: an empty directory is put over the first one above that is closed, and the way rebuilt in it.
    """
    shut = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths if _closed_above(path)}
    try:
        for path, descriptor in shut.items():
            closed = _closed_above(path)
            if closed is not None:
                mount_memory(closed, "way", mode="755")
            path.mkdir(parents=True, exist_ok=True)
            # By its descriptor, which mount(8) must not turn back into the name that leads elsewhere by now.
            _run("mount", "-c", "--bind", f"/proc/{os.getpid()}/fd/{descriptor}", str(path))
    finally:
        for descriptor in shut.values():
            os.close(descriptor)


def _closed_above(path: Path) -> Path | None:
    """Return the first directory on the way to ``path`` that only its owner may pass."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 0o001), None)


def as_stranger(home: Path, user: int = STRANGER) -> dict[str, Any]:
    """Return how to start a process as a user who is nobody, with a home below ``home``; all in mounts of our own.

    The process has no capability left, and its home is all that it owns.
    """
    if os.getuid() != 0:
        pytest.skip("it takes root to start a process as another user")
    home.chmod(0o755)
    open_to_all(home, Path(sys.prefix), Path(sys.base_prefix), Path(identifai_watch.__file__).parents[1])
    own = home / f"home-{user}"
    own.mkdir(exist_ok=True)
    try:
        os.chown(own, user, user)
    except OSError as error:
        pytest.skip(f"nothing can be given to another user here: {error.strerror}")
    around = {"HOME": str(own), "USER": "", "LOGNAME": ""}
    options: dict[str, Any] = {"user": user, "group": user, "extra_groups": [], "cwd": own, "umask": 0o022}
    tried = subprocess.run(
        [sys.executable, "-c", "import identifai_watch"],
        env=os.environ | around,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    if tried.returncode != 0:
        pytest.skip(f"another user cannot run this Python: {tried.stderr.splitlines()[-1:]}")
    return options | {"environ": around}


def with_inotify_limits(**limits: int) -> tuple[str, ...]:
    """Return the command that starts another in a user namespace of its own, where these limits of inotify hold.

    ``limits`` are names of ``/proc/sys/user``, as ``max_inotify_watches``. The process keeps its number.
    """
    unshare = ("unshare", "--user", "--map-root-user")
    tried = subprocess.run(
        [*unshare, "test", "-w", "/proc/sys/user/max_inotify_watches"], capture_output=True, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"no limits of inotify can be set in a user namespace: {tried.stderr.decode().strip()}")
    setting = "; ".join(f"echo {number} > /proc/sys/user/{name}" for name, number in limits.items())
    return (*unshare, "sh", "-ec", f'{setting}; exec "$@"', "sh")


def set_inotify_limit(process: "subprocess.Popen[bytes]", name: str, number: int) -> None:
    """Set a limit of inotify in the user namespace of a process, as ``sysctl -w`` does there."""
    where = ("nsenter", "--user", "--target", str(process.pid))
    _run(*where, "sh", "-ec", f"echo {number} > /proc/sys/user/{name}")


def _try_to_mount() -> None:
    """Part with the mounts of others, and mount something; skip the test where that is not allowed."""
    with TemporaryDirectory() as point:
        for command in (
            ("mount", "--make-rprivate", "/"),
            ("mount", "-t", "tmpfs", "probe", point),
            ("umount", point),
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.skip(f"not allowed here: {' '.join(command)}: {done.stderr.strip()}")


def _run(*command: str) -> None:
    """Run a system tool, which has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
