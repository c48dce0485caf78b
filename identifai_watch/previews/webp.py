"""Is it a small WebP picture? Asked of what the decoding process answers, and of what the cache holds.

Nothing is decoded here: container, length and measures are read (RFC 9649).
"""

from dataclasses import dataclass

MIME = "image/webp"

EDGE = 320
"""Pixels of the longer side, at most."""

MOST_BYTES = 64 * 1024

_HEAD = 30
"""Bytes that the measures stand in, in each of the three kinds of first chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A picture of type ``MIME``, at most ``EDGE`` pixels wide and high."""

    content: bytes
    width: int
    height: int


def thumbnail(content: bytes) -> Thumbnail | None:
    """Return what ``content`` shows, None if it is no whole WebP picture, or one that is too large."""
    if not (_HEAD <= len(content) <= MOST_BYTES and content[:4] == b"RIFF" and content[8:12] == b"WEBP"):
        return None
    if int.from_bytes(content[4:8], "little") + 8 != len(content):
        return None
    measures = _measures(content)
    if measures is None or not all(1 <= side <= EDGE for side in measures):
        return None
    return Thumbnail(content=content, width=measures[0], height=measures[1])


def _measures(content: bytes) -> tuple[int, int] | None:
    match content[12:16]:
        case b"VP8 " if content[23:26] == b"\x9d\x01\x2a":
            return _low(content[26:28], 14), _low(content[28:30], 14)
        case b"VP8L" if content[20] == 0x2F:
            bits = int.from_bytes(content[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return _low(content[24:27], 24) + 1, _low(content[27:30], 24) + 1
        case _:
            return None


def _low(number: bytes, bits: int) -> int:
    return int.from_bytes(number, "little") & (1 << bits) - 1
