"""What format are these first bytes? Answers by the names of ``core.media.FORMATS``.

Own matchers come first: they tell apart what shares a container (ISO-BMFF, RIFF, Ogg, Matroska, ASF, TIFF) and
know what the filetype library misses; the library knows the rest.
"""

import re
from collections.abc import Callable

HEAD = 8192
"""So many first bytes are needed."""

_FTYP_BRANDS = {
    b"qt  ": "mov",
    b"M4A ": "m4a",
    b"M4B ": "m4b",
    b"M4P ": "m4p",
    b"M4R ": "m4r",
    b"M4V ": "m4v",
    b"M4VH": "m4v",
    b"M4VP": "m4v",
    b"crx ": "cr3",
    b"avif": "avif",
    b"avis": "avif",
    b"heic": "heic",
    b"heix": "heic",
    b"heim": "heic",
    b"heis": "heic",
    b"hevc": "heic",
    b"hevx": "heic",
    b"mif1": "heic",
    b"msf1": "heic",
    b"jp2 ": "jp2",
    b"jpx ": "jp2",
    b"jxl ": "jxl",
    b"F4V ": "flv",
}
_QUICKTIME_ATOMS = frozenset({b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_AUDIO = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
_ASF_VIDEO = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_MXF_PACK = bytes.fromhex("060e2b34020501010d010201")
_MXF_RUN_IN = 65536
_OGG_VIDEO = (b"\x80theora", b"\x01video", b"BBCD")
_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"fLaC", "flac"),
    (b"8BPS", "psd"),
    (b"FUJIFILMCCD-RAW", "raf"),
    (b"FOVb", "x3f"),
    (b"IIRO", "orf"),
    (b"IIRS", "orf"),
    (b"MMOR", "orf"),
    (b"IIU\x00", "rw2"),
    (b"II\xbc", "jxr"),
    (b"\xff\x0a", "jxl"),
    (b"\x00\x00\x00\x0cJXL ", "jxl"),
    (b"\x00\x00\x00\x0cjP  ", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"v/1\x01", "exr"),
    (b"#!AMR", "amr"),
    (b"MAC ", "ape"),
    (b"wvpk", "wavpack"),
    (b"caff", "caf"),
    (b".snd", "au"),
    (b"DSD ", "dsf"),
    (b"FRM8", "dsf"),
    (b"FLV\x01", "flv"),
    (b"\x1f\x07\x00", "dv"),
    (b"%PDF-", "pdf"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"Rar!\x1a\x07", "rar"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x7fELF", "elf"),
    (b"\xff\xfe", "text"),  # UTF-16, by its byte order mark
    (b"\xfe\xff", "text"),
)
_FILETYPE_NAMES = {
    "image/bmp": "bmp",
    "image/x-icon": "ico",
    "image/x-xcf": "xcf",
    "audio/midi": "midi",
    "audio/x-aiff": "aiff",
}
_HTML = re.compile(rb"\s*(<!doctype html|<html|<head|<body)", re.IGNORECASE)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_PACKET = 188
# Bits per second in thousands, by the index in an MPEG audio header; index 0 is free, 15 forbidden.
_RATES_1 = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_RATES_2 = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLINGS = (44100, 48000, 32000)


def sniff(head: bytes) -> str | None:
    """Name the format of a file by its first ``HEAD`` bytes, None if they are of no known format."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    for matcher in _MATCHERS:
        found = matcher(head)
        if found is not None:
            return found
    return _by_filetype(head) or _text(head)


def _isobmff(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return _branded(head)
    # QuickTime before 2001 has no ftyp: it begins with any of its own atoms.
    return "mov" if head[4:8] in _QUICKTIME_ATOMS else None


def _branded(head: bytes) -> str:
    length = min(int.from_bytes(head[:4]), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    if brands[0] in {b"mif1", b"msf1"} and {b"avif", b"avis"} & set(brands):
        return "avif"
    if brands[0][:2] in {b"3g", b"kd"}:  # 3gp4 .. 3gp9, 3g2a .. 3g2c, kddi
        return "3gp"
    return _FTYP_BRANDS.get(brands[0], "mp4")


def _riff(head: bytes) -> str | None:
    if head[:4] not in {b"RIFF", b"RIFX", b"RF64", b"BW64"}:
        return None
    return {b"WAVE": "wav", b"WEBP": "webp", b"AVI ": "avi"}.get(head[8:12])


def _ogg(head: bytes) -> str | None:
    if not head.startswith(b"OggS"):
        return None
    return "ogv" if any(mark in head for mark in _OGG_VIDEO) else "ogg"


def _matroska(head: bytes) -> str | None:
    if not head.startswith(b"\x1aE\xdf\xa3"):
        return None
    return "webm" if b"webm" in head[:64] else "mkv"


def _asf(head: bytes) -> str | None:
    if not head.startswith(_ASF):
        return None
    return "wma" if _ASF_AUDIO in head and _ASF_VIDEO not in head else "wmv"


def _tiff(head: bytes) -> str | None:
    if head[:4] not in {b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"}:
        return None
    return "cr2" if head[8:10] == b"CR" else "tiff"


def _mpeg_stream(head: bytes) -> str | None:
    """MPEG program and elementary streams, and transport streams: plain, or with a time code of 4 bytes (M2TS)."""
    if head[:3] == b"\x00\x00\x01" and head[3:4] in {b"\xba", b"\xb3"}:
        return "mpeg"
    for lead in (0, 4):
        packets = range(lead, min(len(head), 5 * (_PACKET + lead)), _PACKET + lead)
        if len(packets) >= 3 and all(head[at] == 0x47 for at in packets):
            return "mpegts"
    return None


def _mxf(head: bytes) -> str | None:
    """SMPTE 377: the header partition's key, after up to 64 KiB of anything."""
    return "mxf" if _MXF_PACK in head[: _MXF_RUN_IN + 16] else None


def _sound(head: bytes) -> str | None:
    """MPEG audio, AAC and AC-3: a frame that is followed by another of its kind, or an ID3 tag before it."""
    if head.startswith(b"ID3"):
        return _after_id3(head)
    if head.startswith(b"ADIF"):
        return "aac"
    if head.startswith(b"\x0bw"):
        return "ac3"
    for name, measure in (("aac", _adts_length), ("mp3", _mpeg_audio_length)):
        length = measure(head[:6])
        if length is not None and (length + 6 > len(head) or measure(head[length : length + 6]) is not None):
            return name
    return None


def _adts_length(frame: bytes) -> int | None:
    """Give the length of an AAC frame in bytes, None if it is none (ISO/IEC 13818-7, 6.2)."""
    if len(frame) < 6 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0:
        return None
    length = (frame[3] & 0x03) << 11 | frame[4] << 3 | frame[5] >> 5
    return length if length > 6 else None


def _mpeg_audio_length(frame: bytes) -> int | None:
    """Give the length of an MPEG audio frame in bytes, None if it is none (ISO/IEC 11172-3, 2.4.1)."""
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return None
    version, layer = frame[1] >> 3 & 0x03, 4 - (frame[1] >> 1 & 0x03)  # version: 3 is 1, 2 is 2, 0 is 2.5
    rate, sampling = frame[2] >> 4, frame[2] >> 2 & 0x03
    if version == 1 or layer == 4 or rate in {0, 15} or sampling == 3:
        return None
    bits = 1000 * (_RATES_1 if version == 3 else _RATES_2)[layer][rate - 1]
    hertz = _SAMPLINGS[sampling] // {3: 1, 2: 2, 0: 4}[version]
    padding = frame[2] >> 1 & 1
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    return (72 if layer == 3 and version != 3 else 144) * bits // hertz + padding


def _after_id3(head: bytes) -> str:
    """Look behind an ID3 tag, whose length has 7 bits a byte; a tag that is longer than the head means MP3."""
    length = 0
    for byte in head[6:10]:
        length = length << 7 | byte & 0x7F
    following = head[10 + length :]
    if following.startswith(b"fLaC"):
        return "flac"
    return "aac" if _adts_length(following[:6]) is not None else "mp3"


def _by_filetype(head: bytes) -> str | None:
    # Imported here: only the daemon sniffs, and every command is to start quickly.
    import filetype  # noqa: PLC0415

    kind = filetype.guess(bytearray(head))
    return None if kind is None else _FILETYPE_NAMES.get(kind.mime)


def _text(head: bytes) -> str | None:
    if not head or _BINARY.search(head):
        return None
    if _HTML.match(head):
        return "html"
    if head.lstrip().startswith(b"<?xml"):
        return "xml"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character may be cut in two where the reading ended; elsewhere it is no UTF-8.
        is_cut = len(head) == HEAD and error.reason == "unexpected end of data"
        return "text" if is_cut else None
    return "text"


_MATCHERS: tuple[Callable[[bytes], str | None], ...] = (
    _isobmff,
    _riff,
    _ogg,
    _matroska,
    _asf,
    _tiff,
    _mpeg_stream,
    _mxf,
    _sound,
)
