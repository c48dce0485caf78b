"""A mount that hangs: a FUSE file system that says it is there and answers nothing after that, as a dead server does."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_DETACH = 2
_INIT_ANSWER = struct.Struct("<IIIIHHIIHHI28x")
"""fuse_init_out of <linux/fuse.h>, version 7.31."""


@contextmanager
def hung_mount(point: Path) -> Iterator[None]:
    """Mount something at ``point`` that nobody can look at; whoever waits for it is freed with an error at the end.

    No request is even read, so that those who made it can be killed.
    """
    with fuse_mount(point, "hung"):
        yield


@contextmanager
def fuse_mount(point: Path, name: str) -> Iterator[int]:
    """Mount the file system ``fuse.NAME`` at ``point``, and lend the device on which its requests are to be answered.

    The first of them is. Skips the test where that is not allowed: it takes /dev/fuse and the right to mount.
    """
    point.mkdir(exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"/dev/fuse cannot be opened: {error.strerror}")
    try:
        options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        if libc.mount(name.encode(), os.fsencode(point), f"fuse.{name}".encode(), 0, options.encode()) != 0:
            pytest.skip(f"it is not allowed to mount: {os.strerror(ctypes.get_errno())}")
        try:
            _say_hello(device)
            yield device
        finally:
            libc.umount2(os.fsencode(point), _DETACH)
    finally:
        os.close(device)  # the kernel now ends whatever waits


def _say_hello(device: int) -> None:
    """Answer the first request, which is INIT."""
    _, _, unique = struct.unpack_from("<IIQ", os.read(device, 1 << 17))
    body = _INIT_ANSWER.pack(7, 31, 0, 0, 12, 9, 4096, 1, 0, 0, 0)
    os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
