"""The delivery on a real disk: what lies where afterwards, and what was left alone."""

import ctypes
import errno
import json
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identifai_watch import delivery
from identifai_watch.core.model import Fingerprint
from identifai_watch.core.routing import Action, heatmap_name, sidecar_name
from identifai_watch.delivery import DeliveryError, Order, SourceChanged, SourceGone, Taken, placing

PHOTO = b"the bytes of a photograph"
HEATMAP = b"\x89PNG\r\n\x1a\n of heat"
SHM = Path("/dev/shm")  # noqa: S108 - another file system than the temp folder's is what is needed


def fingerprint(path: Path) -> Fingerprint:
    """Return what the scan would know of a file."""
    found = path.lstat()
    return Fingerprint(
        size=found.st_size, mtime_ns=found.st_mtime_ns, ctime_ns=found.st_ctime_ns, inode=found.st_ino
    )


def document(path: str, content: bytes | None, noticed_at: str = "2026-03-01T12:00:00.000000Z") -> bytes:
    """Build as much of a sidecar as its owner is known by."""
    digest = None if content is None else sha256(content).hexdigest()
    return json.dumps(
        {
            "tool": {"name": "identifai-watch", "version": "0.1.0"},
            "file": {"path": path, "sha256": digest},
            "times": {"noticed_at": noticed_at},
        }
    ).encode()


def drop(root: Path, name: str = "x.jpg", content: bytes = PHOTO) -> Path:
    """Put a file into the folder."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def an_order(root: Path, action: str = "move", name: str = "x.jpg", **changes: Any) -> Order:
    """Build the order for a judged file that lies in the folder, to ``human/`` if it goes anywhere."""
    path = root / name
    content = path.read_bytes()
    values: dict[str, Any] = {
        "root": os.fsencode(root),
        "path": os.fsencode(name),
        "fingerprint": fingerprint(path),
        "action": Action(action),
        "destination": os.fsencode(f"human/{name}") if action in ("move", "copy") else None,
        "sha256": sha256(content).digest(),
        "document": document(name, content),
    }
    return Order(**(values | changes))


def tree(root: Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on another file system."""
    if not SHM.is_dir() or SHM.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=SHM) as name:
        yield Path(name)


@pytest.fixture(params=["renameat2", "link", "reserve"])
def naming(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give each way of naming without overwriting, by taking the better ones from the system."""
    placing._renameat2.cache_clear()
    if request.param != "renameat2":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    if request.param == "reserve":
        monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    yield request.param
    placing._renameat2.cache_clear()


def refusing(number: int) -> Callable[..., None]:
    """Build a system call that fails."""

    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


# Sidecar and record


def test_a_sidecar_lies_beside_its_file(tmp_path: Path) -> None:
    """The file itself is not touched, not even its ctime."""
    drop(tmp_path)
    order = an_order(tmp_path, "sidecar", heatmap=HEATMAP)
    done = delivery.deliver(order)
    expected = {
        "x.jpg": PHOTO,
        "x.jpg.identifai.json": order.document,
        "x.jpg.identifai.heatmap.png": HEATMAP,
    }
    assert expected == tree(tmp_path)
    assert done == delivery.Delivery(
        lies_at=None,
        fingerprint=order.fingerprint,
        sidecar=b"x.jpg.identifai.json",
        heatmap=b"x.jpg.identifai.heatmap.png",
    )


@pytest.mark.parametrize("action", ["sidecar", "copy"])
def test_what_replaces_a_file_during_its_delivery_does_not_pass_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """The fingerprint is that of the file that was looked at, so that the next one is found to be another."""
    drop(tmp_path)
    order = an_order(tmp_path, action)
    other = drop(tmp_path, "other.jpg", b"another photograph")
    sync = os.fsync

    def replacing(descriptor: int) -> None:
        if other.exists():
            other.replace(tmp_path / "x.jpg")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", replacing)
    try:
        done = delivery.deliver(order).fingerprint
    except SourceChanged:
        done = None
    assert done in {None, order.fingerprint}
    assert b"another photograph" == (tmp_path / "x.jpg").read_bytes()


def test_a_record_writes_nothing(tmp_path: Path) -> None:
    """The ledger alone knows of the verdict."""
    drop(tmp_path)
    order = an_order(tmp_path, "record", heatmap=HEATMAP)
    assert delivery.deliver(order).fingerprint == order.fingerprint
    assert tree(tmp_path) == {"x.jpg": PHOTO}


def test_our_sidecar_is_rewritten(tmp_path: Path) -> None:
    """A sidecar about the same path is replaced; one that says the same already is not written again."""
    drop(tmp_path)
    old = tmp_path / "x.jpg.identifai.json"
    old.write_bytes(document("x.jpg", b"earlier content"))
    order = an_order(tmp_path, "sidecar")
    delivery.deliver(order)
    written = old.stat()
    delivery.deliver(order)
    assert {"x.jpg": PHOTO, "x.jpg.identifai.json": order.document} == tree(tmp_path)
    assert written.st_ino == old.stat().st_ino


@pytest.mark.parametrize(
    "foreign",
    [
        b"not JSON",
        b"[" * 100_000,
        b'{"tool": {"name": "another"}}',
        document("other.jpg", b"other content"),
    ],
    ids=["text", "deep", "another tool", "another file"],
)
def test_a_foreign_sidecar_stays(tmp_path: Path, foreign: bytes) -> None:
    """Ours gets a number and is found again by it."""
    drop(tmp_path)
    (tmp_path / "x.jpg.identifai.json").write_bytes(foreign)
    order = an_order(tmp_path, "sidecar")
    for _ in range(2):
        assert delivery.deliver(order).sidecar == b"x.jpg.2.identifai.json"
    assert (tmp_path / "x.jpg.identifai.json").read_bytes() == foreign
    assert len(tree(tmp_path)) == 3


def test_a_link_in_the_sidecars_place_is_not_followed(tmp_path: Path) -> None:
    """Whoever may write into the folder cannot make us write elsewhere."""
    drop(tmp_path)
    victim = drop(tmp_path, "victim", document("x.jpg", PHOTO))
    (tmp_path / "x.jpg.identifai.json").symlink_to(victim)
    assert delivery.deliver(an_order(tmp_path, "sidecar")).sidecar == b"x.jpg.2.identifai.json"
    assert victim.read_bytes() == document("x.jpg", PHOTO)


def test_another_heatmap_is_kept(tmp_path: Path) -> None:
    """A heatmap that says something else makes room under a number."""
    drop(tmp_path)
    (tmp_path / "x.jpg.identifai.heatmap.png").write_bytes(b"earlier")
    order = an_order(tmp_path, "sidecar", heatmap=HEATMAP)
    for _ in range(2):
        delivery.deliver(order)
    assert (tmp_path / "x.jpg.identifai.heatmap.png").read_bytes() == HEATMAP
    assert (tmp_path / "x.jpg.2.identifai.heatmap.png").read_bytes() == b"earlier"


# Move


def test_a_move_takes_the_tree_along(tmp_path: Path, naming: str) -> None:
    """The file keeps its inode and its time; directories get our mode, the sidecar goes with the file."""
    source = drop(tmp_path, "a/x.jpg")
    before = source.stat()
    order = an_order(tmp_path, name="a/x.jpg", heatmap=HEATMAP)
    done = delivery.deliver(order)
    expected = {
        "human/a/x.jpg": PHOTO,
        "human/a/x.jpg.identifai.json": order.document,
        "human/a/x.jpg.identifai.heatmap.png": HEATMAP,
    }
    assert expected == tree(tmp_path), naming
    assert done.lies_at == b"human/a/x.jpg"
    moved = tmp_path / "human/a/x.jpg"
    assert done.fingerprint == fingerprint(moved)
    assert (before.st_ino, before.st_mtime_ns) == (moved.stat().st_ino, moved.stat().st_mtime_ns)
    assert stat.S_IMODE((tmp_path / "human/a").stat().st_mode) == 0o2775
    assert stat.S_IMODE((tmp_path / "human/a/x.jpg.identifai.json").stat().st_mode) == 0o664


def test_a_move_is_repeated_without_harm(tmp_path: Path, naming: str) -> None:
    """A delivery that the ledger never heard of is found finished."""
    drop(tmp_path)
    order = an_order(tmp_path, heatmap=HEATMAP)
    once = delivery.deliver(order)
    after = tree(tmp_path)
    assert delivery.deliver(order) == once, naming
    assert tree(tmp_path) == after


def test_nothing_is_overwritten(tmp_path: Path, naming: str) -> None:
    """A committed name that other content took is Taken, and no sidecar of ours stays beside it."""
    drop(tmp_path)
    order = an_order(tmp_path)
    drop(tmp_path, "human/x.jpg", b"another photograph")
    with pytest.raises(Taken):
        delivery.deliver(order)
    assert tree(tmp_path) == {"x.jpg": PHOTO, "human/x.jpg": b"another photograph"}, naming


def test_nothing_is_overwritten_in_the_last_moment(tmp_path: Path, naming: str) -> None:
    """The name is refused by the disk itself, not only by our looking."""
    source, taken = drop(tmp_path), drop(tmp_path, "y.jpg", b"another photograph")
    order = an_order(tmp_path)
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        places = [placing.Place(directory=directory, name=name, path=name) for name in (b"x.jpg", b"y.jpg")]
        with pytest.raises(Taken):
            placing.move(*places, order, looked=source.stat())
        with pytest.raises(Taken):
            placing.copy(*places, order, looked=source.stat())
    finally:
        os.close(directory)
    assert (source.read_bytes(), taken.read_bytes()) == (PHOTO, b"another photograph"), naming
    assert len(tree(tmp_path)) == 2


def test_a_duplicate_in_our_place_is_not_ours(tmp_path: Path) -> None:
    """The same content from another path, delivered there first, does not cost this file its name."""
    drop(tmp_path, "a/x.jpg")
    drop(tmp_path, "b/x.jpg")
    one, other = (
        an_order(tmp_path, name=name, destination=b"human/x.jpg") for name in ("a/x.jpg", "b/x.jpg")
    )
    delivery.deliver(one)
    with pytest.raises(Taken):
        delivery.deliver(other)
    chosen = delivery.choose(other, b"human/x.jpg")
    assert chosen == b"human/x-2.jpg"
    delivery.deliver(replace(other, destination=chosen))
    expected = ["human/x-2.jpg", "human/x-2.jpg.identifai.json", "human/x.jpg", "human/x.jpg.identifai.json"]
    assert expected == sorted(tree(tmp_path))


def test_a_new_file_in_the_old_place_is_left(tmp_path: Path) -> None:
    """What was dropped under the old name before the ledger heard of the move waits for its own turn."""
    drop(tmp_path)
    order = an_order(tmp_path)
    delivery.deliver(order)
    drop(tmp_path, "x.jpg", b"tomorrow's photograph")
    drop(tmp_path, "x.xmp", b"tomorrow's caption")
    assert delivery.deliver(order).lies_at == b"human/x.jpg"
    assert (tmp_path / "x.jpg").read_bytes() == b"tomorrow's photograph"
    assert (tmp_path / "x.xmp").exists()


def test_a_changed_file_is_not_delivered(tmp_path: Path) -> None:
    """Another content is to be judged first, and nothing is written about it."""
    path = drop(tmp_path)
    order = an_order(tmp_path)
    path.write_bytes(b"tomorrow's photograph")
    for action in (Action.MOVE, Action.COPY, Action.SIDECAR):
        with pytest.raises(SourceChanged):
            delivery.deliver(replace(order, action=action))
    assert tree(tmp_path) == {"x.jpg": b"tomorrow's photograph"}


def test_a_touched_file_is_delivered(tmp_path: Path) -> None:
    """Another fingerprint with the same content is the same file; a file refused unread has no content to tell."""
    path = drop(tmp_path)
    order = an_order(tmp_path, "sidecar")
    os.utime(path, ns=(1, 1))
    assert delivery.deliver(order).fingerprint == fingerprint(path)
    with pytest.raises(SourceChanged):
        delivery.deliver(replace(order, sha256=None))


@pytest.mark.parametrize("action", ["sidecar", "move", "copy"])
def test_a_file_that_is_gone(tmp_path: Path, action: str) -> None:
    """With its directory or without, it is gone, and neither sidecar nor directory is made for it."""
    path = drop(tmp_path, "a/x.jpg")
    order = an_order(tmp_path, action, "a/x.jpg")
    path.unlink()
    with pytest.raises(SourceGone):
        delivery.deliver(order)
    path.parent.rmdir()
    with pytest.raises(SourceGone):
        delivery.deliver(order)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "fifo", "socket"])
def test_only_regular_files_are_delivered(tmp_path: Path, kind: str) -> None:
    """A link, a FIFO or a socket under the file's name is not the file, and opening it never blocks."""
    path = drop(tmp_path)
    order = an_order(tmp_path)
    path.unlink()
    match kind:
        case "link":
            path.symlink_to(drop(tmp_path, "other"))
        case "fifo":
            os.mkfifo(path)
        case _:
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(path))
    with pytest.raises(SourceChanged):
        delivery.deliver(order)


def test_a_decision_moves_it_on(tmp_path: Path) -> None:
    """File, companions and heatmap go to the new outcome, and no stale sidecar stays behind."""
    drop(tmp_path)
    drop(tmp_path, "x.xmp", b"caption")
    order = an_order(tmp_path, heatmap=HEATMAP)
    done = delivery.deliver(order)
    assert done.fingerprint is not None
    again = replace(
        order,
        lies_at=done.lies_at,
        fingerprint=done.fingerprint,
        destination=b"artificial/x.jpg",
        document=document("x.jpg", PHOTO)[:-1] + b', "outcome": "artificial"}',
        heatmap=None,
    )
    delivery.deliver(again)
    expected = {
        "artificial/x.jpg": PHOTO,
        "artificial/x.jpg.identifai.json": again.document,
        "artificial/x.jpg.identifai.heatmap.png": HEATMAP,
        "artificial/x.xmp": b"caption",
    }
    assert expected == tree(tmp_path)


def test_a_redelivery_in_place(tmp_path: Path) -> None:
    """Where the outcome stays, only the sidecar is written anew."""
    drop(tmp_path)
    order = an_order(tmp_path)
    done = delivery.deliver(order)
    assert done.fingerprint is not None
    newer = replace(
        order, lies_at=done.lies_at, fingerprint=done.fingerprint, document=order.document + b"\n"
    )  # type: ignore[operator]  # the order has a document
    assert delivery.choose(newer, b"human/x.jpg") == b"human/x.jpg"
    assert delivery.deliver(newer).lies_at == b"human/x.jpg"
    assert (tmp_path / "human/x.jpg.identifai.json").read_bytes() == newer.document


def test_a_link_to_a_directory_is_not_entered(tmp_path: Path) -> None:
    """Neither as a destination nor on the way to the file."""
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    drop(root)
    (root / "human").symlink_to(outside)
    with pytest.raises(DeliveryError, match="Not a directory") as caught:
        delivery.deliver(an_order(root))
    assert not caught.value.folder_trouble
    assert list(outside.iterdir()) == []
    assert (root / "x.jpg").read_bytes() == PHOTO


def test_a_destination_that_is_a_file(tmp_path: Path) -> None:
    """It is said, and the file stays."""
    drop(tmp_path)
    drop(tmp_path, "human", b"no directory")
    with pytest.raises(DeliveryError, match=r"delivering x\.jpg: Not a directory"):
        delivery.deliver(an_order(tmp_path))
    assert tree(tmp_path) == {"x.jpg": PHOTO, "human": b"no directory"}


def test_a_folder_that_is_gone_is_the_folders_trouble(tmp_path: Path) -> None:
    """So that the whole folder waits, rather than this file failing."""
    drop(tmp_path / "root")
    order = an_order(tmp_path / "root")
    (tmp_path / "root").rename(tmp_path / "away")
    for act in (delivery.deliver, lambda order: delivery.choose(order, b"human/x.jpg")):
        with pytest.raises(DeliveryError, match="is gone") as caught:
            act(order)
        assert caught.value.folder_trouble


def test_a_stale_mount_is_the_folders_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ESTALE speaks of the whole mount, a full disk does not."""
    drop(tmp_path)
    order = an_order(tmp_path, "sidecar")
    for number, expected in ((errno.ESTALE, True), (errno.ENOSPC, False)):
        monkeypatch.setattr(os, "fsync", refusing(number))
        with pytest.raises(DeliveryError) as caught:
            delivery.deliver(order)
        assert expected == caught.value.folder_trouble
    assert tree(tmp_path) == {"x.jpg": PHOTO}


# Across file systems


def test_a_move_across_file_systems(tmp_path: Path, elsewhere: Path, naming: str) -> None:
    """Content, time, mode, group and attributes come along; the absolute destination is made."""
    source = drop(tmp_path)
    source.chmod(0o640)
    os.utime(source, ns=(1_600_000_000_000_000_007, 1_600_000_000_123_456_789))
    before = source.stat()
    root = os.fsencode(elsewhere / "sorted/human")
    order = an_order(tmp_path, destination=root + b"/a/x.jpg", destination_roots=(root,))
    drop(tmp_path, "x.jpg.xmp", b"caption")
    done = delivery.deliver(order)
    expected = {
        "sorted/human/a/x.jpg": PHOTO,
        "sorted/human/a/x.jpg.identifai.json": order.document,
        "sorted/human/a/x.jpg.xmp": b"caption",
    }
    assert expected == tree(elsewhere), naming
    assert tree(tmp_path) == {}
    after = (elsewhere / "sorted/human/a/x.jpg").stat()
    kept = ("st_mtime_ns", "st_mode", "st_gid", "st_uid", "st_size")
    assert [getattr(before, name) for name in kept] == [getattr(after, name) for name in kept]
    assert done.lies_at == root + b"/a/x.jpg"
    assert delivery.deliver(order) == done


def test_attributes_come_along(tmp_path: Path, elsewhere: Path) -> None:
    """What the desk wrote into extended attributes is kept where the target can."""
    source = drop(tmp_path)
    try:
        os.setxattr(source, "user.caption", b"harbour")
        os.setxattr(drop(elsewhere, "probe"), "user.caption", b"harbour")
    except OSError:
        pytest.skip("needs extended attributes on both file systems")
    order = an_order(tmp_path, destination=os.fsencode(elsewhere / "x.jpg"))
    delivery.deliver(order)
    assert os.getxattr(elsewhere / "x.jpg", "user.caption") == b"harbour"


def test_a_file_that_changed_is_not_moved_across(tmp_path: Path, elsewhere: Path) -> None:
    """The content is compared with the judged one while it is copied; no hidden file stays."""
    source = drop(tmp_path)
    order = an_order(tmp_path, destination=os.fsencode(elsewhere / "x.jpg"), sha256=b"another digest")
    with pytest.raises(SourceChanged):
        delivery.deliver(order)
    assert source.read_bytes() == PHOTO
    assert tree(elsewhere) == {}


def test_a_destination_root_may_be_a_link(tmp_path: Path) -> None:
    """What the operator wrote is followed; what lies below it is not."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "volume").symlink_to("disk")
    drop(tmp_path / "root")
    destination = os.fsencode(tmp_path / "volume/x.jpg")
    order = an_order(tmp_path / "root", destination=destination)
    with pytest.raises(DeliveryError, match="Not a directory"):
        delivery.deliver(order)
    delivery.deliver(replace(order, destination_roots=(os.fsencode(tmp_path / "volume"),)))
    assert (tmp_path / "disk/x.jpg").read_bytes() == PHOTO


def test_the_same_entry_by_another_way_is_not_unlinked(tmp_path: Path) -> None:
    """A destination that is the folder itself, seen through a link or a second mount, costs no file."""
    (tmp_path / "alias").symlink_to("root")
    drop(tmp_path / "root")
    alias = os.fsencode(tmp_path / "alias")
    order = an_order(tmp_path / "root", destination=alias + b"/x.jpg", destination_roots=(alias,))
    with pytest.raises(Taken):
        delivery.deliver(order)
    delivery.deliver(replace(order, action=Action.SIDECAR))
    assert delivery.deliver(order).lies_at == alias + b"/x.jpg"
    os.link(tmp_path / "root/x.jpg", tmp_path / "elsewhere")
    assert delivery.deliver(order).lies_at == alias + b"/x.jpg"
    assert tree(tmp_path / "root") == {"x.jpg": PHOTO, "x.jpg.identifai.json": order.document}


def test_a_destination_that_is_not_mounted(tmp_path: Path) -> None:
    """A file that was moved there is not gone because its disk is."""
    human = tmp_path / "disk/human"
    root = tmp_path / "root"
    drop(root)
    order = an_order(
        root,
        destination=os.fsencode(human / "x.jpg"),
        destination_roots=(os.fsencode(human),),
        heatmap=HEATMAP,
    )
    assert delivery.choose(order, os.fsencode(human / "x.jpg")) == order.destination
    done = delivery.deliver(order)
    human.rename(tmp_path / "away")
    moved = replace(order, lies_at=done.lies_at, fingerprint=done.fingerprint)
    for unmounted in (order, moved, replace(moved, action=Action.SIDECAR)):
        with pytest.raises(DeliveryError, match=r"the destination .* is not there"):
            delivery.deliver(unmounted)
    assert not human.exists()
    (tmp_path / "away").rename(human)
    assert delivery.deliver(order) == done


def test_a_heatmap_that_goes_along_stays_known_as_ours(tmp_path: Path) -> None:
    """Even numbered it keeps the ending by which the folder leaves it alone."""
    drop(tmp_path)
    drop(tmp_path, "x.jpg.identifai.heatmap.png", HEATMAP)
    drop(tmp_path, "human/x.jpg.identifai.heatmap.png", b"another")
    delivery.deliver(an_order(tmp_path))
    assert (tmp_path / "human/x.jpg.2.identifai.heatmap.png").read_bytes() == HEATMAP


def test_a_link_in_a_companions_place_stays(tmp_path: Path) -> None:
    """Only regular files go along."""
    drop(tmp_path)
    (tmp_path / "x.xmp").symlink_to("x.jpg")
    delivery.deliver(an_order(tmp_path))
    assert (tmp_path / "x.xmp").is_symlink()


# Copy


def test_a_copy_leaves_the_file_and_both_have_sidecars(tmp_path: Path) -> None:
    """The copy looks like the file; the file lies where it lay."""
    drop(tmp_path)
    drop(tmp_path, "x.xmp", b"caption")
    order = an_order(tmp_path, "copy", heatmap=HEATMAP)
    done = delivery.deliver(order)
    beside = {
        "x.jpg": PHOTO,
        "x.xmp": b"caption",
        "x.jpg.identifai.json": order.document,
        "x.jpg.identifai.heatmap.png": HEATMAP,
    }
    assert beside | {f"human/{name}": content for name, content in beside.items()} == tree(tmp_path)
    assert (None, b"human/x.jpg", order.fingerprint) == (done.lies_at, done.copied_to, done.fingerprint)
    assert delivery.deliver(order) == done
    assert len(tree(tmp_path)) == 8


def test_a_copy_is_found_again(tmp_path: Path) -> None:
    """A ledger that was lost does not multiply copies, but a name that others took is left."""
    drop(tmp_path)
    order = an_order(tmp_path, "copy")
    delivery.deliver(order)
    anew = replace(order, document=document("x.jpg", PHOTO, "2027-01-01T00:00:00.000000Z"))
    assert delivery.choose(anew, b"human/x.jpg") == b"human/x.jpg"
    assert delivery.deliver(anew).copied_to == b"human/x.jpg"
    (tmp_path / "human/x.jpg.identifai.json").unlink()
    assert delivery.deliver(replace(anew, copied_to=b"human/x.jpg")).copied_to == b"human/x.jpg"
    assert len(tree(tmp_path)) == 4
    (tmp_path / "human/x.jpg").write_bytes(b"cropped by somebody since")
    for copied_to in (None, b"human/x.jpg"):
        edited = replace(anew, copied_to=copied_to)
        with pytest.raises(Taken):
            delivery.deliver(edited)
        assert delivery.choose(edited, b"human/x.jpg") == b"human/x-2.jpg"
    assert delivery.choose(anew, b"human/x.jpg") == b"human/x-2.jpg"


def test_a_decision_takes_the_copy_along(tmp_path: Path) -> None:
    """The earlier copy moves to the new outcome with its sidecar; an edited one stays where it is."""
    drop(tmp_path)
    order = an_order(tmp_path, "copy")
    done = delivery.deliver(order)
    again = replace(order, copied_to=done.copied_to, destination=b"artificial/x.jpg")
    done = delivery.deliver(again)
    names = ["artificial/x.jpg", "artificial/x.jpg.identifai.json", "x.jpg", "x.jpg.identifai.json"]
    assert names == sorted(tree(tmp_path))
    (tmp_path / "artificial/x.jpg").write_bytes(b"cropped by somebody since")
    delivery.deliver(replace(again, copied_to=done.copied_to, destination=b"human/x.jpg"))
    assert (tmp_path / "artificial/x.jpg").read_bytes() == b"cropped by somebody since"
    assert (tmp_path / "human/x.jpg").read_bytes() == PHOTO


# Choosing


def test_a_free_name_is_chosen_with_its_companions(tmp_path: Path) -> None:
    """A name counts as taken if a companion's would be; nothing is touched."""
    drop(tmp_path)
    drop(tmp_path, "x.xmp", b"caption")
    order = an_order(tmp_path, destination=None)
    assert delivery.choose(order, b"human/x.jpg") == b"human/x.jpg"
    assert not (tmp_path / "human").exists()
    drop(tmp_path, "human/x.jpg", b"another")
    drop(tmp_path, "human/x-2.xmp", b"another's caption")
    chosen = delivery.choose(order, b"human/x.jpg")
    assert chosen == b"human/x-3.jpg"
    delivery.deliver(replace(order, destination=chosen))
    assert (tmp_path / "human/x-3.xmp").read_bytes() == b"caption"


def test_a_numbered_file_keeps_its_number(tmp_path: Path) -> None:
    """A redelivery does not rename what lies well."""
    drop(tmp_path, "human/x-2.jpg")
    order = an_order(tmp_path, name="human/x-2.jpg", path=b"x.jpg", lies_at=b"human/x-2.jpg")
    assert delivery.choose(order, b"human/x.jpg") == b"human/x-2.jpg"
    assert delivery.choose(order, b"artificial/x.jpg") == b"artificial/x.jpg"


def test_a_touched_duplicate_does_not_claim_anothers_file(tmp_path: Path) -> None:
    """Another row's file of the same content is not ours, whatever became of our own."""
    drop(tmp_path, "a/x.jpg")
    mine = drop(tmp_path, "b/x.jpg")
    one, other = (
        an_order(tmp_path, name=name, destination=b"human/x.jpg") for name in ("a/x.jpg", "b/x.jpg")
    )
    delivery.deliver(one)
    os.utime(mine, ns=(1, 1))
    with pytest.raises(Taken):
        delivery.deliver(other)
    mine.unlink()
    with pytest.raises(Taken):
        delivery.deliver(other)


def test_what_was_not_looked_at_is_not_moved(tmp_path: Path) -> None:
    """A file that took the place after our look is put back."""
    looked = drop(tmp_path).stat()
    order = an_order(tmp_path)
    drop(tmp_path, "new.jpg", b"tomorrow's photograph").rename(tmp_path / "x.jpg")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        here, there = (
            placing.Place(directory=directory, name=name, path=name) for name in (b"x.jpg", b"y.jpg")
        )
        with pytest.raises(SourceChanged):
            placing.move(here, there, order, looked=looked)
        with pytest.raises(SourceChanged):
            placing.copy(here, there, order, looked=looked)
    finally:
        os.close(directory)
    assert tree(tmp_path) == {"x.jpg": b"tomorrow's photograph"}


def shift(path: Path, seconds: float) -> None:
    """Have a file tell a time that is so much later."""
    time = path.stat().st_mtime_ns + int(seconds * 1_000_000_000)
    os.utime(path, ns=(time, time))


def test_times_within_the_granularity_are_the_same_file(tmp_path: Path) -> None:
    """What another node of the cluster tells of the file since our look keeps it neither from a copy nor a move."""
    order = an_order(drop(tmp_path).parent, granularity=timedelta(seconds=2))
    looked = (tmp_path / "x.jpg").stat()
    shift(tmp_path / "x.jpg", 1.5)
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        names = (b"x.jpg", b"y", b"z")
        x, y, z = (placing.Place(directory=directory, name=name, path=name) for name in names)
        placing.copy(x, y, order, looked=looked)
        placing.move(x, z, order, looked=looked)
        with pytest.raises(SourceChanged):
            placing.copy(z, x, replace(order, granularity=timedelta(seconds=1)), looked=looked)
    finally:
        os.close(directory)
    assert tree(tmp_path) == {"y": PHOTO, "z": PHOTO}


def test_a_source_that_was_edited_within_the_granularity_stays(tmp_path: Path) -> None:
    """Where times are no proof the bytes are: the source of a copy goes only if it still is what was copied."""
    source, copied = drop(tmp_path), drop(tmp_path, "copy.jpg")
    order = an_order(tmp_path, granularity=timedelta(seconds=2))
    looked = source.stat()
    edited = bytes(reversed(PHOTO))
    with source.open("r+b") as file:
        file.write(edited)
    os.utime(source, ns=(looked.st_mtime_ns, looked.st_mtime_ns + 1_000_000_000))
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        here, there = (
            placing.Place(directory=directory, name=name, path=name) for name in (b"x.jpg", b"copy.jpg")
        )
        placing._drop(here, there, order, copied=looked)
        assert tree(tmp_path) == {"x.jpg": edited, "copy.jpg": PHOTO}
        copied.write_bytes(edited)
        placing._drop(here, there, order, copied=looked)
    finally:
        os.close(directory)
    assert tree(tmp_path) == {"copy.jpg": edited}


@pytest.mark.parametrize("action", ["sidecar", "move", "copy"])
def test_a_delivery_needs_a_sidecar(tmp_path: Path, action: str) -> None:
    """To forget it is a bug of ours, and the file stays."""
    drop(tmp_path)
    with pytest.raises(ValueError, match="needs a sidecar"):
        delivery.deliver(an_order(tmp_path, action, document=None))
    assert tree(tmp_path) == {"x.jpg": PHOTO}


def test_a_move_needs_a_committed_destination(tmp_path: Path) -> None:
    """To forget it is a bug of ours, and touches nothing."""
    drop(tmp_path)
    with pytest.raises(ValueError, match="committed"):
        delivery.deliver(an_order(tmp_path, destination=None))


# Companions


def test_a_shared_companion_is_copied(tmp_path: Path) -> None:
    """The raw file that shares ``x.xmp`` keeps it; ``x.jpg.xmp`` goes."""
    for name in ("x.jpg", "x.cr2", "x.xmp", "x.jpg.xmp"):
        drop(tmp_path, name)
    delivery.deliver(an_order(tmp_path))
    expected = [
        "human/x.jpg",
        "human/x.jpg.identifai.json",
        "human/x.jpg.xmp",
        "human/x.xmp",
        "x.cr2",
        "x.xmp",
    ]
    assert expected == sorted(tree(tmp_path))


def test_companions_may_stay(tmp_path: Path) -> None:
    """Where the folder does not want them to go along they stay."""
    drop(tmp_path)
    drop(tmp_path, "x.xmp")
    delivery.deliver(an_order(tmp_path, companions=False))
    assert (tmp_path / "x.xmp").exists()


def test_a_companions_name_that_was_taken_is_numbered(tmp_path: Path) -> None:
    """The file is placed already; its companion follows as well as it can."""
    drop(tmp_path)
    drop(tmp_path, "x.xmp", b"caption")
    drop(tmp_path, "human/x.xmp", b"another's caption")
    delivery.deliver(an_order(tmp_path))
    assert (tmp_path / "human/x.xmp").read_bytes() == b"another's caption"
    assert (tmp_path / "human/x-2.xmp").read_bytes() == b"caption"


NAMES = st.binary(min_size=1, max_size=250).filter(
    lambda name: not {b"/", b"\0"} & {name[i : i + 1] for i in range(len(name))} and name not in (b".", b"..")
)


@settings(max_examples=40, deadline=None)
@given(NAMES)
def test_every_name_is_delivered(name: bytes) -> None:
    """Any bytes that a file may be called by arrive unchanged, with a sidecar."""
    with tempfile.TemporaryDirectory() as text:
        root = os.fsencode(text)
        path = root + b"/" + name
        Path(os.fsdecode(path)).write_bytes(PHOTO)
        order = an_order(Path(text), name=os.fsdecode(name), document=document("x", PHOTO))
        done = delivery.deliver(order)
        listed = sorted(os.fsencode(entry.name) for entry in Path(text, "human").iterdir())
        assert sorted([name, sidecar_name(name)]) == listed
        assert done.lies_at == b"human/" + name
        assert heatmap_name(name) not in listed
