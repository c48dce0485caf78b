"""Make the media of this directory: ``python make.py``, with ffmpeg on the PATH.

One small real file for each format that identifAI takes, one for each that it does not take, and headers of
camera raw files that are true as far as a sniffer reads. Each has content of its own, so that no two share a
hash. The bytes depend on ffmpeg's version; no test may depend on them.
"""

import struct
import subprocess
from pathlib import Path

HERE = Path(__file__).parent

# What each file is made from, by name: "picture", "film", "sound", or "both"; then ffmpeg's arguments for the output.
ENCODED: dict[str, tuple[str, str]] = {
    "sample.png": ("picture", "-c:v png"),
    "sample.jpg": ("picture", "-c:v mjpeg -pix_fmt yuvj420p -q:v 5"),
    "sample.jpeg": ("picture", "-c:v mjpeg -pix_fmt yuvj444p -q:v 8"),
    "sample.gif": ("picture", "-c:v gif"),
    "sample.webp": ("picture", "-c:v libwebp -quality 60"),
    "sample.tif": ("picture", "-c:v tiff -pix_fmt rgb24 -compression_algo deflate"),
    "sample.tiff": ("picture", "-c:v tiff -pix_fmt rgb24 -compression_algo lzw"),
    "sample.avif": ("picture", "-c:v libaom-av1 -cpu-used 8 -still-picture 1 -f avif"),
    "sample.bmp": ("picture", "-c:v bmp"),
    "sample.jxl": ("picture", "-c:v libjxl -f image2"),
    "sample.mp4": ("both", "-c:v libx264 -pix_fmt yuv420p -c:a aac -b:a 32k"),
    "sample.m4v": ("film", "-c:v libx264 -pix_fmt yuv420p -f ipod"),
    "sample.mov": ("film", "-c:v mpeg4 -q:v 8 -f mov"),
    "sample.webm": ("film", "-c:v libvpx -b:v 60k"),
    "sample.mkv": ("film", "-c:v libx264 -pix_fmt yuv420p"),
    "sample.avi": ("film", "-c:v mpeg4 -q:v 10"),
    "sample.mpg": ("film", "-c:v mpeg1video -q:v 8 -r 25 -f mpeg"),
    "sample.mpeg": ("film", "-c:v mpeg2video -q:v 8 -r 25 -f vob"),
    "sample.ts": ("film", "-c:v mpeg2video -q:v 8 -r 25 -f mpegts"),
    "sample.m2ts": ("film", "-c:v libx264 -pix_fmt yuv420p -f mpegts -mpegts_m2ts_mode 1"),
    "sample.3gp": ("film", "-c:v h263 -s 128x96 -q:v 10 -f 3gp"),
    "sample.mxf": ("film", "-c:v mpeg2video -q:v 31 -r 25 -frames:v 2 -f mxf"),
    "sample.wmv": ("film", "-c:v wmv2 -q:v 10 -f asf"),
    "sample.flv": ("film", "-c:v flv1 -q:v 10"),
    "sample.ogv": ("film", "-c:v libtheora -q:v 3"),
    "sample.mp3": ("sound", "-c:a libmp3lame -b:a 32k"),
    "sample-plain.mp3": ("sound", "-ar 44100 -c:a libmp3lame -b:a 32k -id3v2_version 0 -write_xing 0"),
    "sample.wav": ("sound", "-c:a pcm_s16le"),
    "sample-rf64.wav": ("sound", "-c:a pcm_s16le -rf64 always"),
    "sample.ogg": ("sound", "-c:a libvorbis -q:a 0"),
    "sample.flac": ("sound", "-c:a flac"),
    "sample.aac": ("sound", "-c:a aac -b:a 24k -f adts"),
    "sample-audio.3gp": ("sound", "-c:a aac -b:a 24k -f 3gp"),
    "sample.m4a": ("sound", "-c:a aac -b:a 24k -f ipod"),
    "sample-audio.mp4": ("sound", "-c:a aac -b:a 24k -f mp4"),
    "sample.wma": ("sound", "-c:a wmav2 -b:a 24k -f asf"),
    "sample.aiff": ("sound", "-c:a pcm_s16be -f aiff"),
    "sample.opus": ("sound", "-c:a libopus -b:a 16k -f ogg"),
    "sample.au": ("sound", "-c:a pcm_mulaw -f au"),
}
# The iTunes relatives of M4A differ in their brand only, and the content must differ too.
BRANDED = {"sample.m4b": b"M4B ", "sample.m4p": b"M4P ", "sample.m4r": b"M4A "}


def encode(target: Path, kind: str, arguments: str, number: int) -> None:
    """Have ffmpeg make ``target`` from a test picture whose hue, or a tone whose pitch, is ``number``'s own.

    Dates and version names, which would change with each run, are left out.
    """
    inputs: list[str] = []
    if kind != "sound":
        inputs += ["-f", "lavfi", "-i", f"testsrc2=size=64x64:rate=10,hue=h={number * 7}"]
    if kind in {"sound", "both"}:
        inputs += ["-f", "lavfi", "-i", f"sine=frequency={220 + 11 * number}:sample_rate=8000"]
    length = ["-frames:v", "1"] if kind == "picture" else ["-t", "0.5"]
    exact = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
    command = ["ffmpeg", "-v", "error", "-y", *inputs, *length, *arguments.split(), *exact, str(target)]
    subprocess.run(command, check=True)


def box(kind: bytes, *content: bytes) -> bytes:
    """Return one box of an ISO base media file."""
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, flags: int, *content: bytes) -> bytes:
    """Return a box with version 0 and ``flags``."""
    return box(kind, struct.pack(">I", flags), *content)


def carve(data: bytes, kind: bytes) -> bytes:
    """Return the first box called ``kind`` in ``data``, with its header."""
    start = data.index(kind) - 4
    (size,) = struct.unpack_from(">I", data, start)
    return data[start : start + size]


def make_heic(target: Path) -> None:
    """Write one HEVC picture as HEIC; ffmpeg 5 has the encoder but no muxer for it."""
    film = target.with_suffix(".film")
    encode(
        film, "picture", "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p -tag:v hvc1 -f mp4", 60
    )
    data = film.read_bytes()
    film.unlink()
    coded = carve(data, b"mdat")[8:]
    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")

    def meta(offset: int) -> bytes:
        place = struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, offset, len(coded))
        entry = full_box(b"infe", 2 << 24, struct.pack(">HH", 1, 0), b"hvc1\0")
        properties = box(b"ipco", carve(data, b"hvcC"), full_box(b"ispe", 0, struct.pack(">II", 64, 64)))
        uses = full_box(b"ipma", 0, struct.pack(">IHBBB", 1, 1, 2, 0x81, 2))
        return full_box(
            b"meta",
            0,
            full_box(b"hdlr", 0, bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", 0, struct.pack(">H", 1)),
            full_box(b"iloc", 0, place),
            full_box(b"iinf", 0, struct.pack(">H", 1), entry),
            box(b"iprp", properties, uses),
        )

    offset = len(head) + len(meta(0)) + 8
    target.write_bytes(head + meta(offset) + box(b"mdat", coded))


def make_classic_quicktime(target: Path) -> None:
    """Write a QuickTime film as it was before ``ftyp`` came: it begins with ``wide`` and ``mdat``."""
    encode(target, "film", "-c:v mpeg4 -q:v 8 -f mov", 61)
    data = target.read_bytes()
    (cut,) = struct.unpack_from(">I", data, 0)
    data = bytearray(data[cut:])
    table = data.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", data, table)
    for place in range(table + 4, table + 4 + 4 * count, 4):
        (offset,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, offset - cut)
    target.write_bytes(data)


def tiff(order: str, mark: bytes, make: bytes, extra: dict[int, bytes] | None = None) -> bytes:
    """Return a TIFF of one grey pixel with the camera's ``make``; ``mark`` is what follows the byte order."""
    first = 8 if len(mark) == 2 else 16
    words = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1, 279: 1}
    texts = {271: make + b"\0"}
    count = len(words) + len(texts) + len(extra or {}) + 1
    after = first + 2 + 12 * count + 4
    entries: dict[int, bytes] = {
        tag: struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in words.items()
    }
    entries[271] = struct.pack(f"{order}HHII", 271, 2, len(texts[271]), after)
    entries[273] = struct.pack(f"{order}HHII", 273, 4, 1, after + len(texts[271]))
    for tag, value in (extra or {}).items():
        entries[tag] = struct.pack(f"{order}HHI", tag, 1, 4) + value
    name = b"II" if order == "<" else b"MM"
    lead = name + (mark[:2] + struct.pack(f"{order}I", first) + mark[2:]).ljust(first - 2, b"\0")
    directory = struct.pack(f"{order}H", count) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return lead + directory + texts[271] + b"\x7f"


def raws() -> dict[str, bytes]:
    """Return camera raw files that are true in what a sniffer reads: byte order, marks, maker and brand."""
    fuji = b"FUJIFILMCCD-RAW 0201FF383501X-T30" + bytes(27) + b"0100" + bytes(60)
    return {
        "sample.cr2": tiff("<", b"*\0CR\x02\0", b"Canon"),
        "sample.cr3": box(b"ftyp", b"crx ", struct.pack(">I", 1), b"crx isom")
        + box(b"moov", box(b"free", b"CR3")),
        "sample.nef": tiff(">", b"\0*", b"NIKON CORPORATION"),
        "sample.arw": tiff("<", b"*\0", b"SONY"),
        "sample.dng": tiff("<", b"*\0", b"Leica Camera AG", {50706: bytes([1, 4, 0, 0])}),
        "sample.raf": fuji,
        "sample.rw2": tiff("<", b"U\0", b"Panasonic"),
        "sample.orf": tiff("<", b"RO", b"OLYMPUS CORPORATION"),
        "sample.pef": tiff(">", b"\0*", b"PENTAX"),
    }


def others() -> dict[str, bytes]:
    """Return what ffmpeg cannot write here: an AMR of silence and a Photoshop file of one grey pixel."""
    return {
        "sample.amr": b"#!AMR\n" + (b"\x3c" + bytes(31)) * 25,
        "sample.psd": b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 1, 1, 8, 1) + bytes(12) + b"\0\0\x7f",
    }


def main() -> None:
    """Make every file anew."""
    for number, (name, (kind, arguments)) in enumerate(ENCODED.items()):
        encode(HERE / name, kind, arguments, number)
    for number, (name, brand) in enumerate(BRANDED.items(), start=80):
        encode(HERE / name, "sound", "-c:a aac -b:a 24k -f ipod", number)
        data = (HERE / name).read_bytes()
        (HERE / name).write_bytes(data[:8] + brand + data[12:])
    make_heic(HERE / "sample.heic")
    make_classic_quicktime(HERE / "sample-classic.mov")
    for name, data in {**raws(), **others()}.items():
        (HERE / name).write_bytes(data)


if __name__ == "__main__":
    main()
