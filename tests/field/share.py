"""A share as a server has it: its files come and change behind the kernel's back, and no event tells of that."""

import errno
import os
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path

from tests.hung import fuse_mount

ROOT = 1
_UNCACHED = 1


class Ask(IntEnum):
    """What the kernel asks for (fuse_opcode of <linux/fuse.h>), as far as it is answered."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    RELEASE = 18
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    INTERRUPT = 36
    BATCH_FORGET = 42


UNANSWERED = frozenset({Ask.FORGET, Ask.INTERRUPT, Ask.BATCH_FORGET})


class Share:
    """Files of one directory, as another client of the server puts them there; on this side it is read-only."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, int] = {}
        self._contents: dict[int, bytes] = {}

    def put(self, name: str, content: bytes) -> None:
        """Put a file there, whole and at once, or another in its place."""
        node = ROOT + 1 + len(self._contents)
        self._contents[node] = content
        self._nodes[name.encode()] = node

    def serve(self, device: int) -> None:
        """Answer until it is unmounted."""
        with suppress(OSError):  # by an error the end is told
            while True:
                self._take(device, os.read(device, 1 << 17))

    def _take(self, device: int, request: bytes) -> None:
        _, kind, unique, node = struct.unpack_from("<IIQQ", request)
        if kind in UNANSWERED:
            return
        answer = self._answer(kind, node, request[40:])
        number, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
        os.write(device, struct.pack("<IiQ", 16 + len(body), number, unique) + body)

    def _answer(self, kind: int, node: int, asked: bytes) -> bytes | int:
        """Return the answer to one request, or the number of its error; nothing of it may be kept for later."""
        match kind:
            case Ask.LOOKUP:
                found = self._nodes.get(asked.rstrip(b"\0"))
                if found is None:
                    return errno.ENOENT
                return struct.pack("<QQ24x", found, 0) + self._attributes(found)
            case Ask.GETATTR:
                return bytes(16) + self._attributes(node)
            case Ask.OPEN | Ask.OPENDIR:
                return struct.pack("<QII", 0, _UNCACHED, 0)
            case Ask.READ:
                offset, size = struct.unpack_from("<8xQI", asked)
                return self._contents[node][offset : offset + size]
            case Ask.READDIR:
                (offset,) = struct.unpack_from("<8xQ", asked)
                return b"" if offset else self._listing()
            case Ask.RELEASE | Ask.RELEASEDIR:
                return b""
            case _:
                return errno.ENOSYS

    def _attributes(self, node: int) -> bytes:
        """Pack a fuse_attr; what is put in place of another file is of another time."""
        mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o644
        size = len(self._contents.get(node, b""))
        owner = (mode, 1, os.getuid(), os.getgid())
        return struct.pack("<6Q10I", node, size, 0, node, node, node, 0, 0, 0, *owner, 0, 4096, 0)

    def _listing(self) -> bytes:
        """Pack all of it as fuse_dirents, which is enough for a few files."""
        entries = [
            struct.pack("<QQII", node, position, len(name), stat.S_IFREG >> 12) + name + bytes(-len(name) % 8)
            for position, (name, node) in enumerate(self._nodes.items(), 1)
        ]
        return b"".join(entries)


@contextmanager
def share(point: Path) -> Iterator[Share]:
    """Mount a share at ``point``; skips the test where that is not allowed."""
    served = Share()
    with fuse_mount(point, "share") as device:
        server = threading.Thread(target=served.serve, args=(device,), daemon=True)
        server.start()
        yield served
    server.join(10)
    assert not server.is_alive(), "the share is still in use"
