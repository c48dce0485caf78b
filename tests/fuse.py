"""A mount that is broken: a FUSE file system that answers whatever is asked of it with one error."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

_DETACH = 2
_INIT, _WITHOUT_ANSWER = 26, {2, 36, 42}
"""Requests of <linux/fuse.h>: the first one, and those that nobody answers (forget, interrupt, batch forget)."""

_INIT_ANSWER = struct.Struct("<IIIIHHIIHHI28x")
_LONGEST = 1 << 17


@contextmanager
def broken_mount(point: Path, error: int) -> Iterator[None]:
    """Mount something at ``point`` that answers each question with the error number ``error``.

    Skips the test where that is not allowed: it takes /dev/fuse and the right to mount.
    """
    point.mkdir(exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as refused:
        pytest.skip(f"/dev/fuse cannot be opened: {refused.strerror}")
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    if libc.mount(b"broken", os.fsencode(point), b"fuse.broken", 0, options.encode()) != 0:
        os.close(device)
        pytest.skip(f"it is not allowed to mount: {os.strerror(ctypes.get_errno())}")
    thread = Thread(target=_answer, args=(device, error))
    thread.start()
    try:
        yield
    finally:
        libc.umount2(os.fsencode(point), _DETACH)
        thread.join()
        os.close(device)


def _answer(device: int, error: int) -> None:
    """Answer until the file system is unmounted, which ends the reading with an error."""
    while True:
        try:
            request = os.read(device, _LONGEST)
        except OSError:
            return
        _, operation, unique = struct.unpack_from("<IIQ", request)
        if operation == _INIT:
            body = _INIT_ANSWER.pack(7, 31, 0, 0, 12, 9, 4096, 1, 0, 0, 0)
            os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
        elif operation not in _WITHOUT_ANSWER:
            os.write(device, struct.pack("<IiQ", 16, -error, unique))
