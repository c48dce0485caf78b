"""Crash at each arrow: a delivery is killed after every system call that writes, and repeated.

Whatever the point, nothing is lost or half visible, and the repeated delivery ends as an undisturbed one does.
"""

import ctypes
import errno
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from identifai_watch import delivery
from identifai_watch.core.model import Fingerprint
from identifai_watch.core.routing import Action
from identifai_watch.delivery import Order, placing

PHOTO = b"the bytes of a photograph" * 1000
CAPTION = b"a caption"
HEATMAP = b"\x89PNG\r\n\x1a\n of heat"
SHM = Path("/dev/shm")  # noqa: S108 - another file system than the temp folder's is what is needed

WRITING = frozenset({"open", "write", "rename", "replace", "link", "unlink", "mkdir", "fchmod", "setxattr"})
KILLED = 9

Scenario = Callable[["Places"], Order]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """A watched folder and a folder on another file system, both fresh."""

    root: Path
    elsewhere: Path

    def state(self) -> dict[str, tuple[bytes, int, int]]:
        """Return every file with its content, its mode and, but for our own files, its time."""
        return {
            f"{base.name[:4]}/{path.relative_to(base)}": (
                path.read_bytes(),
                path.stat().st_mode,
                path.stat().st_mtime_ns if path.suffix in (".jpg", ".xmp") else 0,
            )
            for base in (self.root, self.elsewhere)
            for path in base.rglob("*")
            if path.is_file()
        }


def drop(path: Path, content: bytes) -> None:
    """Put an old file into a folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(1_600_000_000_000_000_000, 1_600_000_000_123_456_789))


def an_order(root: Path, action: Action, **changes: Any) -> Order:
    """Build the order for ``a/x.jpg``, which lies in the folder with a caption."""
    drop(root / "a/x.jpg", PHOTO)
    drop(root / "a/x.xmp", CAPTION)
    found = (root / "a/x.jpg").lstat()
    document = {
        "tool": {"name": "identifai-watch"},
        "file": {"path": "a/x.jpg", "sha256": sha256(PHOTO).hexdigest()},
        "times": {"noticed_at": "2026-03-01T12:00:00.000000Z"},
    }
    values: dict[str, Any] = {
        "root": os.fsencode(root),
        "path": b"a/x.jpg",
        "fingerprint": Fingerprint(
            size=found.st_size, mtime_ns=found.st_mtime_ns, ctime_ns=found.st_ctime_ns, inode=found.st_ino
        ),
        "action": action,
        "sha256": sha256(PHOTO).digest(),
        "document": json.dumps(document).encode(),
        "heatmap": HEATMAP,
    }
    return Order(**(values | changes))


def sidecar(places: Places) -> Order:
    """Order a sidecar."""
    return an_order(places.root, Action.SIDECAR)


def move(places: Places) -> Order:
    """Order a move into the folder's own destination."""
    return an_order(places.root, Action.MOVE, destination=b"human/a/x.jpg")


def move_across(places: Places) -> Order:
    """Order a move to another file system."""
    human = os.fsencode(places.elsewhere / "human")
    return an_order(places.root, Action.MOVE, destination=human + b"/a/x.jpg", destination_roots=(human,))


def move_across_unread(places: Places) -> Order:
    """Order a move of a file that was rejected without a hash."""
    order = move_across(places)
    document = json.loads(order.document or b"")
    document["file"]["sha256"] = None
    return replace(order, sha256=None, document=json.dumps(document).encode())


def copy(places: Places) -> Order:
    """Order a copy."""
    return an_order(places.root, Action.COPY, destination=b"human/a/x.jpg")


def copy_across(places: Places) -> Order:
    """Order a copy on another file system."""
    return an_order(places.root, Action.COPY, destination=os.fsencode(places.elsewhere / "x.jpg"))


def decided(places: Places) -> Order:
    """Order the next move of a file that was moved before."""
    first = move(places)
    done = delivery.deliver(first)
    assert done.fingerprint is not None
    return replace(
        first,
        lies_at=done.lies_at,
        fingerprint=done.fingerprint,
        destination=b"artificial/a/x.jpg",
        heatmap=None,
    )


def copy_decided(places: Places) -> Order:
    """Order the next copy of a file that was copied before."""
    first = copy(places)
    return replace(
        first, copied_to=delivery.deliver(first).copied_to, destination=b"artificial/a/x.jpg", heatmap=None
    )


SCENARIOS: list[tuple[Scenario, str]] = [
    *((scenario, "renameat2") for scenario in (sidecar, move, move_across, move_across_unread)),
    *((scenario, "renameat2") for scenario in (copy, copy_across, decided, copy_decided)),
    *((scenario, "link") for scenario in (sidecar, move, copy_decided)),
    *((scenario, "reserve") for scenario in (sidecar, move, move_across, copy_decided)),
]


@pytest.fixture
def naming(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give a way of naming without overwriting, by taking the better ones from the system."""

    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    placing._renameat2.cache_clear()
    if request.param != "renameat2":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    if request.param == "reserve":
        monkeypatch.setattr(os, "link", no_links)
    yield request.param
    placing._renameat2.cache_clear()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[], Places]]:
    """Give a maker of fresh places."""
    if not SHM.is_dir() or SHM.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    with ExitStack() as stack:

        def make() -> Places:
            names = [
                stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=parent))
                for prefix, parent in (("root", SHM), ("else", tmp_path))
            ]
            return Places(root=Path(names[0]), elsewhere=Path(names[1]))

        yield make


def killed_after(writes: int, order: Order) -> bool:
    """Deliver in a child that dies right after so many writes; tell whether it came to that."""
    with warnings.catch_warnings():
        # Python warns of threads that other tests left; the child calls nothing that they may hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        left = writes

        def count(frame: FrameType, event: str, called: object) -> None:
            nonlocal left
            is_ours = event == "return" and frame.f_code.co_name == "_rename_noreplace"
            is_call = event == "c_return" and getattr(called, "__module__", None) == "posix"
            if is_ours or (is_call and getattr(called, "__name__", None) in WRITING):
                left -= 1
                if left == 0:
                    os._exit(KILLED)

        try:
            sys.setprofile(count)
            delivery.deliver(order)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


def check_nothing_is_lost(places: Places, order: Order, *, may_reserve: bool) -> None:
    """What is visible is whole, and the file, its caption and its sidecar's room are somewhere."""
    visible = {name: content for name, (content, *_) in places.state().items() if "/.identifai-" not in name}
    whole = {".jpg": PHOTO, ".xmp": CAPTION, ".png": HEATMAP, ".json": order.document}
    for name, content in visible.items():
        assert content == whole[Path(name).suffix] or (may_reserve and content == b"")
    assert PHOTO in visible.values()
    assert CAPTION in visible.values()


@pytest.mark.parametrize(
    ("scenario", "naming"),
    SCENARIOS,
    indirect=["naming"],
    ids=[f"{scenario.__name__} by {naming}" for scenario, naming in SCENARIOS],
)
def test_crash_at_each_arrow(scenario: Scenario, naming: str, fresh: Callable[[], Places]) -> None:
    """Killed after the n-th write and repeated, the end is the same for every n."""
    undisturbed = fresh()
    delivery.deliver(scenario(undisturbed))
    expected = undisturbed.state()
    writes = 0
    is_killed = True
    while is_killed:
        writes += 1
        places = fresh()
        order = scenario(places)
        is_killed = killed_after(writes, order)
        check_nothing_is_lost(places, order, may_reserve=naming == "reserve")
        delivery.deliver(order)
        assert expected == places.state(), f"after write {writes}"
    assert writes > 10
