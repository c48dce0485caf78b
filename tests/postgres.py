"""A PostgreSQL of the tests' own: made from Debian's binaries on a free port of loopback, gone when its owner is."""

import fcntl
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest

from tests import keeper

ROLE = "watch"
"""Who owns the databases, and is no superuser."""
_SUPERUSER = "postgres"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # files in its directory: nothing is left in /dev/shm when it is killed
    "fsync": "off",  # processes are killed here, the machine is not
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "TimeZone": "Asia/Kathmandu",  # a server's zone is not ours: what is read as local time is wrong at once
}
_STOP = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_SECONDS = 60
"""How long a server may take to start or to end."""


def binaries() -> Path:
    """Return where the newest PostgreSQL that is installed has its programs.

    Skips the test where there is none; fails it where ``$REQUIRE_POSTGRES`` says that there has to be one.
    """
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if debian:
        return max(debian, key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    missing = "there is no PostgreSQL here: apt-get install postgresql"
    if os.environ.get("REQUIRE_POSTGRES"):
        pytest.fail(missing)
    pytest.skip(missing)


class Cluster:
    """A server, and all of its databases.

    Its data is in ``directory``, which nobody else may use: one of its own in the system's place for temporary files
    unless told. PostgreSQL refuses to run as root, so root starts it as another user, who must be able to reach that.
    It ends when the process ``owner`` does, this one unless told; its ``settings`` are those of postgresql.conf. Tests
    are skipped where no PostgreSQL is installed.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        owner: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._bin = binaries()
        self.directory = directory or Path(tempfile.mkdtemp(prefix="identifai-watch-postgres-"))
        self._data = self.directory / "data"
        self._owner = owner or os.getpid()
        self._settings = _SETTINGS | dict(settings or {})

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, the same after each start."""
        return int((self.directory / "port").read_text(encoding="ascii"))

    def start(self) -> None:
        """Start the server and wait until it takes connections; make it first where it is new."""
        is_new = not self._data.exists()
        if is_new:
            self._make()
        log = str(self.directory / "server.log")
        kept = os.posix_spawn(
            sys.executable,
            [
                *(sys.executable, "-I", "-S", keeper.__file__),  # quick: it waits for no import of ours
                *(str(self._owner), _user(), str(self.directory)),
                *(str(self._bin / "postgres"), "-D", str(self._data)),
            ],
            _environ(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,  # a Ctrl-C at the terminal is for pytest
        )
        self._wait_until_ready(kept)
        if is_new:
            self.administer(f"CREATE ROLE {ROLE} LOGIN")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: ``fast`` ends all sessions and writes its data, ``immediate`` is a crash in good order."""
        self._end(_STOP[mode])

    def restart(self, mode: str = "fast") -> None:
        """Stop the server and start it again, at the same port."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """Kill the server with whatever it runs, at once; it can be started again, as after a crash."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """Kill the server where it runs, and remove its data."""
        self.kill()
        shutil.rmtree(self.directory)

    def database(self, name: str | None = None, template: str | None = None) -> str:
        """Create a database, empty or like ``template`` (a name), that ``watch`` owns; return its URL for SQLAlchemy."""
        name = name or f"ledger_{uuid.uuid4().hex[:12]}"
        like = "" if template is None else f' TEMPLATE "{template}"'
        self.administer(f'CREATE DATABASE "{name}" OWNER {ROLE}{like}')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop the database at ``url``; whoever is connected loses it."""
        self.administer(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)')

    def url(self, name: str, role: str = ROLE) -> str:
        """Return the URL of a database for SQLAlchemy, as ``role``."""
        return f"postgresql+psycopg://{role}@127.0.0.1:{self.port}/{name}"

    def administer(self, statement: str, name: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the superuser in the database ``name``, on its own; return the rows, if it has any."""
        import psycopg  # noqa: PLC0415 - most tests need none

        address = {"host": "127.0.0.1", "port": self.port, "user": _SUPERUSER, "dbname": name}
        with psycopg.connect(**address, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def pids(self) -> list[int]:
        """Return the processes of the server that run: the postmaster, and then those that it started."""
        postmaster = self._postmaster()
        return [] if postmaster is None else [postmaster, *keeper.children(postmaster)]

    def standby(self) -> "Cluster":
        """Return a copy of this server that follows it once it is started, at a port of its own."""
        follower = Cluster(owner=self._owner, settings=self._settings)
        from_here = ["-h", "127.0.0.1", "-p", str(self.port), "-U", _SUPERUSER]
        follower._fill("pg_basebackup", *from_here, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
        return follower

    def promote(self) -> None:
        """Make a server of its own of one that followed another, and wait until it takes writes."""
        assert [(True,)] == self.administer("SELECT pg_promote()")

    def _make(self) -> None:
        """Make an empty server."""
        words = [
            "-U",
            _SUPERUSER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]
        if self._version() >= 15:  # sorts as most servers do: by a language, not by bytes as SQLite does
            words += ["--locale-provider=icu", "--icu-locale=en-US"]
        self._fill("initdb", *words)

    def _fill(self, program: str, *words: str) -> None:
        """Have a program of PostgreSQL write the data, and give it a port and our settings."""
        user = _user()
        if user:
            shutil.chown(self.directory, user)
        command = [str(self._bin / program), "-D", str(self._data), *words]
        done = subprocess.run(
            command,
            env=_environ(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **keeper.as_user(user),
        )
        assert done.returncode == 0, f"{program} as {user or 'oneself'}: {done.stdout}{done.stderr}"
        port = _free_port()
        (self.directory / "port").write_text(str(port), encoding="ascii")
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.writelines(f"{key} = '{value}'\n" for key, value in {"port": port, **self._settings}.items())

    def _version(self) -> int:
        """Return the major version."""
        command = [str(self._bin / "postgres"), "--version"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return int(told.split()[2].partition(".")[0])

    def _wait_until_ready(self, kept: int) -> None:
        """Wait until the server that the process ``kept`` keeps takes connections; fail with its log where it ends."""
        ended = os.pidfd_open(kept)
        deadline = time.monotonic() + _SECONDS
        try:
            while self._postmaster() is None or self._told(7) != "ready":
                assert time.monotonic() < deadline, f"PostgreSQL did not start within {_SECONDS} s"
                if select.select([ended], [], [], 0.02)[0]:
                    raise AssertionError((self.directory / "server.log").read_text(encoding="utf-8"))
        finally:
            os.close(ended)

    def _told(self, line: int) -> str:
        """Return a line of what a running server tells of itself, counted from 0; empty where there is none."""
        with suppress(FileNotFoundError, IndexError):
            return (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[line].strip()
        return ""

    def _postmaster(self) -> int | None:
        """Return the process of the server, where it runs: what it told outlives it when it is killed."""
        told = self._told(0)
        with suppress(FileNotFoundError, ProcessLookupError):
            if told and os.fsencode(self._data) in Path("/proc", told, "cmdline").read_bytes():
                return int(told)
        return None

    def _end(self, how: signal.Signals) -> None:
        """Send a signal to the server and wait until nothing is left of it, which its keeper knows."""
        postmaster = self._postmaster()
        if postmaster is None:
            return
        kept = keeper.parent(postmaster)
        assert kept is not None, "nobody keeps the server"
        ended = os.pidfd_open(kept)
        try:
            os.kill(postmaster, how)
            assert select.select([ended], [], [], _SECONDS)[0], f"PostgreSQL did not end within {_SECONDS} s"
        finally:
            os.close(ended)
        _reap(kept)


def shared(beside: Path, owner: int) -> Cluster:
    """Return the server of a whole run of the tests: who asks first starts it, and it ends with the process ``owner``.

    ``beside`` is a directory of that run.
    """
    with (beside / "postgres.lock").open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = beside / "postgres"
        if started.exists():
            return Cluster(Path(started.read_text(encoding="utf-8")), owner=owner)
        cluster = Cluster(owner=owner)
        cluster.start()
        started.write_text(str(cluster.directory), encoding="utf-8")
        return cluster


def _reap(child: int) -> None:
    """Reap a process that ended, where we started it."""
    with suppress(ChildProcessError):
        os.waitpid(child, 0)


def _environ() -> dict[str, str]:
    """Return what the server's programs are told by the environment: nothing of ours."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


def _user() -> str:
    """Return as whom the server runs: empty for oneself, and somebody else for root."""
    if os.geteuid() != 0:
        return ""
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    """Return a port that nobody listens at, below those that the system gives: it stays free while we restart."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    while True:
        port = random.randrange(lowest // 2, lowest)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
