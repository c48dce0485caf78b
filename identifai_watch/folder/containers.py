"""Is a container all there? A cheap look at its structure says why there must be more to come.

Only what a container says of its own length counts: bytes after its end are nothing, and of a structure that is
not known nothing is said. A broken container may stay broken for ever, so this is a reason to wait, never to
refuse.
"""

import os
from collections.abc import Callable

_TAIL = 65536
_MOST_BOXES = 20_000
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_BOXES = frozenset(
    {
        *(b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"PICT", b"udta", b"uuid", b"meta"),
        *(b"moof", b"mfra", b"styp", b"sidx", b"ssix", b"prft", b"emsg", b"pdin", b"junk"),
    }
)
_PNG_END = b"IEND\xaeB`\x82"


class _Window:
    """Bytes of an open file at any offset, read through a window of 64 KiB."""

    __slots__ = ("_begin", "_content", "_descriptor", "size")

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._begin = 0
        self._content = b""
        self.size = size

    def at(self, offset: int, length: int) -> bytes:
        """Give ``length`` bytes from ``offset``, fewer at the end of the file."""
        begin = offset - self._begin
        if begin < 0 or begin + length > len(self._content):
            self._content = os.pread(self._descriptor, max(_TAIL, length), offset)
            self._begin, begin = offset, 0
        return self._content[begin : begin + length]


def shortfall(descriptor: int, sniffed: str | None, size: int) -> str | None:
    """Say in a few words what is missing of a file of ``size`` bytes and the format ``sniffed``, None if nothing.

    Raises:
        OSError: it cannot be read.
    """
    check = _CHECKS.get(sniffed or "")
    return None if check is None else check(_Window(descriptor, size))


def _jpeg(window: _Window) -> str | None:
    """An end of image after the start of its scan; a thumbnail's own end lies before that."""
    begin = _jpeg_scan(window)
    if begin is None:
        return "no image data"
    tail = max(begin, window.size - _TAIL)
    if b"\xff\xd9" in window.at(tail, _TAIL):
        return None
    # Something long was put after the end, as phones do with a video: look for the end from the front.
    for offset in range(begin, tail, _TAIL - 1):
        if b"\xff\xd9" in window.at(offset, _TAIL):
            return None
    return "no end of image"


def _jpeg_scan(window: _Window) -> int | None:
    offset = 2
    while offset + 4 <= window.size:
        head = window.at(offset, 4)
        if head[0] != 0xFF:
            return offset  # not as it should be: take all that follows for the scan
        if head[1] == 0xDA:
            return offset
        if head[1] == 0xFF:
            offset += 1
        elif head[1] in _JPEG_BARE:
            offset += 2
        else:
            offset += 2 + int.from_bytes(head[2:4])
    return None


def _png(window: _Window) -> str | None:
    if _PNG_END in window.at(max(0, window.size - _TAIL), _TAIL):
        return None
    offset = 8
    while offset + 12 <= window.size:
        head = window.at(offset, 8)
        if head[4:8] == b"IEND":
            return None
        offset += 12 + int.from_bytes(head[:4])
    return "no IEND"


def _gif(window: _Window) -> str | None:
    """Walk its blocks to the trailer."""
    flags = window.at(10, 1)
    offset = 13 + _gif_colours(flags)
    while offset < window.size:
        introducer = window.at(offset, 1)
        if introducer == b"\x3b":
            return None
        if introducer == b"\x2c":
            offset = _gif_skip(window, offset + 11 + _gif_colours(window.at(offset + 9, 1)))
        elif introducer == b"\x21":
            offset = _gif_skip(window, offset + 2)
        else:
            return None  # not as it should be: nothing can be said
    return "no trailer"


def _gif_colours(flags: bytes) -> int:
    """The length of the colour table that these flags announce."""
    return 3 << (flags[0] & 0x07) + 1 if flags and flags[0] & 0x80 else 0


def _gif_skip(window: _Window, offset: int) -> int:
    """Skip sub-blocks up to the empty one."""
    while offset < window.size:
        length = window.at(offset, 1)[0]
        offset += 1 + length
        if length == 0:
            break
    return offset


def _riff(window: _Window) -> str | None:
    """Each RIFF chunk at the top, for a long AVI has several."""
    offset = 0
    while True:
        head = window.at(offset, 32)
        order = "big" if head[:4] == b"RIFX" else "little"
        if head[:4] not in {b"RIFF", b"RIFX", b"RF64", b"BW64"}:
            return None
        length = int.from_bytes(head[4:8], "big" if order == "big" else "little")
        if head[:4] in {b"RF64", b"BW64"} and head[12:16] == b"ds64":
            length = int.from_bytes(head[20:28], "little")
        if length == 0xFFFFFFFF:  # written to a pipe: it never knew
            return None
        if length == 0:
            return "no length yet"
        end = offset + 8 + length
        if end > window.size:
            return f"{end - window.size:,} bytes of its RIFF chunk"
        offset = end + end % 2


def _isobmff(window: _Window) -> str | None:
    """Walk the boxes at the top (ISO/IEC 14496-12, 4.2): a moov must be there, and the last must be whole."""
    offset = 0
    has_moov = False
    for _ in range(_MOST_BOXES):
        head = window.at(offset, 16)
        kind = head[4:8]
        if len(head) < 8 or kind not in _BOXES:
            break
        has_moov = has_moov or kind == b"moov"
        length = int.from_bytes(head[:4])
        if length == 0:  # up to the end of the file
            break
        if length == 1:
            length = int.from_bytes(head[8:16])
        if length < 8:
            break
        offset += length
        if offset > window.size:
            return f"{offset - window.size:,} bytes of its {kind.decode('ascii')}"
    else:
        return None
    return None if has_moov else "no moov"


def _matroska(window: _Window) -> str | None:
    """The segment behind the EBML header, unless its length is unknown, as in a live recording."""
    header, at = _vint(window, 4)
    if header is None or window.at(at + header, 4) != b"\x18\x53\x80\x67":
        return None if header is None or at + header + 4 <= window.size else "no segment"
    length, begin = _vint(window, at + header + 4)
    missing = 0 if length is None else begin + length - window.size
    return f"{missing:,} bytes of its segment" if missing > 0 else None


def _vint(window: _Window, offset: int) -> tuple[int | None, int]:
    """Read an EBML length and say where it ends; None stands for an unknown or unreadable one (RFC 8794, 4)."""
    first = window.at(offset, 1)
    if not first or first[0] == 0:
        return None, offset + 1
    width = 9 - first[0].bit_length()
    value = int.from_bytes(window.at(offset, width)) & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), offset + width


def _tiff(window: _Window) -> str | None:
    """The first directory, which most programs write last."""
    head = window.at(0, 8)
    directory = int.from_bytes(head[4:8], "little" if head[:2] == b"II" else "big")
    is_classic = head[2:4] in {b"*\x00", b"\x00*"}
    return "no directory" if is_classic and directory + 2 > window.size else None


_CHECKS: dict[str, Callable[[_Window], str | None]] = {
    "jpeg": _jpeg,
    "png": _png,
    "gif": _gif,
    "webp": _riff,
    "wav": _riff,
    "avi": _riff,
    "tiff": _tiff,
    "webm": _matroska,
    "mkv": _matroska,
    **dict.fromkeys(("mp4", "mov", "m4v", "3gp", "m4a", "m4b", "m4p", "m4r"), _isobmff),
}
