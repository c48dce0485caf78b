"""One house through a chain of kills: what its files are to come to, and that nothing is lost or paid twice meanwhile."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from identifai_watch.ledger import Ledger, desk, views
from identifai_watch.shift import utc_now
from identifai_watch.simulator.heatmap import png
from tests.harness import KEY, MEDIA, SUFFIX, House, wait_for
from tests.killing import Aim
from tests.nursery import Child, nursery
from tests.soundness import asked, assert_ledger_is_whole, files_below, outcome_of

HEATMAP = ".identifai.heatmap.png"
ORPHANS = "orphans"
"""The directory of what is put aside, which is beside nothing."""
PATIENCE = 60
"""Seconds in which a process comes to its point, on a machine that has much else to do."""

OPEN = (
    "SELECT (SELECT count(*) FROM files WHERE state = 'waiting')"
    " + (SELECT count(*) FROM analyses WHERE state NOT IN ('judged', 'refused'))"
    " + (SELECT count(*) FROM analyses WHERE heatmap_due IS NOT NULL)"
    " + (SELECT count(*) FROM commands WHERE done_at IS NULL)"
)
"""What is left to do in a ledger."""

STANDING = "SELECT hex(sha256) FROM files WHERE state = 'delivered'"
SENDING = "SELECT hex(sha256) FROM analyses WHERE state = 'sending'"
DOUBTED = """SELECT DISTINCT hex(analyses.sha256) FROM history JOIN analyses ON analyses.id = history.analysis_id
             WHERE history.event = 'deferred'"""


def digest(content: bytes) -> bytes:
    """Return the SHA-256 of a content."""
    return hashlib.sha256(content).digest()


@dataclass(kw_only=True)
class Life:
    """A house, what lies in it, and what is to come of that.

    ``contents`` are the files by the path at which they are dropped, ``along`` what goes with them. ``foreign`` is what
    others put in their way, and ``called`` what they have to be called for that, in their destination. ``outcomes`` are those that the content alone does not decide. ``paid`` counts how
    often each content was to be paid for, by its hash, and ``doubted`` holds the hashes of those that were being sent
    when a process died. ``elsewhere`` is where an absolute destination lies.
    """

    home: House
    elsewhere: Path
    contents: dict[str, bytes] = field(default_factory=dict)
    along: dict[str, bytes] = field(default_factory=dict)
    foreign: dict[str, bytes] = field(default_factory=dict)
    called: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    paid: Counter[bytes] = field(default_factory=Counter)
    doubted: set[str] = field(default_factory=set)
    kills: int = 0
    away: Path = field(init=False)

    def __post_init__(self) -> None:
        self.away = self.home.home / "away"
        self.away.mkdir()

    # What happens between two processes.

    def drop(self, name: str, content: bytes, *, is_paid: bool = True) -> None:
        """Put a file into the folder, or another content into the place of one."""
        (self.home.drop / name).write_bytes(content)
        self.contents[name] = content
        if is_paid:
            self.paid[digest(content)] = 1

    def order(self, verb: str, **arguments: Any) -> None:
        """Ask for something as an operator's command does; it is about every file that the ledger knows."""
        with Ledger(self.home.ledger_url, node="here") as ledger, ledger.write() as tx:
            numbers = [line.file.id for line in views.lines(tx)]
            desk.ask(tx, verb, {"files": numbers} | arguments, who="anna", now=utc_now())

    def obstruct(self, path: str, content: bytes) -> None:
        """Have somebody else put a file below the folder, where one of ours is to go."""
        (self.home.drop / path).parent.mkdir(exist_ok=True)
        (self.home.drop / path).write_bytes(content)
        self.foreign[path] = content

    def take_away(self, name: str) -> None:
        """Take a file out of the folder."""
        (self.home.drop / name).rename(self.away / name)

    def put_back(self, name: str) -> None:
        """Put a file back that was taken away."""
        (self.away / name).rename(self.home.drop / name)

    # Processes.

    def kill(self, aim: Aim, words: tuple[str, ...] = ("run",)) -> None:
        """Run the program until it kills itself at its aim; then nothing is lost, half visible or paid twice."""
        process = self._start(aim, words)
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            status = None
            self._end(process)
        said = self._log.read_text(encoding="utf-8", errors="replace")[-6000:]
        assert -signal.SIGKILL == status, f"{aim} was not met; the process ended with {status}:\n{said}"
        assert f"{aim.side} {', '.join(aim.points)}" == self._mark.read_text(encoding="utf-8")
        self._killed()

    def rest(self) -> None:
        """Run the program until all is at rest, and kill it then."""
        process = self._start(None, ("run",))
        try:
            wait_for(lambda: self._is_at_rest(process.pid), "all is at rest", PATIENCE)
        finally:
            self._end(process)
        self._killed()

    def finish(self) -> None:
        """Start the real program by its own command, as a service does, and wait until all is at rest."""
        with self.home.process() as process:
            wait_for(lambda: self._is_at_rest(process.pid), "all is at rest", PATIENCE)

    def _killed(self) -> None:
        """Look at what a killed process left behind: nothing is lost, half visible or paid twice, the ledger is whole."""
        self.kills += 1
        if self._left_in_ledger("SELECT name FROM sqlite_master WHERE name = 'analyses'"):
            self.doubted |= {sha256 for (sha256,) in self._left_in_ledger(SENDING)}
        self._assert_nothing_is_lost()

    def _left_in_ledger(self, query: str) -> list[tuple[Any, ...]]:
        """Ask a copy of the ledger, so that it is for the next process to take up what is left in its log."""
        left = self.home.home / "left"
        left.mkdir(exist_ok=True)
        for name in ("ledger.db", "ledger.db-wal"):
            (left / name).unlink(missing_ok=True)
            if (self.home.home / "state" / name).exists():
                shutil.copyfile(self.home.home / "state" / name, left / name)
        with closing(sqlite3.connect(left / "ledger.db")) as connection:
            assert [("ok",)] == connection.execute("PRAGMA quick_check").fetchall()
            assert [] == connection.execute("PRAGMA foreign_key_check").fetchall()
            return connection.execute(query).fetchall()

    def _end(self, process: Child) -> None:
        process.kill()
        assert -signal.SIGKILL == process.wait(PATIENCE)

    def _start(self, aim: Aim | None, words: tuple[str, ...]) -> Child:
        self._mark.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            return nursery().start(
                [*words, "--config", str(self.home.config_path)],
                environ=os.environ | {"IDENTIFAI_API_KEY": KEY},
                stdout=log,
                stderr=log,
                armed=None if aim is None else {"aim": asdict(aim), "mark": str(self._mark)},
            )

    def _was_started(self) -> bool:
        """Tell whether a process ever came so far that there is a ledger."""
        return self._log.exists() and b'"started"' in self._log.read_bytes()

    @property
    def _log(self) -> Path:
        return self.home.home / "killed.log"

    @property
    def _mark(self) -> Path:
        return self.home.home / "mark"

    def _is_at_rest(self, process: int) -> bool:
        """Tell whether a process has scanned its folder, all that lies there is delivered, and nothing is left to do."""
        if not self._was_started() or [(0,)] != asked(self.home, OPEN):
            return False
        paid = [digest(content) for content in self.contents.values() if self.paid[digest(content)]]
        if Counter(paid) != Counter(
            bytes.fromhex(sha256) for (sha256,) in asked(self.home, STANDING) if sha256
        ):
            return False
        told = asked(self.home, f"SELECT report FROM nodes WHERE process = {process:d}")  # noqa: S608 - a number
        return any(json.loads(report)["folders"][0]["last_scan_at"] is not None for (report,) in told)

    # What must be so.

    def charges(self) -> Counter[bytes]:
        """Return how often each content was charged."""
        return Counter(submission.sha256 for submission in self.home.simulator.state.charged)

    def lost(self) -> int:
        """Count the files whose content lies nowhere, or only under a hidden name."""
        lying = {
            content
            for root in (self.home.drop, self.elsewhere, self.away)
            for name, content in files_below(root).items()
            if "/.identifai-" not in f"/{name}"
        }
        kept = (*self.contents.values(), *self.along.values(), *self.foreign.values())
        return sum(content not in lying for content in kept)

    def charged_twice(self) -> int:
        """Count the charges above what was to be paid."""
        return sum((self.charges() - self.paid).values())

    def _assert_nothing_is_lost(self) -> None:
        """At any instant: every content lies somewhere, every visible sidecar is whole, no content was paid twice."""
        assert 0 == self.lost()
        assert 0 == self.charged_twice()
        for root in (self.home.drop, self.elsewhere):
            for sidecar in root.rglob(f"*{SUFFIX}"):
                assert "outcome" in json.loads(sidecar.read_bytes())

    def assert_all_is_well(self) -> None:
        """At rest: one right sidecar for each file, where it belongs; paid as was to be; doubt recorded, and gone."""
        lying, sidecars = self._expected()
        assert lying == {str(root): files_below(root) for root in (self.home.drop, self.elsewhere)}
        assert set(sidecars) == {
            path
            for root in (self.home.drop, self.elsewhere)
            for path in root.rglob(f"*{SUFFIX}")
            if path.is_file() and ORPHANS not in path.parts
        }
        for path, name in sidecars.items():
            self._assert_sidecar_is_right(json.loads(path.read_bytes()), name)
        assert self.paid == self.charges()
        assert_ledger_is_whole(self.home)
        assert self.doubted == {sha256 for (sha256,) in asked(self.home, DOUBTED)}

    def _assert_sidecar_is_right(self, sidecar: dict[str, Any], name: str) -> None:
        content = self.contents[name]
        assert self._outcome(name) == sidecar["outcome"]
        assert name == sidecar["file"]["name"] == sidecar["file"]["path"]
        if self.paid[digest(content)]:
            assert digest(content).hex() == sidecar["file"]["sha256"] == sidecar["response"]["hash"]
            identifiers = [one.identifier for one in self.home.simulator.state.charged]
            assert sidecar["analysis"]["identifier"] in identifiers

    def _outcome(self, name: str) -> str:
        return self.outcomes.get(name, outcome_of(self.contents[name]))

    def _expected(self) -> tuple[dict[str, dict[str, bytes]], dict[Path, str]]:
        """Return which files have to lie below which root, and beside which path which file's sidecar."""
        drop, elsewhere = str(self.home.drop), str(self.elsewhere)
        lying: dict[str, dict[str, bytes]] = {drop: {}, elsewhere: {}}
        sidecars: dict[Path, str] = {}
        folder = self.home.folder
        action = str(folder.get("action", "sidecar"))
        root = elsewhere if "human" in folder else drop
        lying[drop] |= self.foreign
        for name, content in self.contents.items():
            places = {"sidecar": [(drop, name)], "move": [], "copy": [(drop, name)], "record": []}[action]
            if action in {"move", "copy"}:
                places.append((root, f"{self._outcome(name)}/{self.called.get(name, name)}"))
            for place, path in places:
                lying[place][path] = content
                sidecars[Path(place, path + SUFFIX)] = name
                for companion, its in self.along.items():
                    lying[place][str(Path(path).with_name(companion))] = its
                if folder.get("options", {}).get("with_heatmap"):
                    lying[place][path + HEATMAP] = png(digest(content))
        return lying, sidecars


def large(mark: str) -> bytes:
    """Return a picture that an upload takes two blocks for."""
    return (MEDIA / "sample.png").read_bytes() + mark.encode() + bytes(1_500_000)


def sample(name: str) -> bytes:
    """Return one of the media."""
    return (MEDIA / name).read_bytes()
