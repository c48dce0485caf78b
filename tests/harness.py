"""A drop folder, a daemon and the pretend identifAI, for tests of the whole; time is waited for, never slept away."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from identifai_watch import config as configuration
from identifai_watch.core.model import Outcome
from identifai_watch.daemon import Daemon
from identifai_watch.errand import Ending
from identifai_watch.folder.look import ignore_sigio
from identifai_watch.ledger import Ledger, queue, views
from identifai_watch.ledger.views import Line
from identifai_watch.shift import Shift
from identifai_watch.simulator import Script, Simulator
from tests.nursery import Child, can_fork, nursery

KEY = "the-key-that-no-log-may-show-4711"
MEDIA = Path(__file__).parent / "media"
SUFFIX = ".identifai.json"

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found], what: str, seconds: float = 30) -> Found:
    """Look until there is something, and return it; fail with ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        threading.Event().wait(0.02)


@dataclass
class House:
    """A folder to drop into, a configuration, a ledger and a pretend identifAI, all in one temporary place.

    ``ledger`` is the address of one that other houses use too, each under the name of its own ``node``; a file of its
    own unless told.
    """

    home: Path
    simulator: Simulator
    ledger: str = ""
    node: str = ""
    folder: dict[str, Any] = field(default_factory=dict)
    api: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.drop.mkdir(parents=True, exist_ok=True)

    @property
    def drop(self) -> Path:
        """The watched folder."""
        return self.home / "drop"

    @property
    def config_path(self) -> Path:
        """The configuration, written anew with each look."""
        path = self.home / "identifai-watch.toml"
        path.write_text(configuration.dump(self.document()), encoding="utf-8")
        return path

    @property
    def ledger_url(self) -> str:
        """Where the ledger lies."""
        return self.ledger or f"sqlite:///{self.home}/state/ledger.db"

    def open_ledger(self, node: str = "") -> Ledger:
        """Open the ledger as this house's node, or as another."""
        return Ledger(self.ledger_url, node=node or self.node or "here")

    def document(self) -> dict[str, Any]:
        """Return the configuration: quick, and without limits but those that a test sets."""
        free = dict.fromkeys(
            ("posts_per_second", "posts_per_minute", "gets_per_second", "gets_per_minute"), 0
        )
        folder = {"path": str(self.drop), "name": "drop", "settle_seconds": 0.3, "rescan_seconds": 1.0}
        return {
            "api": free | {"url": self.simulator.url} | self.api,
            "ledger": {"url": self.ledger_url},
            "web": {"listen": ""},
            **({"node": {"name": self.node}} if self.node else {}),
            "folder": [folder | {"existing": "judge"} | self.folder],
        } | self.more

    def config(self) -> configuration.Config:
        """Return the configuration, checked."""
        return configuration.load(self.config_path, {})

    @contextmanager
    def daemon(
        self,
        key: Callable[[], str] = lambda: KEY,
        *,
        clock: Callable[[], datetime] | None = None,
        node: str = "",
    ) -> Iterator[Daemon]:
        """Run the real daemon in a thread of this process, by the time that ``clock`` tells: the ledger's unless told.

        Commands speak of the folders of their host's ``node``.
        """
        ignore_sigio()
        with self.open_ledger(node) as ledger:
            shift = Shift(config=self.config(), ledger=ledger, clock=clock or ledger.clock)
            daemon = Daemon(shift, key, reload=self.config)
            failed: list[BaseException] = []
            thread = threading.Thread(target=_guarded, args=(daemon.run, failed), name=node or self.node)
            thread.start()
            try:
                yield daemon
            finally:
                daemon.stop()
                thread.join(20)
            assert not thread.is_alive(), "the daemon did not stop"
            assert failed == []
            with ledger.read() as tx:
                assert (0, 0) == queue.differing(tx), (
                    "each upload that is to be made stands in the queue, and no other"
                )

    def once(self, *, key: str = KEY, **options: Any) -> Ending | None:
        """Run over all there is, in this thread."""
        ignore_sigio()
        with self.open_ledger() as ledger:
            return Daemon(Shift(config=self.config(), ledger=ledger, once=True), lambda: key, **options).run()

    @contextmanager
    def process(
        self, *, environ: dict[str, str] | None = None, through: Sequence[str] = (), **options: Any
    ) -> Iterator["subprocess.Popen[bytes] | Child"]:
        """Run the real daemon as a process; its log is ``log``.

        ``through`` is a command that starts the one behind it in its own place, as ``nsenter`` does. With it, and with
        ``options`` of ``subprocess.Popen``, Python is started anew.
        """
        words = ["run", "--config", str(self.config_path)]
        around = os.environ | {"IDENTIFAI_API_KEY": KEY} | (environ or {})
        with self.log.open("ab") as log:
            process: subprocess.Popen[bytes] | Child
            if through or options or not can_fork(around):
                command = [*through, sys.executable, "-m", "identifai_watch", *words]
                process = subprocess.Popen(
                    command, env=around, stderr=log, stdin=subprocess.DEVNULL, **options
                )
            else:
                process = nursery().start(words, environ=around, stdout=1, stderr=log)
            try:
                wait_for(lambda: self._is_up(process), "the daemon is up")
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    raise

    def _is_up(self, process: "subprocess.Popen[bytes] | Child") -> bool:
        assert process.poll() is None, self.log.read_text(encoding="utf-8", errors="replace")
        return any(line.get("event") == "started" for line in self.logged())

    @property
    def log(self) -> Path:
        """Where the process writes its log."""
        return self.home / "daemon.log"

    def logged(self) -> list[dict[str, Any]]:
        """Return the lines of the log, which are JSON where no terminal reads them."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def command(
        self, *words: str, environ: dict[str, str] | None = None, **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        """Run one command of the program, with this configuration, in a process of its own."""
        command = [sys.executable, "-m", "identifai_watch", *words, "--config", str(self.config_path)]
        around = os.environ | {"IDENTIFAI_API_KEY": KEY} | (environ or {})
        if not options and can_fork(around):
            return _ran(command, around)
        return subprocess.run(
            command, env=around, capture_output=True, text=True, timeout=60, check=False, **options
        )

    def put(self, sample: str, name: str | None = None, *, extra: bytes = b"") -> Path:
        """Drop a sample of the media, under a name of its own and with bytes after its end if asked for."""
        target = self.drop / (name or sample)
        target.parent.mkdir(parents=True, exist_ok=True)
        if extra:
            target.write_bytes((MEDIA / sample).read_bytes() + extra)
        else:
            shutil.copyfile(MEDIA / sample, target)
        return target

    def lines(self) -> list[Line]:
        """Return every file that the ledger knows, the newest first."""
        if not self.ledger and not (self.home / "state" / "ledger.db").exists():
            return []
        with self.open_ledger() as ledger, ledger.read() as tx:
            return list(views.lines(tx))

    def sidecar(self, path: Path, seconds: float = 30) -> dict[str, Any]:
        """Wait for the sidecar of a file that says more than that its content changed, and return it."""
        beside = path.with_name(path.name + SUFFIX)

        def told() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
            except FileNotFoundError:
                return None
            return None if found["outcome"] == Outcome.PENDING else found

        return wait_for(told, f"{beside.name} is there", seconds) or {}

    def sidecars(self) -> dict[str, dict[str, Any]]:
        """Return the sidecars below the drop folder, by the path of their file."""
        found = self.drop.rglob("*" + SUFFIX)
        return {
            str(path.relative_to(self.drop)).removesuffix(SUFFIX): json.loads(
                path.read_text(encoding="utf-8")
            )
            for path in found
        }


@contextmanager
def standing_still(process: "subprocess.Popen[bytes] | Child") -> Iterator[None]:
    """Give a process no time on any core, as a busy machine does to the one that reads the queue."""
    process.send_signal(signal.SIGSTOP)
    threads = Path(f"/proc/{process.pid}/task")

    def stands() -> bool:
        states = [path.read_text().rpartition(")")[2].split()[0] for path in threads.glob("*/stat")]
        return set(states) == {"T"}

    wait_for(stands, "none of its threads reads an event any more")
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def house(home: Path, script: Script | None = None, **settings: Any) -> Iterator[House]:
    """Build a house with a pretend identifAI that takes only our key."""
    with Simulator(script) as simulator:
        if simulator.script.key is None:
            simulator.change(key=KEY)
        yield House(home=home, simulator=simulator, **settings)


@contextmanager
def fleet(
    home: Path, ledger: str, nodes: Sequence[str], script: Script | None = None, **settings: Any
) -> Iterator[list[House]]:
    """Build a house for each of ``nodes``: they share a ``ledger``, and a pretend identifAI that takes only our key."""
    with house(home / nodes[0], script, ledger=ledger, node=nodes[0], **settings) as first:
        yield [first, *(replace(first, home=home / node, node=node) for node in nodes[1:])]


def _ran(command: list[str], around: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command in the nursery, and return what it printed and how it ended."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = nursery().start(command[3:], environ=around, stdout=out, stderr=err)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        said = [file.read() for file in (out, err) if file.seek(0) == 0]
    return subprocess.CompletedProcess(command, process.returncode or 0, *said)


def _guarded(run: Callable[[], object], failed: list[BaseException]) -> None:
    try:
        run()
    except BaseException as error:  # noqa: BLE001 - told by the test that started the thread
        failed.append(error)
