"""The probe file: what may be done in a directory is found out by doing it, and nothing of it stays."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from identifai_watch.delivery.placing import rename
from identifai_watch.delivery.tree import Place
from identifai_watch.folder.look import has_writer

PREFIX = b".identifai-probe-"
"""A name that begins so is one of ours by the rules, so that no daemon ever looks at it."""

_CONTENT = b"Made by identifai-watch check, and removed at once.\n"


def place_in(directory: int) -> Place:
    """Return a place in an opened directory that nobody else has."""
    name = PREFIX + secrets.token_hex(8).encode()
    return Place(directory=directory, name=name, path=name)


@contextmanager
def probe(directory: int) -> Iterator[Place]:
    """Make the probe file in an opened directory, and remove it.

    Raises:
        OSError: It cannot be made, written, synced or removed.
    """
    place = place_in(directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(place.name, flags, 0o600, dir_fd=directory)
    try:
        try:
            os.write(descriptor, _CONTENT)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        yield place
    finally:
        os.unlink(place.name, dir_fd=directory)


def tells_writers(probed: Place) -> bool:
    """Tell whether the file system says who writes: while we do, and no longer once we have stopped."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    reader = os.open(probed.name, os.O_RDONLY | flags, dir_fd=probed.directory)
    try:
        writer = os.open(probed.name, os.O_WRONLY | flags, dir_fd=probed.directory)
        try:
            during = has_writer(reader)
        finally:
            os.close(writer)
        return during is True and has_writer(reader) is False
    finally:
        os.close(reader)


def rename_there_and_back(probed: Place, directory: int) -> None:
    """Rename the probe file into another opened directory as a delivery would, and back.

    Raises:
        OSError: ``EXDEV`` if that is another file system; whatever else the disk says.
    """
    there = place_in(directory)
    rename(probed, there)
    try:
        rename(there, probed)
    except OSError:
        with suppress(OSError):
            os.replace(there.name, probed.name, src_dir_fd=directory, dst_dir_fd=probed.directory)
        raise
