"""Row 25: the state database is on the wrong disk, is damaged, or cannot be written.

As met elsewhere: a database on a network share is corrupted by its own locks; a damaged one is taken for empty, and
everything is done anew; a write that fails is logged and passed over, so that what was sent is not known afterwards
and is sent and paid for again.

Here a ledger on a network file system is refused with the reason and a remedy, and so is a damaged one, which is not
touched. Nothing is sent that was not written down before. While another has the ledger locked the daemon waits; where a
write fails it ends with 75, "try again later", for whoever restarts it, and what was on its way goes on then. (That a ledger can be checked, backed up and rebuilt from
sidecars is shown elsewhere.)
"""

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from identifai_watch.errors import Exit, LedgerError
from identifai_watch.ledger import sqlite
from identifai_watch.simulator import Endpoint, Fault, FaultKind, Script
from tests.console import at
from tests.field.seen import said
from tests.fuse import broken_mount
from tests.harness import House, house, wait_for
from tests.watching import picture, sha256

QUICK = {"settle_seconds": 0.2, "rescan_seconds": 0.3}
FULL = (4096, resource.RLIM_INFINITY)
"""Bytes that a file may have: what the daemon says finds room, and no write to the ledger does, as on a full disk."""


def charged(home: House) -> list[bytes]:
    """Return the hashes that were paid for, sorted."""
    return sorted(submission.sha256 for submission in home.simulator.state.charged)


def test_a_ledger_on_a_network_file_system_is_refused(tmp_path: Path) -> None:
    """The daemon does not begin: it names the file, the file system and a better place."""
    with house(tmp_path) as home, broken_mount(tmp_path / "share", errno.EIO):
        home.more = {"ledger": {"url": f"sqlite:///{tmp_path}/share/ledger.db"}}
        picture(home.drop / "x.png")
        ended = at(home, "run")
        words = " ".join(ended.err.split())
        assert Exit.CONFIG == ended.status
        assert f"{tmp_path}/share/ledger.db is on a network file system (fuse.broken from broken)" in words
        assert "put the ledger on a local disk" in words
        assert not home.simulator.state.count()


@pytest.mark.parametrize("fstype", ["nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "fuse.sshfs", "9p"])
def test_each_network_file_system_is_known(tmp_path: Path, fstype: str) -> None:
    """By the line that the kernel writes of such a mount, whatever lies around it."""
    mounts = (
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"90 22 0:45 / {tmp_path} rw,relatime shared:9 - {fstype} nas:/volume1 rw\n"
    )
    with pytest.raises(LedgerError, match=rf"on a network file system \({fstype} from nas:/volume1\)"):
        sqlite.refuse_network(tmp_path / "state" / "ledger.db", mounts.encode())


def test_a_damaged_ledger_is_refused_untouched_and_its_backup_goes_on(tmp_path: Path) -> None:
    """Nothing is begun anew over its ruins; with the backup in its place what was paid for stays paid."""
    with house(tmp_path, folder=QUICK) as home:
        with home.process():
            home.sidecar(picture(home.drop / "x.png"))
        ledger = home.home / "state" / "ledger.db"
        backup = Path(shutil.copy(ledger, tmp_path / "backup.db"))
        damaged = b"\0" * 8192 + backup.read_bytes()[8192:]
        ledger.write_bytes(damaged)
        picture(home.drop / "y.png")
        ended = at(home, "run")
        words = " ".join(ended.err.split())
        assert Exit.CONFIG == ended.status
        assert f"{ledger} cannot be read" in words
        assert "identifai-watch ledger restore FROM puts a backup back" in words
        assert damaged == ledger.read_bytes()
        assert [sha256("x.png")] == charged(home)
        shutil.copy(backup, ledger)
        with home.process():
            home.sidecar(home.drop / "y.png")
        assert sorted([sha256("x.png"), sha256("y.png")]) == charged(home)
        assert 2 == home.simulator.state.arrived(Endpoint.UPLOAD)


def test_where_a_write_fails_nothing_is_sent(tmp_path: Path) -> None:
    """The next attempt cannot be written, so it is not made; the daemon goes on when it can be. A start ends with 75."""
    busy = Fault(kind=FaultKind.STATUS, status=503, match=Endpoint.UPLOAD)
    with house(tmp_path, Script(faults=(busy,)), folder=QUICK) as home:
        with home.process() as process:
            path = picture(home.drop / "x.png")
            wait_for(lambda: home.simulator.state.count(Endpoint.UPLOAD, status=503), "the API is busy once")
            before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, FULL)
            wait_for(lambda: said(home, "ledger away"), "it is told")
            assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)
            home.sidecar(path, 60)
        other = picture(home.drop / "y.png")
        ended = home.command(
            "run", preexec_fn=lambda: resource.prlimit(os.getpid(), resource.RLIMIT_FSIZE, FULL)
        )
        assert Exit.LATER == ended.returncode, ended.stderr
        assert 2 == home.simulator.state.arrived(Endpoint.UPLOAD)
        with home.process():
            home.sidecar(other, 60)
        assert sorted([sha256("x.png"), sha256("y.png")]) == charged(home)
        assert 3 == home.simulator.state.arrived(Endpoint.UPLOAD)


@contextmanager
def locked(ledger: Path) -> Iterator[None]:
    """Have another process hold the ledger's write lock."""
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
        "connection.execute('ROLLBACK')\n"
    )
    command = [sys.executable, "-c", code, str(ledger)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert b"locked\n" == other.stdout.readline()
        yield
        other.communicate(timeout=20)


def test_while_another_process_has_the_lock_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup program that locks the ledger delays what is new; nothing goes out meanwhile, and nothing is lost."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 200)  # the time that a write waits, 10 s else
    with house(tmp_path, folder=QUICK) as home, home.daemon() as daemon:
        home.sidecar(picture(home.drop / "x.png"))
        with locked(home.home / "state" / "ledger.db"):
            path = picture(home.drop / "y.png")
            wait_for(lambda: daemon._away_since, "the daemon has met the lock")
            assert 1 == home.simulator.state.arrived(Endpoint.UPLOAD)
        home.sidecar(path)
        assert sorted([sha256("x.png"), sha256("y.png")]) == charged(home)
