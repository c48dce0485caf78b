"""One upload: a file as a multipart body, which is never completed unless it is still what was to be sent."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from urllib3.filepost import choose_boundary, encode_multipart_formdata

from identifai_watch.core.model import Media

_BLOCK = 1024 * 1024


class Cancelled(Exception):  # noqa: N818 - it is no error: the caller chose it
    """The request is ended before all of it was sent; raise it from ``depart`` to keep one from leaving."""


class Source(Protocol):
    """What an upload is read from."""

    def read(self, most: int, /) -> bytes:
        """Return the next bytes, at most ``most``; none at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One content to send.

    ``file`` stands at its first byte and is closed by the caller; ``size`` is in bytes. ``verify`` gets the SHA-256
    of the bytes sent, before the closing boundary is written, and says whether they are still what was asked to be
    sent. ``progress`` gets the number of bytes of each block written.
    """

    file: Source
    name: str
    mime: str
    size: int
    verify: Callable[[bytes], bool]
    progress: Callable[[int], None] | None = None


class Body:
    """A multipart body of known length that reads its file while it is sent; on purpose it can be sent only once."""

    def __init__(self, media: Media, upload: Upload, options: Mapping[str, str]) -> None:
        boundary = choose_boundary()
        fields: list[Any] = [(name, _carried(value)) for name, value in sorted(options.items())]
        fields.append((media.value, (_carried(upload.name), b"", upload.mime)))
        encoded, self.content_type = encode_multipart_formdata(fields, boundary)
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._head = encoded.removesuffix(self._tail)
        self._upload = upload
        self.is_sent = False

    def __len__(self) -> int:
        return len(self._head) + self._upload.size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        digest = hashlib.sha256()
        left = self._upload.size
        while left:
            block = self._next_block(min(left, _BLOCK))
            digest.update(block)
            yield block
            left -= len(block)
            if self._upload.progress is not None:
                self._upload.progress(len(block))
        self._verify(digest.digest())
        self.is_sent = True  # from here on it may have arrived
        yield self._tail

    def _next_block(self, most: int) -> bytes:
        try:
            block = self._upload.file.read(most)
        except OSError as error:
            raise Cancelled(f"the file cannot be read: {error.strerror}") from error
        if not block:
            raise Cancelled("the file changed while it was sent: it became shorter")
        return block

    def _verify(self, digest: bytes) -> None:
        try:
            is_same = self._upload.verify(digest)
        except OSError as error:
            raise Cancelled(f"the file cannot be looked at: {error.strerror}") from error
        if not is_same:
            raise Cancelled("the file changed while it was sent")


def _carried(value: str) -> str:
    """Write what UTF-8 cannot carry, a lone surrogate, as ``?``."""
    return value.encode("utf-8", "replace").decode("utf-8")
