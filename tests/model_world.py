"""The world of the model test: a tree that other programs work in, a vendor with moods, a desk, and a daemon."""

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

import structlog

from identifai_watch.core.model import Choice, FileState, Label, Outcome
from identifai_watch.daemon import Daemon
from identifai_watch.ledger import Ledger, desk, views
from identifai_watch.ledger.views import Line
from identifai_watch.shift import Shift
from identifai_watch.simulator import Fault, Script, Scripted, Simulator, Submission, judge
from tests.harness import KEY, MEDIA, SUFFIX, House
from tests.model import Clock, Paced, Turn

PLACES = ["a.png", "b.png", "c.jpg", "s.wav", "d/a.png", "d/c.jpg", "d/e/b.png", "f/a.png"]
CONTENTS = [f"{kind} {mark}" for mark in "12345" for kind in ("png", "jpg", "wav")]
MOODS: dict[str, dict[str, Any]] = {
    "it errs": {"errors": "the file could not be decoded"},
    "it means other bytes": {"fields": {"hash": "ab" * 32}},
    "it has a status of its own": {"fields": {"status": "inprogress"}},
    "it has no verdict": {"without": ("verdict",)},
    "it takes its time": {"delay": 3600},
}
WAYS = ["whole", "slowly", "reserved", "empty first", "from outside", "from .part"]
DEEDS = ["nothing", "rewrite", "replace", "touch", "link", "copy", "move", "move out", "delete"]
TROUBLES = ["key", "terms", "credits", "slow", "forgetful"]
VERBS = ["pause", "resume", "retry", "retry all", "decide", "rejudge", "release", "judge"]
DESTINATIONS = tuple(str(outcome) for outcome in Outcome)
HEATMAP = ".identifai.heatmap"
HIDDEN = ".identifai-"
MAGIC = {"png": b"\x89PNG", "jpg": b"\xff\xd8\xff", "wav": b"RIFF"}
OLD = 1_200_000_000
INSTANTS = 250
"""More instants at which something is due are a daemon that comes to no rest."""

ROUNDS = 400
"""More rounds at one instant are a daemon that runs hot."""


def bytes_of(content: str) -> bytes:
    """Return the bytes of a content: a real file of its kind, with a mark after its end."""
    kind, mark = content.split()
    return (MEDIA / f"sample.{kind}").read_bytes() + mark.encode()


def digest_of(found: bytes) -> str:
    """Return a hash as sidecars tell it."""
    return hashlib.sha256(found).hexdigest()


def is_media(found: bytes) -> bool:
    """Tell whether these bytes are of a kind that is judged, whole or not."""
    return found.startswith(tuple(MAGIC.values()))


def new_ledger(home: Path) -> Path:
    """Make an empty ledger, to be copied: that takes a fraction of what making one takes."""
    path = home / "new.db"
    Ledger(f"sqlite:///{path}", node="here").close()
    return path


class Tree:
    """The watched folder and what lies around it, with all that other programs did there.

    ``there`` counts every content of theirs, by its hash, that must be somewhere; ``closed`` are the hashes of all
    contents that ever stood there with nobody writing; ``stood`` is when a content was last seen at a path.
    """

    def __init__(self, home: Path, clock: Clock) -> None:
        self.home = home
        self.clock = clock
        self.drop = home / "drop"
        self.outside = home / "outside"
        self.there: Counter[str] = Counter()
        self.closed: set[str] = set()
        self.stood: dict[tuple[str, str], datetime] = {}
        self.files = 0
        self.writers: list[tuple[BinaryIO, list[bytes]]] = []
        self.reserved: list[tuple[Path, bytes]] = []
        self.kept: list[tuple[Path, Path]] = []
        self.is_away = False
        self._numbers = iter(range(1_000_000))
        self._latest = 0
        for directory in (self.drop, self.outside):
            directory.mkdir()

    def media(self) -> list[Path]:
        """Return the files of other programs in the watched folder, in order; those that are being written too."""
        return [path for path in _files(self.drop) if not is_own(path)]

    def inventory(self) -> Counter[str]:
        """Count the contents of all files that are not the daemon's own, wherever they lie."""
        tops = [self.drop, self.outside, self.home / "away"]
        return Counter(
            digest_of(path.read_bytes()) for top in tops for path in _files(top) if not is_own(path)
        )

    @contextmanager
    def _by_hand(self) -> Iterator[None]:
        """Take account of what another program does."""
        self._tick()
        self.look()
        before = self.inventory()
        yield
        after = self.inventory()
        self.files += sum((after - before).values())
        self.there += after - before
        self.there -= before - after
        self.look()

    def look(self) -> None:
        """Note what stands where."""
        inodes = {os.fstat(writer.fileno()).st_ino for writer, _ in self.writers}
        for path in self.media():
            digest = digest_of(path.read_bytes())
            self.stood[str(path.relative_to(self.drop)), digest] = self.clock.now
            if path.stat().st_ino not in inodes:
                self.closed.add(digest)

    def _tick(self) -> None:
        """Wait for the file system's clock, which ticks every few milliseconds: in the model's time that is ages."""
        probe = self.home / "probe"
        while True:
            probe.touch()
            now = probe.stat().st_ctime_ns
            if now > self._latest:
                self._latest = now
                return

    def _free(self, place: str) -> Path | None:
        """Return the path of a place if nothing lies there, its directories made."""
        path = self.drop / place
        if self.is_away or path.exists():
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _picked(self, pick: int | str) -> Path | None:
        """Return one of the files, by its number among them or by its place."""
        found = [] if self.is_away else self.media()
        if isinstance(pick, str):
            return self.drop / pick if self.drop / pick in found else None
        return found[pick % len(found)] if found else None

    # What other programs do.

    def come(self, place: str, content: str, way: str) -> None:
        """Let a file come to a place; only a rename puts it over another."""
        match way:
            case "slowly":
                self.open(place, content)
            case "reserved" | "empty first":
                self.reserve(place, content, is_empty=way == "empty first")
            case "from outside" | "from .part":
                self.rename_in(place, content, part=way == "from .part")
            case _:
                self.create(place, content)

    def create(self, place: str, content: str) -> None:
        """Write a whole file, if the place is free."""
        with self._by_hand():
            path = self._free(place)
            if path is not None:
                path.write_bytes(bytes_of(content))

    def open(self, place: str, content: str) -> None:
        """Open a new file and write its first part."""
        with self._by_hand():
            path = self._free(place)
            if path is not None:
                whole = bytes_of(content)
                third = len(whole) // 3
                writer = path.open("xb", buffering=0)
                writer.write(whole[:third])
                self.writers.append((writer, [whole[third : 2 * third], whole[2 * third :]]))

    def write_on(self, pick: int) -> None:
        """Go on with one of the files that are written slowly or wait to be filled."""
        number = pick % (len(self.writers) + len(self.reserved))
        if number >= len(self.writers):
            self._fill(*self.reserved.pop(number - len(self.writers)))
            return
        with self._by_hand():
            writer, parts = self.writers[number]
            if parts:
                writer.write(parts.pop(0))
            else:
                self.writers.pop(number)
                writer.close()

    def reserve(self, place: str, content: str, *, is_empty: bool) -> None:
        """Reserve a file."""
        with self._by_hand():
            path = self._free(place)
            if path is not None:
                whole = bytes_of(content)
                path.write_bytes(b"" if is_empty else bytes(len(whole)))
                self.reserved.append((path, whole))

    def _fill(self, path: Path, whole: bytes) -> None:
        """Fill a reserved file, if it still lies there."""
        with self._by_hand():
            if path.exists() and not any(path.read_bytes()):
                with path.open("r+b", buffering=0) as writer:
                    writer.write(whole)

    def rename_in(self, place: str, content: str, *, part: bool) -> None:
        """Rename a whole file into its place."""
        with self._by_hand():
            path = self.drop / place
            if self.is_away:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            source = path.with_name(path.name + ".part") if part else self.outside / "new"
            source.write_bytes(bytes_of(content))
            source.rename(path)

    def rewrite(self, pick: int | str, content: str) -> None:
        """Write other bytes into a file."""
        with self._by_hand():
            path = self._picked(pick)
            if path is not None:
                path.write_bytes(bytes_of(content))

    def link(self, pick: int | str, place: str) -> None:
        """Give a file a second name."""
        with self._by_hand():
            source, path = self._picked(pick), self._free(place)
            if source is not None and path is not None:
                path.hardlink_to(source)

    def copy(self, pick: int | str, place: str) -> None:
        """Copy a file, with times of old."""
        with self._by_hand():
            source, path = self._picked(pick), self._free(place)
            if source is not None and path is not None:
                shutil.copyfile(source, path)
                os.utime(path, (OLD, OLD))

    def touch(self, pick: int | str) -> None:
        """Change a file's mode and time."""
        with self._by_hand():
            path = self._picked(pick)
            if path is not None:
                path.chmod(0o600)
                os.utime(path, (OLD, OLD))

    def delete(self, pick: int | str) -> None:
        """Delete a file."""
        with self._by_hand():
            path = self._picked(pick)
            if path is not None:
                path.unlink()

    def move(self, pick: int | str, place: str) -> None:
        """Move a file inside the tree."""
        with self._by_hand():
            source, path = self._picked(pick), self._free(place)
            if source is not None and path is not None:
                source.rename(path)

    def move_out(self, pick: int | str) -> None:
        """Move a file out of the tree."""
        with self._by_hand():
            path = self._picked(pick)
            if path is not None:
                kept = self.outside / f"kept-{next(self._numbers)}"
                path.rename(kept)
                self.kept.append((kept, path))

    def do(self, which: int | str, deed: str, content: str, to: str) -> None:
        """Do something with a file, by its number among all or by its place."""
        path = self._picked(which)
        match deed:
            case "rewrite":
                self.rewrite(which, content)
            case "replace" if path is not None:
                self.rename_in(str(path.relative_to(self.drop)), content, part=False)
            case "touch":
                self.touch(which)
            case "link":
                self.link(which, to)
            case "copy":
                self.copy(which, to)
            case "move":
                self.move(which, to)
            case "move out":
                self.move_out(which)
            case "delete":
                self.delete(which)

    def move_back(self, pick: int) -> None:
        """Move a file back that was moved out."""
        if not self.kept or self.is_away:
            return
        kept, path = self.kept.pop(pick % len(self.kept))
        with self._by_hand():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                kept.rename(path)

    def move_tree_in(self, contents: list[tuple[str, str]]) -> None:
        """Move a directory with these files into the tree."""
        with self._by_hand():
            if self.is_away:
                return
            source = self.outside / "tree"
            for place, content in contents:
                path = source / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bytes_of(content))
            source.rename(self.drop / f"t{next(self._numbers)}")

    def rename_directory(self) -> None:
        """Rename the directory ``d``, and all in it, sidecars too."""
        with self._by_hand():
            if not self.is_away and (self.drop / "d").is_dir():
                (self.drop / "d").rename(self.drop / f"r{next(self._numbers)}")

    def take_away(self, *, emptied: bool) -> None:
        """Move the root away, and perhaps make an empty one."""
        with self._by_hand():
            if not self.is_away:
                self.drop.rename(self.home / "away")
                self.is_away = True
                if emptied:
                    self.drop.mkdir()

    def put_back(self) -> None:
        """Move the root back."""
        with self._by_hand():
            if self.is_away:
                if self.drop.exists():
                    self.drop.rmdir()
                (self.home / "away").rename(self.drop)
                self.is_away = False

    def finish(self) -> None:
        """Put the root back, close what is open and fill what was reserved."""
        self.put_back()
        while self.writers or self.reserved:
            self.write_on(0)

    def close(self) -> None:
        """Leave nothing open."""
        for writer, _ in self.writers:
            writer.close()


class Vendor:
    """The pretend identifAI and its moods, with all that it was ever paid for."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.faults = 0
        self.forgot = 0
        self._charged: list[Submission] = []
        self._taken: list[Submission] = []
        simulator.restart(Script(key=KEY))

    @property
    def charged(self) -> list[Submission]:
        """Return every analysis that was paid for."""
        return [*self._charged, *self.simulator.state.charged]

    @property
    def taken(self) -> list[Submission]:
        """Return what each upload that was taken led to."""
        return [*self._taken, *self.simulator.state.taken]

    def change(self, **changes: Any) -> None:
        """Change what it does."""
        self.simulator.change(**changes)

    def go_wrong(self, fault: Fault) -> None:
        """Have requests go wrong, besides those that do already."""
        self.faults += 1
        self.change(faults=(fault, *self.simulator.script.faults[:2]))

    def misjudge(self, content: str, mood: str) -> None:
        """Judge a content badly; were it believed all the same, it would be the wrong label."""
        self.faults += 1
        found = hashlib.sha256(bytes_of(content)).digest()
        wrong = Label.HUMAN if judge(found).label is Label.ARTIFICIAL else Label.ARTIFICIAL
        entry = Scripted(sha256=found.hex(), classification=wrong, **MOODS[mood])
        self.change(verdicts=(entry, *self.simulator.script.verdicts[:2]))

    def be_difficult(self, trouble: str) -> None:
        """Refuse the account, have no verdict ready until told otherwise, or forget every analysis."""
        self.faults += 1
        match trouble:
            case "key":
                self.change(key="another")
            case "terms":
                self.change(terms_accepted=False)
            case "credits":
                self.change(credits=float(len(self.simulator.state.charged)))
            case "slow":
                self.change(delay=3600)
            case _:
                self.forgot += 1
                self._charged, self._taken = self.charged, self.taken
                self.simulator.restart(self.simulator.script)

    def be_well(self) -> None:
        """Do all as it should be done."""
        self.change(faults=(), verdicts=(), delay=0, key=KEY, terms_accepted=True, credits=None)

    def wait(self) -> None:
        """Wait until no request is under way."""
        state = self.simulator.state
        is_idle = state.wait_for(lambda at: sum(at._arrived.values()) == at.count())
        assert is_idle, "a request was lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point in the life of a daemon: so many ``operations`` on the disk into the job after ``jobs`` others like it.

    ``what`` is in the job's label. None are all operations: its work is done, and the loop does not know yet.
    """

    what: str
    jobs: int = 0
    operations: int | None = None

    def finder(self) -> Callable[[Turn], bool]:
        """Return what tells of one job after another whether it is the one."""
        left = self.jobs

        def is_reached(turn: Turn) -> bool:
            nonlocal left
            left -= self.what in turn.job.label
            return left < 0

        return is_reached


class World:
    """Everything, and the daemon in it."""

    def __init__(self, simulator: Simulator, ledger: Path, sums: Counter[str]) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="model-"))
        self.clock = Clock()
        self.tree = Tree(self.home, self.clock)
        self.vendor = Vendor(simulator)
        self.desk = Desk(self)
        self.sums = sums
        self.is_configured = False
        self.is_broken = False
        self.log: list[dict[str, Any]] = []
        self.daemon: Daemon | None = None
        self.workers = Paced()
        self.house = House(home=self.home, simulator=simulator)
        self._chance = Random(7)
        (self.home / "state").mkdir()
        shutil.copyfile(ledger, self.home / "state" / "ledger.db")
        sums["stories"] += 1

    def configure(self, chosen: dict[str, Any]) -> None:
        """Write the configuration."""
        self.action = chosen["action"]
        self.house.folder = {
            "action": chosen["action"],
            "existing": chosen["existing"],
            "existing_hold_above": 0,
            "events": chosen["events"],
            "keep_tree": chosen["keep_tree"],
            "settle_seconds": 5.0,
            "rescan_seconds": 60.0,
            "options": {"with_heatmap": chosen["heatmap"]},
        }
        self.house.api = {"uploads": chosen["uploads"]}
        self.is_configured = True

    # The daemon.

    def start(self) -> None:
        """Start a daemon, if none runs."""
        if self.daemon is not None:
            return
        self.workers = Paced()
        ledger = Ledger(self.house.ledger_url, node="here")
        shift = Shift(
            config=self.house.config(),
            ledger=ledger,
            clock=self.clock,
            chance=self._chance.random,
            workers=self.workers,
            log=structlog.wrap_logger(None, processors=[self._keep]),
        )
        self.daemon = Daemon(shift, lambda: KEY)
        self.daemon._begin()

    def _keep(self, _logger: object, _method: str, event: Any) -> Any:
        self.log.append({"at": self.clock.now.strftime("%d %H:%M:%S.%f")[:-4], **event})
        raise structlog.DropEvent

    def turn(self) -> None:
        """Let the loop turn once, without a wait for what does not come."""
        if self.daemon is not None:
            self.workers.wake()
            self.daemon._round()

    def work(self) -> None:
        """Let every job come to its end."""
        self.workers.finish()

    def work_a_little(self, pick: int, operations: int | None) -> None:
        """Let one job go on a little."""
        found = self.workers.under_way()
        if found:
            found[pick % len(found)].go_on(operations)

    def run(
        self, is_reached: Callable[[Turn], bool] = lambda _: False, operations: int | None = None
    ) -> bool:
        """Do all that can be done at this instant, or hold in a job before; tell whether it came to that."""
        if self.daemon is None:
            return False
        for _ in range(ROUNDS):
            self.turn()
            while turns := self.workers.under_way():
                if is_reached(turns[0]):
                    turns[0].go_on(operations)
                    return True
                turns[0].go_on()
            if self.workers.is_quiet():
                return False
        raise AssertionError(f"it runs hot; {self.story()}")

    def wind(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.wind(timedelta(seconds=seconds))

    def live(self, seconds: float, point: Point | None = None) -> None:
        """Let time pass, from one instant at which something is due to the next, or to a point in some job."""
        end = self.clock.now + timedelta(seconds=seconds)
        until = () if point is None else (point.finder(), point.operations)
        for _ in range(INSTANTS):
            if self.run(*until) or self.clock.now >= end or self.daemon is None:
                return
            self._wind_to_next(end)

    def bring(self, place: str, content: str, point: Point) -> None:
        """Let a file come, which a scan finds at once, and come to a point in some job, of that file or another."""
        self.tree.rename_in(place, content, part=False)
        self.desk.ask("reach", folder="drop")
        self.live(12, point)

    def cut(self) -> None:
        """Cut the daemon: what its threads have not done they never do, and what they brought nobody takes."""
        if self.daemon is None:
            return
        self.sums["cuts"] += 1
        self.workers.cut()
        self._bury()

    def stop(self) -> None:
        """Stop the daemon, as a signal does."""
        if self.daemon is None:
            return
        self.workers.free()
        self.daemon.stop()
        self.daemon._end(is_meant=True)
        self._bury()

    def _bury(self) -> None:
        daemon, self.daemon = self.daemon, None
        assert daemon is not None
        daemon.shift.stopping.set()
        daemon._dispatch.abandon()
        for one in daemon._intakes.values():
            one.close()
        self.workers.retire()
        self.vendor.wait()
        daemon._dispatch.close()
        daemon.shift.ledger.close()

    # Rest.

    def settle(self) -> None:
        """End all trouble, and wait until nothing is left to do."""
        self.tree.finish()
        self.vendor.be_well()
        self.start()
        self.desk.ask("resume")
        for scans in (0, 0, 3, 1):
            self.desk.ask("release", limit=None)
            self.desk.ask("retry", stuck=True)
            self.desk.ask("retry", files=self.desk.rejected())
            self._rest(scans)
            if scans and not self.desk.stuck() and not self.desk.rejected() and not self.desk.held():
                break

    def _rest(self, scans: int) -> None:
        """Wait until nothing is due, and so many scans were made."""
        latest = self._scans()
        for _ in range(INSTANTS):
            self.run()
            scans, latest = scans - (self._scans() != latest), self._scans()
            if scans <= 0 and self._is_at_rest():
                return
            self._wind_to_next()
        raise AssertionError(f"it comes to no rest; {self.story()}")

    def _scans(self) -> object:
        assert self.daemon is not None
        return [one.patrol.last_scan_at for one in self.daemon._intakes.values()]

    def _is_at_rest(self) -> bool:
        assert self.daemon is not None
        return not (self.daemon.settling or self._dues() or not self.workers.is_quiet())

    def _dues(self) -> list[int]:
        """Return when rows of the ledger are due, in microseconds."""
        return [
            due
            for (due,) in self.asked(
                "SELECT due FROM files WHERE due IS NOT NULL UNION ALL "
                "SELECT due FROM analyses WHERE due IS NOT NULL UNION ALL "
                "SELECT heatmap_due FROM analyses WHERE heatmap_due IS NOT NULL UNION ALL "
                "SELECT next_probe_at FROM account WHERE next_probe_at IS NOT NULL"
            )
        ]

    def _wind_to_next(self, until: datetime | None = None) -> None:
        """Wind the clock to the next instant at which anything is due."""
        assert self.daemon is not None
        now = self.clock.now
        dues = [one.next_due() for one in self.daemon._intakes.values()]
        soonest = [(due - now).total_seconds() for due in dues if due is not None]
        micro = int(now.timestamp()) * 1_000_000 + now.microsecond
        holds = [due for (due,) in self.asked("SELECT hold_until FROM account WHERE holds > 0") if due]
        soonest += [(due - micro) / 1e6 for due in [*self._dues(), *holds]]
        if until is not None:
            soonest.append((until - now).total_seconds())
        later = [seconds for seconds in soonest if seconds > 0]
        self.wind(max(0.01, min(later, default=1.0)))

    def asked(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the ledger in SQL."""
        with self.ledger() as ledger, ledger.read() as tx:
            return [tuple(row) for row in tx.exec_driver_sql(query, values)]

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Lend the ledger, whether a daemon runs or not."""
        if self.daemon is not None:
            yield self.daemon.shift.ledger
        else:
            with Ledger(self.house.ledger_url, node="here") as ledger:
                yield ledger

    def lines(self) -> list[Line]:
        """Return every file that the ledger knows, the oldest first."""
        with self.ledger() as ledger, ledger.read() as tx:
            return list(views.lines(tx))[::-1]

    def story(self) -> str:
        """Tell how things stand, for whoever reads of a failure."""
        files = "\n".join(f"  {path.relative_to(self.home)}" for path in _files(self.home))
        rows = "\n".join(
            f"  {line.file.id} {line.file.path!r} {line.file.state} at {line.file.lies_at!r} to {line.file.destination!r}"
            f" due {line.file.due} {line.file.reason} sha {(line.file.sha256 or b'').hex()[:6]}"
            f" | {line.analysis and (line.analysis.id, str(line.analysis.state), line.analysis.due, line.analysis.reason)}"
            for line in self.lines()
        )
        log = "\n".join(f"  {entry}" for entry in self.log[-60:])
        return f"at {self.clock.now}\n{files}\n{rows}\n{log}"

    def close(self) -> None:
        """Leave nothing behind."""
        self.sums["files"] += self.tree.files
        self.sums["faults"] += self.vendor.faults
        self.tree.close()
        if self.daemon is not None:
            self.workers.cut()
            self._bury()
        shutil.rmtree(self.home)


class Desk:
    """The operators, who write down what they ask for."""

    def __init__(self, world: World) -> None:
        self._world = world

    def ask(self, verb: str, **arguments: Any) -> None:
        """Ask for something."""
        with self._world.ledger() as ledger, ledger.write() as tx:
            desk.ask(tx, verb, arguments, who="anna", now=self._world.clock.now)

    def ask_of(self, which: int | str, verb: str, choice: Choice) -> None:
        """Ask for something; if it is about a file, of one that the ledger knows, by number or by place."""
        match verb:
            case "pause" | "resume":
                self.ask(verb)
            case "retry all":
                self.ask("retry", stuck=True)
            case "release":
                self.ask(verb, limit=1)
            case "judge":
                place = PLACES[which % len(PLACES)] if isinstance(which, int) else which
                self.ask(verb, path=str(self._world.tree.drop / place))
            case "decide":
                self.ask(verb, files=self._files(which), choice=choice, reason="seen it being made")
            case _:
                self.ask(verb, files=self._files(which))

    def _files(self, which: int | str) -> list[int]:
        lines = self._world.lines()
        if isinstance(which, str):
            lines = [line for line in lines if line.file.path == which.encode()][-1:]
            which = 0
        return [lines[which % len(lines)].file.id] if lines else []

    def decisions(self) -> dict[int, str]:
        """Return what was decided last, by the number of the file."""
        with self._world.ledger() as ledger, ledger.read() as tx:
            asked = tx.exec_driver_sql("SELECT id FROM commands WHERE verb = 'decide' ORDER BY id")
            found = [desk.command(tx, number) for (number,) in asked]
        return {
            number: command.arguments["choice"]
            for command in found
            if (command.answer or {}).get("decided")
            for number in command.arguments["files"]
        }

    def came_from(self, number: int) -> int | None:
        """Return the number of the file that another program gave this one's name; None if none did."""
        asked = self._world.asked(
            "SELECT before.file_id FROM history AS before, history AS after WHERE before.event = 'moved'"
            " AND after.event = 'moved' AND after.id = before.id + 1 AND after.file_id = ?"
            " ORDER BY after.id DESC LIMIT 1",
            number,
        )
        return int(asked[0][0]) if asked else None

    def stuck(self) -> list[int]:
        """Return the files that wait for a person."""
        return self._those(lambda line: _is_stuck(line) and _is_present(line))

    def rejected(self) -> list[int]:
        """Return the files without a verdict, though nobody gave up."""
        return self._those(
            lambda line: _is_present(line) and line.analysis is not None and line.analysis.state == "refused"
        )

    def held(self) -> list[int]:
        """Return the files that wait for their release."""
        return self._those(lambda line: line.file.held)

    def _those(self, wanted: Callable[[Line], bool]) -> list[int]:
        return [line.file.id for line in self._world.lines() if wanted(line)]


def is_own(path: Path) -> bool:
    """Tell whether a file is the daemon's own."""
    return path.name.endswith(SUFFIX) or HEATMAP in path.name or path.name.startswith(HIDDEN)


def _files(top: Path) -> list[Path]:
    return sorted(path for path in top.rglob("*") if path.is_file())


def _is_present(line: Line) -> bool:
    return line.file.state in {FileState.WAITING, FileState.DELIVERED}


def _is_stuck(line: Line) -> bool:
    return line.file.stuck_at is not None or (
        line.analysis is not None and line.analysis.stuck_at is not None
    )
