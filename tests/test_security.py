"""What nobody may get out of the daemon, and what nobody may get into it: keys, links, names, memory."""

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from identifai_watch import config as configuration
from identifai_watch import delivery
from identifai_watch.core import routing
from identifai_watch.core.model import Fingerprint, Outcome
from identifai_watch.core.routing import Action
from identifai_watch.delivery import DeliveryError, Order, SourceChanged, SourceGone, Taken
from identifai_watch.errors import ConfigError
from identifai_watch.folder.digest import digest
from identifai_watch.folder.look import look
from identifai_watch.folder.opening import FolderError, MissingError, open_inside
from tests.harness import KEY, SUFFIX, House, house, wait_for
from tests.test_delivery import an_order
from tests.test_sidecar import UNSEEMLY
from tests.watching import PICTURE, content, picture, quiet

# The memory of the process.

RUN = """
import ctypes, resource, sys
from identifai_watch.cli import main
try:
    main()
finally:
    is_dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
    print("memory:", is_dumpable, resource.getrlimit(resource.RLIMIT_CORE)[0], file=sys.stderr)
"""
"""The program, which says of itself at its end whether it may be read and what its core dumps are limited to."""


POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""Root without root's capabilities is a user like any other."""


def environ_of(pid: int) -> "subprocess.CompletedProcess[bytes]":
    """Read a process's environment as another process of its user would."""
    return subprocess.run([*POWERLESS, "cat", f"/proc/{pid}/environ"], check=False, capture_output=True)


def test_the_daemon_s_memory_is_closed(tmp_path: Path) -> None:
    """Another process of its user cannot read the daemon's environment, in which the key is; an ordinary one's it can."""
    around = os.environ | {"IDENTIFAI_API_KEY": KEY}
    ordinary = subprocess.Popen([*POWERLESS, "cat"], stdin=subprocess.PIPE, env=around)
    try:
        wait_for(lambda: Path(f"/proc/{ordinary.pid}/comm").read_text() == "cat\n", "cat runs")
        assert KEY.encode() in environ_of(ordinary.pid).stdout
    finally:
        ordinary.communicate()
    with house(tmp_path) as home, home.log.open("ab") as log:
        run = [sys.executable, "-m", "identifai_watch", "run", "--config", str(home.config_path)]
        with subprocess.Popen([*POWERLESS, *run], env=around, stderr=log) as process:
            try:
                wait_for(lambda: home._is_up(process), "the daemon is up")
                closed = environ_of(process.pid)
                limits = Path(f"/proc/{process.pid}/limits").read_text()
                command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            finally:
                process.terminate()
    assert (b"", True) == (closed.stdout, b"Permission denied" in closed.stderr)
    assert ["0", "0", "bytes"] == core_limits(limits)
    assert KEY.encode() not in command


def core_limits(limits: str) -> list[str]:
    """Return the soft limit, the hard one and the unit of core dumps."""
    return next(line for line in limits.splitlines() if line.startswith("Max core")).split()[4:]


@pytest.mark.parametrize(
    ("words", "is_closed"),
    [
        (["once"], True),
        (["once", "--dry-run"], True),
        (["judge", "drop/a.png"], True),
        (["check"], True),
        (["decide", "drop/a.png", "human", "--reason", "known", "--tell-vendor", "--yes"], True),
        (["list"], False),
    ],
)
def test_commands_that_read_the_key_close_themselves(
    tmp_path: Path, words: list[str], *, is_closed: bool
) -> None:
    """Whatever command reads the key may be read by nobody and leaves no core; one that does not is as it was."""
    with house(tmp_path) as home:
        picture(home.drop / "a.png")
        if words[0] == "decide":
            assert 0 == home.command("once").returncode
        command = [sys.executable, "-c", RUN, *words, "--config", str(home.config_path)]
        around = os.environ | {"IDENTIFAI_API_KEY": KEY}
        ended = subprocess.run(
            command, env=around, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
        )
    assert 0 == ended.returncode, ended.stderr
    told = ended.stderr.splitlines()[-1].split()
    assert ("memory:", "0" if is_closed else "1") == (told[0], told[1])
    assert told[2] == "0" or not is_closed
    assert KEY not in ended.stdout + ended.stderr


# Names.

NAMES = (
    b"a\nfake: line.png",
    b"\x1b[31mred\x1b]0;title\x07.png",
    b"\xc2\x9b31mred too.png",
    "evil\u202egnp.exe.png".encode(),
    "marks\u200e\u200f\u061c.png".encode(),
    "lines\u2028\u2029.png".encode(),
    b"caf\xe9 \xff.png",
    b"'\"`$(id);&|<>*?\\.png",
    b"=cmd|' -C calc'!A0.png",
    b"@SUM(1)\t.png",
    b"--config.png",
    b"up\\..\\..\\up.png",
    b"up..png",
    b"%s%n{0}{path}[red]b[/red].png",
    b"dir\x1b[2J\n\xe2\x80\xae/inside\r.png",
)
"""Names that mean something to a terminal, a log, a shell, a spreadsheet, a format string or a path; all are legal."""

MANY = """
import json, sys
from identifai_watch.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["identifai-watch", *words]
    try:
        main()
    except SystemExit as ended:
        sys.stdout.flush()
        print("ended:", ended.code, file=sys.stderr, flush=True)
"""
"""The program, for many commands one after the other in one process."""


def test_hostile_names_and_the_key(tmp_path: Path) -> None:
    """Whatever files are called, no log, sidecar or output carries a control; the key is nowhere but in its file."""
    key_file = tmp_path / "key"
    key_file.touch(mode=0o600)
    key_file.write_text(KEY)
    without = {"IDENTIFAI_API_KEY": ""}
    folder = {"ref_id": "{folder}/{path}", "rescan_seconds": 0.5}
    api = {"key_file": str(key_file), "send_names": True}
    with house(tmp_path, folder=folder, api=api) as home:
        paths = [os.path.join(os.fsencode(home.drop), name) for name in NAMES]  # noqa: PTH118 - bytes
        with home.process(environ=without) as process:
            for path in paths:
                picture(Path(os.fsdecode(path)), mark=repr(path))
            wait_for(lambda: len(sidecars(home)) == len(NAMES), "every file has its sidecar", 60)
            outputs = commands(home, paths)
            command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        written = sidecars(home)
        logged = home.log.read_bytes()
        rest = [path for path in tmp_path.rglob("*") if path.is_file() and path != key_file]
        assert [] == [path for path in rest if KEY.encode() in path.read_bytes()]
        names = {submission.name for submission in home.simulator.state.charged}
    assert len(NAMES) == len(names)
    assert KEY.encode() not in command + outputs
    assert [] == unseemly(logged)
    assert [] == unseemly(outputs.replace(b"\r\n", b"\n"))  # CSV ends its lines so
    assert [] == [hit for text in written for hit in unseemly(text)]
    assert b"fake: line" in logged
    assert b"\nfake: line" not in logged + outputs
    assert rb"\x1b[31mred\x1b]0;title\x07.png" in outputs
    assert b"\n=cmd" not in outputs
    assert len(NAMES) == outputs.count(b"Nothing is wrong with it.")
    for told in map(json.loads, written):
        assert not UNSEEMLY & set(told["file"]["name"] + told["file"]["path"])
        assert not UNSEEMLY & set(told["analysis"]["sent"]["name"] + told["analysis"]["sent"]["ref_id"])


def sidecars(home: House) -> list[bytes]:
    """Return every sidecar below the folder, as it was written."""
    found = [
        os.path.join(place, name)  # noqa: PTH118 - bytes
        for place, _, names in os.walk(os.fsencode(home.drop))
        for name in names
        if name.endswith(SUFFIX.encode())
    ]
    return [Path(os.fsdecode(path)).read_bytes() for path in found]


def unseemly(text: bytes) -> list[str]:
    """Return the lines that hold what could do something to a terminal."""
    return [line for line in text.decode().split("\n") if UNSEEMLY & set(line)]


def commands(home: House, paths: list[bytes]) -> bytes:
    """Run every command that shows names, on every name, and return all that they printed."""
    config = ["--config", str(home.config_path)]
    typed: list[list[str]] = [
        ["status"],
        ["list"],
        ["list", "--json"],
        ["export"],
        ["check"],
        ["check", "--json"],
    ]
    typed += [["export", "--format", "jsonl"], ["backlog"], ["retry", "--stuck"], ["once", "--dry-run"]]
    for path in map(os.fsdecode, paths):
        typed += [
            ["show", path],
            ["explain", path],
            ["retry", path],
            ["explain", path + "?"],
            ["judge", path + "?"],
        ]
        typed += [["decide", path, "human", "--reason", "seen\x1b[2J\u202e"]]
        case = str(home.home / f"{len(typed)}.zip")
        typed += [["bundle", path, "-o", case], ["bundle", "verify", case]]
    first = os.fsdecode(paths[0])
    typed += [["show", "--json", first], ["explain", "--json", first], ["show", first + "?"]]
    typed.append(["judge", first])
    words = json.dumps(
        [[*one, *config] if one[0] == "bundle" else [*one[:1], *config, *one[1:]] for one in typed]
    )
    done = subprocess.run(
        [sys.executable, "-c", MANY, words],
        env=os.environ | {"IDENTIFAI_API_KEY": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=200,
        check=True,
    )
    assert len(typed) == done.stdout.count(b"ended: ")
    assert b"Traceback" not in done.stdout
    return done.stdout


# Directories that are swapped between look and open.

SECRET = PICTURE + b"what lies outside"
ROUNDS = 2_000

_RENAME_EXCHANGE = 2


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Make a directory that is nobody's business, which holds a picture of the same name."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "x.png").write_bytes(SECRET)
    return place


def exchange(one: Path, other: Path) -> None:
    """Swap two names, in one instant."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


@contextmanager
def swapping(one: Path, other: Path, *, pause: float = 0.0) -> Iterator[None]:
    """Swap two names over and over, as somebody would who wants to be read from elsewhere."""
    over = threading.Event()

    def swap() -> None:
        while not over.wait(pause):
            exchange(one, other)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def outcomes(attempt: Callable[[], Any], refusals: tuple[type[Exception], ...]) -> tuple[list[Any], int]:
    """Attempt it until it was done and refused some times each; return what it gave, and how often it was refused."""
    given: list[Any] = []
    refused = 0
    for _ in range(ROUNDS):
        try:
            given.append(attempt())
        except refusals:
            refused += 1
        if len(given) >= 20 and refused >= 20:
            break
    return given, refused


def test_what_is_read_lies_inside(tmp_path: Path, outside: Path) -> None:
    """A directory that is swapped for a link while it is looked at and hashed never gives what lies behind the link."""
    drop, lure = tmp_path / "drop", tmp_path / "lure"
    picture(drop / "a" / "x.png")
    lure.symlink_to(outside)
    root, path = os.fsencode(drop), b"a/x.png"

    def attempt() -> bytes:
        seen = look(root, path, network=False)
        return digest(root, path, expected=seen.fingerprint, network=False).sha256

    with swapping(drop / "a", lure):
        given, refused = outcomes(attempt, (FolderError,))
    assert (True, True) == (len(given) >= 20, refused >= 20)
    assert {sha256(content("x.png")).digest()} == set(given)


def test_a_file_that_is_swapped_for_a_link(tmp_path: Path, outside: Path) -> None:
    """The same for the file itself."""
    drop, lure = tmp_path / "drop", tmp_path / "lure"
    picture(drop / "x.png")
    lure.symlink_to(outside / "x.png")

    def attempt() -> bytes:
        descriptor = open_inside(os.fsencode(drop), b"x.png")
        try:
            return os.read(descriptor, 1 << 20)
        finally:
            os.close(descriptor)

    with swapping(drop / "x.png", lure):
        given, refused = outcomes(attempt, (FolderError,))
    assert (True, True) == (len(given) >= 20, refused >= 20)
    assert {content("x.png")} == set(given)


REFUSALS = (DeliveryError, SourceChanged, SourceGone, Taken)


def test_a_sidecar_lies_inside(tmp_path: Path, outside: Path) -> None:
    """No sidecar ever lands behind a link that is swapped in for its directory, not even beside the same content."""
    drop, lure = tmp_path / "drop", tmp_path / "lure"
    picture(outside / "x.png")
    picture(drop / "a" / "x.png")
    lure.symlink_to(outside)
    order = an_order(drop, "sidecar", "a/x.png")
    with swapping(drop / "a", lure):
        given, refused = outcomes(lambda: delivery.deliver(order).sidecar, REFUSALS)
    assert (True, True) == (len(given) >= 20, refused >= 20)
    assert {b"a/x.png.identifai.json"} == set(given)
    assert ["x.png"] == [path.name for path in outside.iterdir()]


def test_a_moved_file_lies_inside(tmp_path: Path, outside: Path) -> None:
    """No file is moved behind a link that is swapped in for its destination, nor is one that lies there touched."""
    drop, lure = tmp_path / "drop", tmp_path / "lure"
    (drop / "human" / "a").mkdir(parents=True)
    lure.symlink_to(outside)
    names = iter(range(ROUNDS))

    def attempt() -> bytes | None:
        name = f"a/{next(names)}.png"
        picture(drop / name)
        return delivery.deliver(an_order(drop, "move", name)).lies_at

    with swapping(drop / "human" / "a", lure):
        given, refused = outcomes(attempt, REFUSALS)
    assert (True, True) == (len(given) >= 20, refused >= 20)
    assert ["x.png"] == [path.name for path in outside.iterdir()]
    assert SECRET == (outside / "x.png").read_bytes()


def test_a_daemon_is_not_led_outside(tmp_path: Path, outside: Path) -> None:
    """While its directories are swapped for links all the time, nothing from outside is sent, and nothing lands there."""
    # By scanning: watchdog's books do not bear directories that are swapped so fast, and it is the scan that counts.
    settings = {"settle_seconds": 0.1, "rescan_seconds": 0.1, "events": "off"}
    with house(tmp_path, folder=settings) as home:
        lure = home.home / "lure"
        lure.symlink_to(outside)
        inside = home.drop / "a" / "x.png"
        picture(inside)
        with home.daemon() as daemon:
            with swapping(home.drop / "a", lure, pause=0.002):
                for number in range(5):
                    home.sidecar(picture(home.drop / f"{number}.png"))
            if lure.is_dir() and not lure.is_symlink():
                exchange(home.drop / "a", lure)
            home.sidecar(inside)
            quiet(daemon)
        sent = {submission.sha256 for submission in home.simulator.state.charged}
    assert {sha256(content(f"{name}.png")).digest() for name in ("x", *range(5))} == sent
    assert ["x.png"] == [path.name for path in outside.iterdir()]


# Names that lead up.


def parsed(text: str) -> configuration.Config:
    """Return a configuration that lies at /etc/x."""
    return configuration.parse(text, Path("/etc/x"))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("../elsewhere", b"/srv/elsewhere"),
        ("human/../../elsewhere", b"/srv/elsewhere"),
        ("a/../human", b"human"),
        ("./human/.", b"human"),
    ],
)
def test_a_destination_leads_where_it_says(written: str, expected: bytes) -> None:
    """A destination that leads out of the folder is the absolute place that the operator wrote; no ``..`` is left."""
    config = parsed(f'[[folder]]\npath = "/srv/drop"\naction = "move"\nhuman = "{written}"')
    rules = config.folders[0].routing_rules()
    assert expected + b"/a/x.jpg" == routing.destination(b"a/x.jpg", Outcome.HUMAN, rules)


@pytest.mark.parametrize("written", ["..", "human/..", "../..", "/", "."])
def test_a_destination_above_its_folder(written: str) -> None:
    """A destination that is the folder or lies above it is refused: its results would be its input."""
    with pytest.raises(ConfigError, match="is the folder itself or lies above it"):
        parsed(f'[[folder]]\npath = "/srv/drop"\naction = "move"\nhuman = "{written}"')


@pytest.mark.parametrize(
    "template", ["{path.__class__}", "{folder[0]}", "{0}", "{}", "{path!r}", "{path:>9}"]
)
def test_a_template_names_two_things_alone(template: str) -> None:
    """ref_id gives the folder's name and the path, and no way to anything else."""
    with pytest.raises(ConfigError, match="ref_id: "):
        parsed(f'[[folder]]\npath = "/srv/drop"\nref_id = "{template}"')


def test_a_template_is_text() -> None:
    """What ref_id makes of a path that looks like another, or like a template, is that text: it opens nothing."""
    folder = parsed('[[folder]]\npath = "/srv/drop"\nref_id = "../{folder}/{path}"').folders[0]
    assert {"ref_id": "../drop/..{folder}\\x1b.jpg"} == folder.extra_fields(
        folder.media[0], b"..{folder}\x1b.jpg"
    )


@pytest.mark.parametrize("path", [b"../x.jpg", b"a/../../x.jpg", b"a//x.jpg", b"./x.jpg"])
def test_no_path_leads_out_of_a_folder(tmp_path: Path, path: bytes) -> None:
    """Even if one came to stand in the ledger, a path with ``..`` is opened neither to read nor to write."""
    drop = tmp_path / "drop"
    (drop / "a").mkdir(parents=True)
    (tmp_path / "x.jpg").write_bytes(SECRET)
    (drop / "x.jpg").write_bytes(b"inside")
    with pytest.raises(MissingError, match="not a path below the folder"):
        open_inside(os.fsencode(drop), path)
    if b".." in path:
        shape = Fingerprint(size=1, mtime_ns=1, ctime_ns=1, inode=None)
        order = Order(
            root=os.fsencode(drop), path=path, fingerprint=shape, action=Action.SIDECAR, document=b"{}"
        )
        with pytest.raises(ValueError, match="leads out"):
            delivery.deliver(order)
    assert {"drop", "x.jpg"} == {one.name for one in tmp_path.iterdir()}
