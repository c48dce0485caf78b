"""The confined process: ``python -m identifai_watch.previews.worker SOCKET PARENT``.

It is given descriptors, one at a time, and answers each with one message: ``MADE`` and a picture, or one of the other
words. It never opens a path. A file on which it fails altogether ends it, which its parent sees.
"""

import io
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, BinaryIO

from identifai_watch.core.model import Media
from identifai_watch.previews import cage, pictures, streams
from identifai_watch.previews.decoder import MADE, READY, REFUSED, UNREAD

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FILE_SECONDS = 20
"""Of processor for one file. The parent is stricter, by the clock; this ends it where the parent cannot."""

_KINDS: Mapping[bytes, Callable[[BinaryIO], bytes]] = {
    Media.IMAGE.encode(): pictures.image,
    Media.VIDEO.encode(): streams.video,
    Media.AUDIO.encode(): streams.audio,
}


class Source(io.FileIO):
    """A descriptor that was given; it remembers that reading failed, which decoders take for a broken file."""

    has_failed = False

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        """Read into ``buffer``."""
        try:
            return super().readinto(buffer)
        except OSError:
            self.has_failed = True
            raise


def main() -> None:
    """Serve until the parent hangs up."""
    number, parent = (int(word) for word in sys.argv[1:])
    cage.end_with(parent)
    pictures.prepare()
    with socket.socket(fileno=number) as line:
        cage.confine()
        line.send(READY)
        while True:
            kind, descriptors, _, _ = socket.recv_fds(line, 16, 1)
            if not descriptors:
                return
            signal.setitimer(signal.ITIMER_PROF, FILE_SECONDS)
            line.send(_answer(kind, descriptors[0]))


def _answer(kind: bytes, descriptor: int) -> bytes:
    with Source(descriptor) as source, io.BufferedReader(source) as file:
        try:
            before = os.fstat(descriptor)
            made = _KINDS[kind](file)
            after = os.fstat(descriptor)
        except Exception:  # noqa: BLE001 - decoders raise whatever a stranger's bytes bring them to
            return UNREAD if source.has_failed else REFUSED
    is_same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return MADE + made if is_same else UNREAD


if __name__ == "__main__":
    main()
