"""A small real PNG that stands for the vendor's heatmap."""

import struct
import zlib

_CELLS = 8
_SCALE = 8


def png(digest: bytes) -> bytes:
    """Return a PNG of 64 x 64 pixels whose 8 x 8 cells glow as the 32 bytes of ``digest`` say."""
    rows = []
    for row in range(_CELLS * _SCALE):
        cells = (digest[(row // _SCALE * _CELLS + column) % len(digest)] for column in range(_CELLS))
        rows.append(b"\0" + b"".join(bytes((heat, heat // 3, 64 - heat // 4)) * _SCALE for heat in cells))
    side = _CELLS * _SCALE
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
            _chunk(b"IDAT", zlib.compress(b"".join(rows))),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
