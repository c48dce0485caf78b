"""What is mounted where, from the text of ``/proc/self/mountinfo``; reading that file is left to ``folder``."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "prl_fs",
        "pvfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
    }
)
_EVENTLESS = frozenset({"autofs", "proc", "sysfs"})
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of mountinfo: ``root`` is the directory of the file system that lies at ``point``."""

    mount_id: int
    root: bytes
    point: bytes
    fstype: str
    source: str


UNKNOWN = Mount(mount_id=0, root=b"/", point=b"/", fstype="unknown", source="unknown")
"""What a path lies on if mountinfo does not say, as in a chroot whose root is no mount point."""


def parse_mountinfo(text: str | bytes) -> tuple[Mount, ...]:
    """Read mountinfo, in its order; lines that are none are skipped.

    The kernel writes space, tab, newline and backslash as three octal digits and every other byte as it is,
    so ``text`` is bytes, or a str that was decoded with ``surrogateescape`` (proc(5)).
    """
    whole = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    mounts = (_mount(line) for line in whole.split(b"\n"))
    return tuple(mount for mount in mounts if mount is not None)


def mount_of(mounts: Iterable[Mount], path: bytes) -> Mount:
    """Say which mount the absolute and resolved ``path`` lies on: the longest point, of equals the last."""
    found = UNKNOWN
    for mount in mounts:
        if _holds(mount.point, path) and (found is UNKNOWN or len(mount.point) >= len(found.point)):
            found = mount
    return found


def below(mounts: Iterable[Mount], path: bytes) -> tuple[Mount, ...]:
    """Say what is mounted inside the tree at ``path``, without what ``path`` itself lies on.

    Of several mounts at one point only the last is there to be seen.
    """
    inside = {mount.point: mount for mount in mounts if mount.point != path and _holds(path, mount.point)}
    return tuple(inside.values())


def is_network(fstype: str) -> bool:
    """Say whether others may change such a file system without this kernel's knowledge.

    FUSE counts as network, for nothing tells what is behind it; ``fuseblk`` lies on a block device of ours.
    """
    return fstype in _NETWORK or fstype.startswith("fuse.")


def events_work(fstype: str) -> bool:
    """Say whether inotify tells of every change in such a file system."""
    return not is_network(fstype) and fstype not in _EVENTLESS


def identity(mount: Mount) -> str:
    """Name a file system so that it is known again after a reboot, which may change its device number."""
    return f"{mount.source} ({mount.fstype}, {_words(mount.root)})"


def _mount(line: bytes) -> Mount | None:
    head, separator, tail = line.partition(b" - ")
    fields, kind = head.split(b" "), tail.split(b" ")
    if not separator or len(fields) < 6 or len(kind) < 2 or not fields[0].isdigit():
        return None
    return Mount(
        mount_id=int(fields[0]),
        root=_unescaped(fields[3]),
        point=_unescaped(fields[4]),
        fstype=_words(kind[0]),
        source=_words(_unescaped(kind[1])),
    )


def _holds(point: bytes, path: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")


def _unescaped(field: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), field)


def _words(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
