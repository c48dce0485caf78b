"""The media that the tests use and the demonstration drops."""

import hashlib
from pathlib import Path

import identifai_watch

MEDIA = Path(__file__).parent / "media"
SAMPLES = Path(identifai_watch.__file__).parent / "samples"

# The formats that the vendor's pages name, and what they do not take.
TAKEN = [
    "png",
    "jpg",
    "jpeg",
    "gif",
    "webp",
    "tif",
    "tiff",
    "mp4",
    "mov",
    "webm",
    "mkv",
    "avi",
    "mpg",
    "ts",
    "3gp",
    "mxf",
    "wmv",
    "flv",
    "ogv",
    "m4v",
    "mp3",
    "wav",
    "ogg",
    "flac",
    "aac",
    "m4a",
    "m4b",
    "m4p",
    "m4r",
]
NOT_TAKEN = [
    "heic",
    "avif",
    "bmp",
    "wma",
    "aiff",
    "jxl",
    "psd",
    "amr",
    "cr2",
    "cr3",
    "nef",
    "arw",
    "dng",
    "raf",
    "rw2",
    "orf",
    "pef",
]


def test_there_is_a_small_file_of_each_format() -> None:
    """Each format has a sample under 20 kB; the two that are video or audio have one of each."""
    names = [f"sample.{extension}" for extension in TAKEN + NOT_TAKEN]
    sizes = [(MEDIA / name).stat().st_size for name in [*names, "sample-audio.mp4", "sample-audio.3gp"]]
    assert all(0 < size < 20_000 for size in sizes)


def test_no_two_samples_share_a_content() -> None:
    """A hash stands for one sample, or tests of duplicates would not mean what they say."""
    files = [path for path in [*MEDIA.glob("sample*"), *SAMPLES.iterdir()] if path.is_file()]
    assert len(files) == len({hashlib.sha256(path.read_bytes()).digest() for path in files})


def test_the_package_stays_small() -> None:
    """All that ships for the demonstration is under 200 kB."""
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 200_000
