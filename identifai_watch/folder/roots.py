"""What does a folder lie on? Its root's file system, what is mounted below it, and whether events work there."""

import os
from dataclasses import dataclass

from identifai_watch.core.mounts import (
    Mount,
    below,
    events_work,
    identity,
    is_network,
    mount_of,
    parse_mountinfo,
)
from identifai_watch.folder.opening import open_root, translated


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A root as it is now; ``path`` is resolved.

    ``identity`` names its file system for ever, ``inode`` changes when the directory is made anew. ``scanned``
    are the mounts in the tree, itself included, whose changes no event tells. ``network`` is whether any file
    in the tree lies on a network file system.
    """

    path: bytes
    identity: str
    inode: int
    network: bool
    scanned: tuple[Mount, ...]


def read_mounts() -> tuple[Mount, ...]:
    """Read what is mounted now, as this process sees it."""
    descriptor = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    with open(descriptor, "rb") as mountinfo:  # noqa: PTH123  (a descriptor has no path)
        return parse_mountinfo(mountinfo.read())


def inspect_root(root: bytes) -> Root:
    """Look at a folder's root.

    Raises:
        FolderError: it is not there, is no directory, may not be listed or does not answer.
    """
    descriptor = open_root(root)
    try:
        inode = os.fstat(descriptor).st_ino
        with os.scandir(descriptor) as entries:
            next(entries, None)
    except OSError as error:
        raise translated(error) from error
    finally:
        os.close(descriptor)
    path = os.path.realpath(root)
    mounts = read_mounts()
    own = mount_of(mounts, path)
    tree = (own, *below(mounts, path))
    return Root(
        path=path,
        identity=identity(own),
        inode=inode,
        network=any(is_network(mount.fstype) for mount in tree),
        scanned=tuple(mount for mount in tree if not events_work(mount.fstype)),
    )
