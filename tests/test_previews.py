"""Thumbnails: what they show, and what strangers' files cannot do to the process that makes them."""

import io
import os
import socket
import struct
import subprocess
import sys
import threading
import wave
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from math import sin
from pathlib import Path

import av
import pytest
from PIL import Image, ImageCms

from identifai_watch.core.model import Media
from identifai_watch.previews.cage import LIFE_SECONDS, MEMORY
from identifai_watch.previews.decoder import Decoder, Failure
from identifai_watch.previews.webp import EDGE, thumbnail
from tests.harness import MEDIA, wait_for

RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)
NOW = timedelta(0)
SOON = timedelta(seconds=60)

AUDIO = frozenset(
    ["aac", "aiff", "amr", "au", "flac", "m4a", "m4b", "m4p", "m4r", "mp3", "ogg", "opus", "wav", "wma"]
)
VIDEO = frozenset(
    [
        "3gp",
        "avi",
        "flv",
        "m2ts",
        "m4v",
        "mkv",
        "mov",
        "mp4",
        "mpeg",
        "mpg",
        "mxf",
        "ogv",
        "ts",
        "webm",
        "wmv",
    ]
)
ICONS = frozenset(["cr3", "heic", "jxl", "orf", "raf", "rw2"])
"""Formats that Pillow does not know: the page shows an icon."""


def kind_of(sample: Path) -> Media:
    """Return what a sample is, by its name."""
    extension = sample.suffix[1:]
    if extension in AUDIO or "audio" in sample.name:
        return Media.AUDIO
    return Media.VIDEO if extension in VIDEO else Media.IMAGE


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """Lend one confined process."""
    decoder = Decoder(30)
    yield decoder
    decoder.stop()


@pytest.fixture
def made(decoder: Decoder, tmp_path: Path) -> Callable[[bytes, Media], Image.Image | Failure]:
    """Return what asks the confined process for a picture of some bytes."""

    def make(content: bytes, media: Media = Media.IMAGE) -> Image.Image | Failure:
        path = tmp_path / "file"
        path.write_bytes(content)
        answer = decode(decoder, path, media)
        return answer if isinstance(answer, Failure) else shown(answer)

    return make


Make = Callable[..., Image.Image | Failure]


def decode(decoder: Decoder, path: Path, media: Media) -> bytes | Failure:
    """Hand the process a file, and close it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return decoder.decode(descriptor, media)
    finally:
        os.close(descriptor)


def shown(content: bytes) -> Image.Image:
    """Return the picture in a thumbnail that passed our own check."""
    found = thumbnail(content)
    assert found is not None
    picture = Image.open(io.BytesIO(content))
    assert picture.size == (found.width, found.height)
    return picture


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """Return a picture as a file."""
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()


def is_near(one: tuple[int, ...], other: tuple[int, ...], most: int = 24) -> bool:
    """Tell whether two colours look alike, as they do after a lossy encoding."""
    return all(abs(a - b) <= most for a, b in zip(one, other, strict=True))


def halves(left: tuple[int, ...], right: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    """Return a picture of 80 x 40 pixels in two colours."""
    picture = Image.new(mode, (80, 40), left)
    picture.paste(right, (40, 0, 80, 40))
    return picture


def at(picture: Image.Image | Failure, x: float, y: float, mode: str = "RGB") -> tuple[int, ...]:
    """Return the colour at a place given by shares of width and height."""
    assert isinstance(picture, Image.Image)
    found = picture.convert(mode).getpixel((int(x * picture.width), int(y * picture.height)))
    assert isinstance(found, tuple)
    return found


def film(colours: list[tuple[int, ...]], *, aspect: str = "1") -> bytes:
    """Return a video of 80 x 40 pixels, ten pictures a second, with the colours of its left halves."""
    written = io.BytesIO()
    with av.open(written, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"g": "1", "aspect": aspect})
        stream.width, stream.height, stream.pix_fmt = 80, 40, "yuv420p"
        for colour in colours:
            right = (0, 0, 0) if colour == (0, 0, 0) else BLUE
            for packet in stream.encode(av.VideoFrame.from_image(halves(colour, right))):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return written.getvalue()


def sound(loud: list[float], seconds: int = 4) -> bytes:
    """Return a recording whose parts of equal length are so loud, of 1."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        total = 8000 * seconds
        levels = (loud[number * len(loud) // total] for number in range(total))
        file.writeframes(
            b"".join(struct.pack("<h", int(32_000 * level * sin(n))) for n, level in enumerate(levels))
        )
    return written.getvalue()


def bomb(side: int, megabytes: int = 1, *, depth: int = 8, colour: int = 6) -> bytes:
    """Return a small PNG, interlaced, that says to be so high and wide, and holds so many megabytes of zeros."""
    deflater = zlib.compressobj()
    head = deflater.compress(bytes(1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    again = zlib.compressobj(wbits=-15)
    block = again.compress(bytes(1 << 20)) + again.flush(zlib.Z_FULL_FLUSH)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 1)),
        (b"IDAT", head + block * (megabytes - 1)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def slow(side: int = 10_000) -> bytes:
    """Return a small PNG of 100 million pixels, over which a decoder sits for a second or more; or a less slow one."""
    return bomb(side, side * side // 250_000)


# What is shown


@pytest.mark.parametrize("sample", sorted(MEDIA.glob("sample*")), ids=lambda sample: sample.name)
def test_every_sample_has_a_thumbnail(decoder: Decoder, sample: Path) -> None:
    """Each format that is taken has one; those that no library knows have an icon."""
    answer = decode(decoder, sample, kind_of(sample))
    if sample.suffix[1:] in ICONS:
        assert answer is Failure.REFUSED
    else:
        assert isinstance(answer, bytes)
        assert max(shown(answer).size) <= EDGE


def test_turned_as_the_camera_was(made: Make) -> None:
    """A picture whose EXIF says that the camera was turned stands upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = made(saved(halves(RED, GREEN), "JPEG", exif=exif, quality=95))
    assert isinstance(picture, Image.Image)
    assert (40, 80) == picture.size
    assert is_near(RED, at(picture, 0.5, 0.1))
    assert is_near(GREEN, at(picture, 0.5, 0.9))


@pytest.mark.parametrize(
    ("content", "mode", "left"),
    [
        (saved(halves((0, 255, 255, 0), (255, 255, 0, 0), "CMYK"), "JPEG", quality=95), "RGB", (254, 0, 0)),
        (saved(halves((60_000,), (1_000,), "I;16"), "PNG"), "RGB", (234, 234, 234)),
        (saved(halves((60_000,), (1_000,), "I;16B"), "TIFF"), "RGB", (234, 234, 234)),
        (saved(halves((7.5,), (-2.5,), "F"), "TIFF"), "RGB", (255, 255, 255)),
        (saved(halves((*RED, 100), (*GREEN, 255), "RGBA"), "PNG"), "RGBA", (*RED, 100)),
        (saved(halves((200, 100), (10, 255), "LA"), "PNG"), "RGBA", (200, 200, 200, 100)),
        (saved(halves(RED, GREEN).quantize(2), "PNG", transparency=0), "RGB", RED),
        (saved(halves(RED, GREEN).convert("1"), "TIFF", compression="group4"), "RGB", (0, 0, 0)),
        (saved(halves(RED, GREEN), "GIF", save_all=True, append_images=[halves(BLUE, BLUE)]), "RGB", RED),
        (saved(halves(RED, GREEN), "WEBP", save_all=True, append_images=[halves(BLUE, BLUE)]), "RGB", RED),
        (saved(halves(RED, GREEN), "JPEG2000"), "RGB", RED),
    ],
    ids=[
        "cmyk",
        "16-bit",
        "16-bit-tiff",
        "float",
        "alpha",
        "gray-alpha",
        "palette",
        "fax",
        "animated",
        "animated-webp",
        "jpeg2000",
    ],
)
def test_every_kind_of_pixel(made: Make, content: bytes, mode: str, left: tuple[int, ...]) -> None:
    """Ink, 16 bits, floats, palettes and transparency are shown as they look; of an animation, the first picture."""
    assert is_near(left, at(made(content), 0.2, 0.5, mode))


def test_a_profile_is_followed(made: Make) -> None:
    """A picture whose profile says something else than sRGB is converted to it."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    plain = made(saved(Image.new("LAB", (40, 40), (120, 128, 128)), "TIFF"))
    told = made(saved(Image.new("LAB", (40, 40), (120, 128, 128)), "TIFF", icc_profile=lab))
    assert is_near((112, 112, 112), at(told, 0.5, 0.5), 8)
    assert isinstance(plain, Image.Image)


def test_a_large_picture_is_small_then(made: Make) -> None:
    """The longer side is of the same length for all; a JPEG may have more pixels than are decoded."""
    for size, small in (((2000, 500), (320, 80)), ((14_000, 9_275), (320, 212))):
        picture = made(saved(Image.new("RGB", size, RED), "JPEG", quality=20))
        assert isinstance(picture, Image.Image)
        assert small == picture.size


def test_a_frame_that_shows_something(made: Make) -> None:
    """A video that begins in black is shown by what comes later."""
    picture = made(film([(0, 0, 0)] * 14 + [RED] * 6), Media.VIDEO)
    assert is_near(RED, at(picture, 0.2, 0.5), 40)
    assert isinstance(made(film([(0, 0, 0)] * 5), Media.VIDEO), Image.Image), (
        "black, if there is nothing else"
    )


def test_a_video_is_turned_and_its_pixels_made_square(made: Make) -> None:
    """A portrait video stands upright, and a wide one is wide."""
    upright = film([RED] * 4)
    matrix = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 40 << 16, 0, 1 << 30)
    track = upright.index(b"tkhd")
    place = upright.index(matrix, track)
    picture = made(upright[:place] + turned + upright[place + 36 :], Media.VIDEO)
    assert isinstance(picture, Image.Image)
    assert (40, 80) == picture.size
    assert is_near(RED, at(picture, 0.5, 0.2), 40)
    wide = made(film([RED] * 4, aspect="2:1"), Media.VIDEO)
    assert isinstance(wide, Image.Image)
    assert (160, 40) == wide.size


def is_drawn(picture: Image.Image | Failure, x: float, y: float) -> bool:
    """Tell whether a waveform has a bar there."""
    assert isinstance(picture, Image.Image)
    column = int(x * picture.width)
    return any(at(picture, (column + off) / picture.width, y, "RGBA")[3] > 128 for off in range(5))


@pytest.mark.parametrize("media", [Media.AUDIO, Media.VIDEO])
def test_a_waveform(made: Make, media: Media) -> None:
    """A recording is shown by how loud it is when; so is a video without a picture."""
    picture = made(sound([0.0, 1.0, 0.3, 0.0]), media)
    heights = [[is_drawn(picture, x, y) for y in (0.5, 0.4, 0.1)] for x in (0.1, 0.35, 0.6, 0.9)]
    assert [[True, False, False], [True, True, True], [True, True, False], [True, False, False]] == heights


def test_a_waveform_reads_in_light_and_dark(made: Make) -> None:
    """Its ground is transparent, and its bars stand out by 3 to 1 (WCAG 1.4.11) from white and from black."""

    def luminance(colour: tuple[int, ...]) -> float:
        linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    picture = made(sound([1.0]), Media.AUDIO)
    bar = luminance(at(picture, 0.005, 0.5))
    assert 0 == at(picture, 0.005, 0.01, "RGBA")[3]
    assert 1.05 / (bar + 0.05) >= 3
    assert (bar + 0.05) / (luminance((18, 18, 18)) + 0.05) >= 3


def test_a_long_recording_is_heard_in_places(decoder: Decoder, tmp_path: Path) -> None:
    """Two hours are shown by what is loud when, without all of it being decoded."""
    path = tmp_path / "long.wav"
    head = bytearray(sound([0.0], 1)[:44])
    size = 7200 * 16_000
    head[4:8], head[40:44] = struct.pack("<I", size + 36), struct.pack("<I", size)
    with path.open("wb") as file:
        file.write(head)
        file.seek(size * 3 // 4)
        file.write(b"\x00\x7f" * 8000 * 300)
        file.truncate(44 + size)
    answer = decode(decoder, path, Media.AUDIO)
    assert isinstance(answer, bytes)
    assert [False, True] == [is_drawn(shown(answer), x, 0.2) for x in (0.5, 0.76)]


# What strangers send


@pytest.mark.parametrize("media", list(Media))
@pytest.mark.parametrize(
    "content",
    [
        bomb(100_000),
        (MEDIA / "sample.mp4").read_bytes()[:2000],
        (MEDIA / "sample.mp3").read_bytes()[:40],
        bytes(range(256)) * 64,
        b"",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile " + str(MEDIA / "sample.mp4").encode() + b"\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    ],
    ids=["bomb", "truncated-video", "truncated-audio", "noise", "empty", "hls", "concat", "eps", "svg"],
)
def test_what_is_no_picture_has_none(made: Make, content: bytes, media: Media) -> None:
    """Bombs, halves, noise, lists of other files and programs are refused, and the process goes on."""
    assert made(content, media) is Failure.REFUSED


def test_more_than_its_memory_is_refused(decoder: Decoder, tmp_path: Path) -> None:
    """A picture that takes more memory than there is for it costs neither the machine nor the process."""
    path = tmp_path / "large.png"
    path.write_bytes(
        bomb(11_000, 240, depth=16, colour=0)
    )  # few enough pixels, but 1.2 GB on the way to 8 bits
    assert isinstance(decode(decoder, MEDIA / "sample.png", Media.IMAGE), bytes)
    before = decoder.pid
    assert decode(decoder, path, Media.IMAGE) is Failure.REFUSED
    assert isinstance(decode(decoder, MEDIA / "sample.png", Media.IMAGE), bytes)
    assert before == decoder.pid


def test_a_process_that_may_do_nothing() -> None:
    """Once confined it opens no file, reaches no network, starts nothing and signals nobody; memory is bounded."""
    program = """
import ctypes, os, signal, socket, sys, threading
from identifai_watch.previews import cage
line = socket.socket(fileno=int(sys.argv[1]))
assert cage.confine()
tries = {
    "open": lambda: os.open("/etc/hostname", os.O_RDONLY),
    "create": lambda: os.open("/tmp/x", os.O_CREAT | os.O_WRONLY),
    "socket": lambda: socket.socket(),
    "pair": lambda: socket.socketpair(),
    "fork": lambda: os.fork(),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "kill": lambda: os.kill(os.getppid(), 0),
    "unlink": lambda: os.unlink("/tmp/x"),
    "write": lambda: os.write(2, b"x"),
    "limit": lambda: __import__("resource").setrlimit(7, (100, 100)),
}
for name, attempt in tries.items():
    try:
        attempt()
    except (PermissionError, ValueError) as error:
        continue
    line.send(b"could " + name.encode())
try:
    threading.Thread(target=int).start()
    line.send(b"could thread")
except RuntimeError:
    pass
try:
    bytearray(1 << 30)
    line.send(b"could allocate")
except MemoryError:
    pass
line.send(b"end")
"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        command = [sys.executable, "-c", program, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]):
            ours.settimeout(30)
            assert b"end" == ours.recv(100)


def test_the_process_is_confined_and_knows_no_secret(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What decodes is the confined process, with every bound, and the key is not in its environment."""
    monkeypatch.setenv("IDENTIFAI_API_KEY", "secret-4711")
    decoder.stop()
    assert isinstance(decode(decoder, MEDIA / "sample.png", Media.IMAGE), bytes)
    place = Path(f"/proc/{decoder.pid}")
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    assert ("2", "1", "1") == tuple(status[name].strip() for name in ("Seccomp", "NoNewPrivs", "Threads"))
    limits = (place / "limits").read_text()
    for name, most in (
        ("Max address space", MEMORY),
        ("Max cpu time", LIFE_SECONDS),
        ("Max file size", 0),
        ("Max core file size", 0),
        ("Max open files", 16),
    ):
        line = next(line for line in limits.splitlines() if line.startswith(name))
        assert str(most) in line.split()
    assert b"4711" not in (place / "environ").read_bytes()
    assert Path("/") == (place / "cwd").resolve()


@pytest.mark.parametrize("what", ["loop", "silence"])
def test_a_file_that_takes_too_long_ends_the_process(tmp_path: Path, what: str) -> None:
    """A file that keeps the decoder busy, or that does not answer, costs its time and no more."""
    decoder = Decoder(0.3)
    silent, held = os.pipe()
    path = tmp_path / "slow.png"
    path.write_bytes(slow())
    descriptor = os.open(path, os.O_RDONLY) if what == "loop" else silent
    try:
        assert isinstance(decode(decoder, MEDIA / "sample.png", Media.IMAGE), bytes)
        first = decoder.pid
        assert decoder.decode(descriptor, Media.IMAGE) is Failure.LATE
        assert first is not None
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert isinstance(decode(decoder, MEDIA / "sample.png", Media.IMAGE), bytes)
    finally:
        decoder.stop()
        for number in {descriptor, silent, held}:
            os.close(number)


def test_a_file_that_changes_while_it_is_read_is_not_believed(tmp_path: Path) -> None:
    """Nothing is kept of a content that was another one before the end."""
    decoder = Decoder(30)
    path = tmp_path / "slow.png"
    path.write_bytes(slow(5_000))
    decode(decoder, MEDIA / "sample.png", Media.IMAGE)
    stat = Path(f"/proc/{decoder.pid}/stat")
    before = int(stat.read_text().split()[13])
    found: list[bytes | Failure] = []
    thread = threading.Thread(target=lambda: found.append(decode(decoder, path, Media.IMAGE)))
    thread.start()
    wait_for(lambda: int(stat.read_text().split()[13]) > before + 3, "it decodes")
    os.utime(path)
    thread.join()
    decoder.stop()
    assert [Failure.UNREAD] == found
