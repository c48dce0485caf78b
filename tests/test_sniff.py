"""What the first bytes say, and what a container says of its own length."""

import io
import os
import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identifai_watch.core.media import FORMATS
from identifai_watch.folder.containers import shortfall
from identifai_watch.folder.sniff import HEAD, sniff

MEDIA = Path(__file__).parent / "media"
SAMPLES = {
    "sample.png": "png",
    "sample.jpg": "jpeg",
    "sample.jpeg": "jpeg",
    "sample.gif": "gif",
    "sample.webp": "webp",
    "sample.tif": "tiff",
    "sample.tiff": "tiff",
    "sample.mp4": "mp4",
    "sample-audio.mp4": "mp4",
    "sample.mov": "mov",
    "sample-classic.mov": "mov",
    "sample.webm": "webm",
    "sample.mkv": "mkv",
    "sample.avi": "avi",
    "sample.mpg": "mpeg",
    "sample.ts": "mpegts",
    "sample.m2ts": "mpegts",
    "sample.3gp": "3gp",
    "sample.mxf": "mxf",
    "sample.wmv": "wmv",
    "sample.flv": "flv",
    "sample.ogv": "ogv",
    "sample.m4v": "m4v",
    "sample.mp3": "mp3",
    "sample-plain.mp3": "mp3",
    "sample.wav": "wav",
    "sample-rf64.wav": "wav",
    "sample.ogg": "ogg",
    "sample.opus": "ogg",
    "sample.flac": "flac",
    "sample.aac": "aac",
    "sample.m4a": "m4a",
    "sample.m4b": "m4b",
    "sample.m4p": "m4p",
    "sample.heic": "heic",
    "sample.avif": "avif",
    "sample.bmp": "bmp",
    "sample.wma": "wma",
    "sample.aiff": "aiff",
    "sample.amr": "amr",
    "sample.psd": "psd",
    "sample.jxl": "jxl",
    "sample.cr2": "cr2",
    "sample.cr3": "cr3",
    "sample.raf": "raf",
    "sample.rw2": "rw2",
    "sample.orf": "orf",
    "sample.nef": "tiff",
    "sample.arw": "tiff",
    "sample.dng": "tiff",
    "sample.pef": "tiff",
}
TELLING = [
    "sample.png",
    "sample.jpg",
    "sample.gif",
    "sample.webp",
    "sample.tiff",
    "sample.mp4",
    "sample.mov",
    "sample-classic.mov",
    "sample.3gp",
    "sample.m4a",
    "sample.webm",
    "sample.mkv",
    "sample.avi",
    "sample.wav",
    "sample-rf64.wav",
]


@pytest.fixture
def missing(tmp_path: Path) -> Callable[[bytes], str | None]:
    """Ask what is missing of a file with this content."""

    def ask(content: bytes) -> str | None:
        path = tmp_path / "file"
        path.write_bytes(content)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return shortfall(descriptor, sniff(content[:HEAD]), len(content))
        finally:
            os.close(descriptor)

    return ask


@pytest.mark.parametrize(("name", "expected"), SAMPLES.items())
def test_each_real_file_is_known_by_its_first_bytes(name: str, expected: str) -> None:
    """Files that real programs wrote."""
    assert expected == sniff((MEDIA / name).read_bytes()[:HEAD])


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"hello, world\n", "text"),
        ("für Zeitung\n".encode() * 1000, "text"),
        (b"\xff\xfeh\x00i\x00", "text"),
        (b"<!DOCTYPE html><p>", "html"),
        (b"  <HTML>", "html"),
        (b"<?xml version='1.0'?><a/>", "xml"),
        (b"%PDF-1.7\n", "pdf"),
        (b"PK\x03\x04rest", "zip"),
        (b"\x7fELF\x02", "elf"),
        (b"import x from 'y';\nGGGG" * 40, "text"),
        (b"", None),
        (b"\x00" * 8192, None),
        (b"\xff\xff\xff\xff", None),
        (b"\x01\x02\x03", None),
        (b"RIFF\x00\x00\x00\x00ABCD", None),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif", "avif"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "heic"),
        (b"\x00\x00\x00\x14ftypM4R \x00\x00\x00\x00isom", "m4r"),
        (b"\x00\x00\x00\x14ftyp3g2a\x00\x00\x00\x00isom", "3gp"),
        (b"\x00\x00\x00\x14ftypXAVC\x00\x00\x00\x00isom", "mp4"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x00fLaC", "flac"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x00\xff\xf1\x50\x80\x02\x1f", "aac"),
        (b"ID3\x04\x00\x00\x00\x7f\x7f\x7f", "mp3"),
        (b"ADIF....", "aac"),
        (b"\x0bw\x00\x00", "ac3"),
        (b"OggS" + bytes(24) + b"\x80theora", "ogv"),
        (b"MThd\x00\x00\x00\x06", "midi"),
    ],
)
def test_what_has_no_sample_is_known_by_its_mark(head: bytes, expected: str | None) -> None:
    """Text, archives, programs, brands and tags."""
    assert expected == sniff(head)


@given(st.binary(max_size=600))
def test_any_bytes_get_a_name_of_the_table_or_none(head: bytes) -> None:
    """Nothing raises, and no answer is unknown to core.media."""
    found = sniff(head)
    assert found is None or found in FORMATS


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_missing_of_a_whole_file(name: str, missing: Callable[[bytes], str | None]) -> None:
    """No program's way of writing is taken for half a file."""
    assert missing((MEDIA / name).read_bytes()) is None


@pytest.mark.parametrize("name", SAMPLES)
def test_bytes_after_the_end_are_nothing(name: str, missing: Callable[[bytes], str | None]) -> None:
    """Phones, editors and signers put something there, short or long."""
    whole = (MEDIA / name).read_bytes()
    assert missing(whole + b"appended") is None
    assert missing(whole + b"\x00" * 100) is None
    assert missing(whole + b"appended by a phone" * 10_000) is None


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_half_a_file_says_that_there_is_more(
    name: str, part: float, missing: Callable[[bytes], str | None]
) -> None:
    """These containers know their length or their end."""
    whole = (MEDIA / name).read_bytes()
    assert missing(whole[: int(len(whole) * part)]) is not None


def test_a_preallocated_file_says_that_there_is_more(missing: Callable[[bytes], str | None]) -> None:
    """The size is right, and behind the first part there are zeros."""
    for name in ("sample.jpg", "sample.png", "sample.mp4", "sample.mov"):
        whole = (MEDIA / name).read_bytes()
        half = len(whole) // 3
        assert missing(whole[:half] + bytes(len(whole) - half)) is not None, name


def box(kind: bytes, content: bytes = b"") -> bytes:
    """One ISO-BMFF box."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_boxes_are_walked_to_their_end(missing: Callable[[bytes], str | None]) -> None:
    """64-bit lengths, a box up to the end of the file, a moov at either end."""
    head = box(b"ftyp", b"isom\x00\x00\x00\x00isom")
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 100) + bytes(100)
    assert missing(head + box(b"moov") + large) is None
    assert missing(head + large + box(b"moov")) is None
    assert missing(head + box(b"moov") + large[:-1]) == "1 bytes of its mdat"
    assert missing(head + large) == "no moov"
    assert missing(head + struct.pack(">I4s", 0, b"mdat") + bytes(100)) == "no moov"
    assert missing(head + box(b"moov") + struct.pack(">I4s", 0, b"mdat") + bytes(100)) is None
    assert missing(head + struct.pack(">I4s", 3, b"free")) == "no moov"


def test_a_wav_that_is_being_recorded_has_no_length_yet(missing: Callable[[bytes], str | None]) -> None:
    """Recorders write it when they stop; one that writes to a pipe never knows it."""
    recorded = io.BytesIO()
    with wave.open(recorded, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1000))
    whole = recorded.getvalue()
    assert missing(whole) is None
    assert missing(whole[:4] + bytes(4) + whole[8:]) == "no length yet"
    assert missing(whole[:4] + b"\xff" * 4 + whole[8:]) is None
    assert missing(whole[:-10]) == "10 bytes of its RIFF chunk"


def test_a_thumbnail_in_a_jpeg_is_not_its_end(missing: Callable[[bytes], str | None]) -> None:
    """The end counts only after the picture's own scan has begun."""
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 6) + b"..\xff\xd9.."
    scan = b"\xff\xda\x00\x02" + bytes(300)
    assert missing(b"\xff\xd8" + thumbnail) == "no image data"
    assert missing(b"\xff\xd8" + thumbnail + scan) == "no end of image"
    assert missing(b"\xff\xd8" + thumbnail + b"\xff" + scan + b"\xff\xd9") is None


def test_a_long_jpeg_is_searched_to_its_end(missing: Callable[[bytes], str | None]) -> None:
    """Also where the end lies on the border of two windows, and a phone's video follows."""
    scan = b"\xff\xd8\xff\xda\x00\x02"
    for length in (65533, 65534, 65535, 65536, 200_000):
        assert missing(scan + bytes(length) + b"\xff\xd9" + bytes(300_000)) is None
    assert missing(scan + bytes(500_000)) == "no end of image"


def test_a_png_is_walked_when_its_end_is_far_away(missing: Callable[[bytes], str | None]) -> None:
    """Chunk by chunk, however much follows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    whole = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"IDAT", bytes(500)) + chunk(b"IEND", b"")
    )
    assert missing(whole + bytes(200_000)) is None
    assert missing(whole[:-12] + bytes(200_000)) == "no IEND"


def test_an_avi_over_a_gigabyte_has_several_riff_chunks(missing: Callable[[bytes], str | None]) -> None:
    """OpenDML: each is walked, and the last must be whole too."""
    first = b"RIFF" + struct.pack("<I", 4 + 101) + b"AVI " + bytes(102)
    second = b"RIFF" + struct.pack("<I", 4 + 50) + b"AVIX" + bytes(50)
    assert missing(first + second) is None
    assert missing(first + second[:-5]) == "5 bytes of its RIFF chunk"


def test_a_live_matroska_has_no_length(missing: Callable[[bytes], str | None]) -> None:
    """A segment of unknown length says nothing; one of known length does; one that is not there is to come."""
    head = b"\x1aE\xdf\xa3\x84webm"
    assert missing(head + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + bytes(50)) is None
    assert missing(head + b"\x18\x53\x80\x67\x88" + bytes(8)) is None
    assert missing(head + b"\x18\x53\x80\x67\x88" + bytes(6)) == "2 bytes of its segment"
    assert missing(head) == "no segment"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(TELLING), data=st.data())
def test_no_damage_makes_the_look_fail(
    name: str, data: st.DataObject, missing: Callable[[bytes], str | None]
) -> None:
    """A broken file is a reason to wait, never an error."""
    whole = bytearray((MEDIA / name).read_bytes())
    for _ in range(data.draw(st.integers(0, 8))):
        whole[data.draw(st.integers(12, len(whole) - 1))] = data.draw(st.integers(0, 255))
    missing(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
