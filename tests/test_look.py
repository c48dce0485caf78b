"""One look at one file: what it is, whether somebody writes, and that nothing else is ever opened."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from identifai_watch.core import mounts
from identifai_watch.folder import look as looking
from identifai_watch.folder import opening, roots
from identifai_watch.folder.look import ignore_sigio, look
from identifai_watch.folder.opening import (
    BusyError,
    FolderError,
    MissingError,
    NotRegularError,
    UnavailableError,
    UnreadableError,
    open_inside,
)

MEDIA = Path(__file__).parent / "media"


@pytest.fixture
def sigio() -> Iterator[None]:
    """SIGIO is ignored, as the program does it, and as before afterwards."""
    before = signal.getsignal(signal.SIGIO)
    ignore_sigio()
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one picture in it."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "photo.jpg").write_bytes((MEDIA / "sample.jpg").read_bytes())
    return tmp_path


@pytest.mark.usefixtures("sigio")
def test_a_look_gives_fingerprint_format_and_sample(root: Path) -> None:
    """A whole picture that nobody writes to: all three agree."""
    status = (root / "a" / "photo.jpg").stat()
    found = look(os.fsencode(root), b"a/photo.jpg", network=False)
    assert (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino) == (
        found.fingerprint.size,
        found.fingerprint.mtime_ns,
        found.fingerprint.ctime_ns,
        found.fingerprint.inode,
    )
    assert found.sniffed == "jpeg"
    assert found.sample.fingerprint == found.fingerprint
    assert found.sample.writer is False
    assert found.sample.shortfall is None


@pytest.mark.usefixtures("sigio")
def test_a_writer_is_seen_while_it_has_the_file_open(root: Path) -> None:
    """The read lease is refused, in this process and in any other."""
    with (root / "a" / "photo.jpg").open("ab"):
        assert look(os.fsencode(root), b"a/photo.jpg", network=False).sample.writer is True
    assert look(os.fsencode(root), b"a/photo.jpg", network=False).sample.writer is False


@pytest.mark.usefixtures("sigio")
def test_a_reader_is_no_writer(root: Path) -> None:
    """Who only reads holds nothing up."""
    with (root / "a" / "photo.jpg").open("rb"):
        assert look(os.fsencode(root), b"a/photo.jpg", network=False).sample.writer is False


def test_without_sigio_ignored_the_probe_is_not_made(root: Path) -> None:
    """A writer that opened meanwhile would end the process."""
    before = signal.signal(signal.SIGIO, signal.SIG_DFL)
    try:
        assert look(os.fsencode(root), b"a/photo.jpg", network=False).sample.writer is None
    finally:
        signal.signal(signal.SIGIO, before)


@pytest.mark.usefixtures("sigio")
def test_on_a_network_file_system_there_is_no_inode_and_no_probe(root: Path) -> None:
    """Neither means anything there."""
    with (root / "a" / "photo.jpg").open("ab"):
        found = look(os.fsencode(root), b"a/photo.jpg", network=True)
    assert found.fingerprint.inode is None
    assert found.sample.writer is None


@pytest.mark.usefixtures("sigio")
def test_a_short_file_says_what_is_missing(root: Path) -> None:
    """The sample carries the container's own word."""
    whole = (MEDIA / "sample.png").read_bytes()
    (root / "half.png").write_bytes(whole[: len(whole) // 2])
    assert look(os.fsencode(root), b"half.png", network=False).sample.shortfall == "no IEND"


@pytest.mark.usefixtures("sigio")
def test_a_lease_of_another_is_a_writer(root: Path) -> None:
    """Samba holds a write lease for a client that caches its writes; the file cannot even be opened then."""
    path = root / "a" / "photo.jpg"
    program = (
        "import fcntl, os, signal, sys\n"
        "signal.signal(signal.SIGIO, signal.SIG_IGN)\n"
        "descriptor = os.open(sys.argv[1], os.O_RDWR)\n"
        "fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BusyError):
            open_inside(os.fsencode(root), b"a/photo.jpg")
        found = look(os.fsencode(root), b"a/photo.jpg", network=False)
        holder.communicate(b"")
    assert found.sample.writer is True
    assert found.fingerprint == looking.fingerprint(path.stat(), network=False)


@pytest.mark.parametrize(
    "path", [b"none.jpg", b"none/photo.jpg", b"a/photo.jpg/x", b"a/../a/photo.jpg", b"a//photo.jpg", b""]
)
def test_what_is_not_there_is_missing(root: Path, path: bytes) -> None:
    """So is a path that would lead about."""
    with pytest.raises(MissingError):
        look(os.fsencode(root), path, network=False)


def test_only_regular_files_are_opened(root: Path) -> None:
    """No FIFO is waited for, no link followed, no device or socket opened."""
    os.mkfifo(root / "fifo.mp4")
    (root / "link.jpg").symlink_to(root / "a" / "photo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.jpg"))
        for path in (b"fifo.mp4", b"link.jpg", b"socket.jpg", b"a"):
            with pytest.raises(NotRegularError):
                look(os.fsencode(root), path, network=False)


def test_a_link_on_the_way_is_not_followed(root: Path) -> None:
    """Nothing outside the folder is ever opened."""
    (root / "way").symlink_to(root / "a")
    with pytest.raises(MissingError):
        look(os.fsencode(root), b"way/photo.jpg", network=False)


def test_the_root_itself_may_be_a_link(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The operator named it, and means where it leads."""
    link = tmp_path_factory.mktemp("links") / "drop"
    link.symlink_to(root)
    assert look(os.fsencode(link), b"a/photo.jpg", network=False).sniffed == "jpeg"


def test_names_are_bytes(root: Path) -> None:
    """A name that is no UTF-8 is a name."""
    name = os.fsencode(root) + b"/caf\xe9.jpg"
    (root / "a" / "photo.jpg").rename(os.fsdecode(name))
    assert look(os.fsencode(root), b"caf\xe9.jpg", network=False).sniffed == "jpeg"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, MissingError),
        (errno.ENOTDIR, MissingError),
        (errno.EACCES, UnreadableError),
        (errno.EPERM, UnreadableError),
        (errno.ELOOP, NotRegularError),
        (errno.EAGAIN, BusyError),
        (errno.ESTALE, UnavailableError),
        (errno.EIO, UnavailableError),
        (errno.ENOTCONN, UnavailableError),
        (errno.ENODEV, UnavailableError),
        (errno.EHOSTDOWN, UnavailableError),
    ],
)
def test_each_error_is_somebodys_matter(number: int, kind: type[FolderError]) -> None:
    """What the file system is to blame for makes it unavailable, not the file bad."""
    found = opening.translated(OSError(number, os.strerror(number)))
    assert kind is type(found)
    assert os.strerror(number) == str(found) or kind is BusyError


def test_nothing_stays_open(root: Path) -> None:
    """Good looks and bad ones close what they opened."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (
        b"a/photo.jpg",
        b"a",
        b"a/none",
        b"none/none/none",
        b"..",
        b"a/photo.jpg/x/y",
        b"a/../a/photo.jpg",
    ):
        try:
            look(os.fsencode(root), path, network=False)
        except FolderError:
            continue
    assert before == len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.usefixtures("sigio")
def test_no_lease_stays_behind(root: Path) -> None:
    """A lease that was granted is given straight back."""
    descriptor = open_inside(os.fsencode(root), b"a/photo.jpg")
    try:
        assert looking.has_writer(descriptor) is False
        assert fcntl.F_UNLCK == fcntl.fcntl(descriptor, fcntl.F_GETLEASE)
    finally:
        os.close(descriptor)


def test_a_root_is_known_by_its_file_system(root: Path) -> None:
    """The identity is the mount's, the inode the directory's."""
    found = roots.inspect_root(os.fsencode(root))
    assert os.fsencode(root.resolve()) == found.path
    assert root.stat().st_ino == found.inode
    assert mounts.identity(mounts.mount_of(roots.read_mounts(), found.path)) == found.identity
    assert not found.network
    assert found.scanned == ()


@pytest.mark.parametrize("path", [b"/nonexistent/folder", b"/etc/hostname"])
def test_a_root_that_is_no_directory_is_missing(path: bytes) -> None:
    """That folder is unavailable, and says why."""
    with pytest.raises(MissingError):
        roots.inspect_root(path)


def test_proc_has_no_events() -> None:
    """A root on a file system whose changes inotify does not tell is scanned."""
    found = roots.inspect_root(b"/proc")
    assert b"/proc" in {mount.point for mount in found.scanned}
