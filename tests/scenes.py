"""Media that look like something, for the pages that people see: a landscape, a film of it, and a sound."""

import math
import wave
from fractions import Fraction
from pathlib import Path

import pytest

# Without these the tests that stand on this are skipped.
av = pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")
ImageDraw = pytest.importorskip("PIL.ImageDraw")

_RATE = 8_000


def landscape(size: tuple[int, int], *, hour: float = 0.5, seed: int = 0) -> Image.Image:
    """Draw hills under a sky; ``hour`` says how high the sun stands, from 0 to 1, and ``seed`` where the hills are."""
    width, height = size
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    for y in range(height):
        depth = y / height
        draw.line(
            ((0, y), (width, y)),
            fill=(int(60 + 190 * depth * (1.2 - hour)), int(110 + 70 * depth), int(200 - 80 * depth)),
        )
    radius, x, y = height // 14, int(width * (0.2 + 0.6 * hour)), int(height * (0.6 - 0.45 * hour))
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 236, 170))
    for ridge in range(4):
        base, shade = height * (0.5 + 0.13 * ridge), 120 - 28 * ridge
        line = [
            (x, base - height * 0.1 * math.sin(x / width * (3 + ridge) + seed + ridge * 2.1))
            for x in range(0, width + 8, 8)
        ]
        draw.polygon([(0, height), *line, (width, height)], fill=(shade // 2, shade, shade // 2 + 20))
    return image


def picture(target: Path, *, hour: float = 0.5, seed: int = 0) -> None:
    """Write a picture."""
    landscape((960, 640), hour=hour, seed=seed).save(target, quality=85)


def film(target: Path, *, seconds: int = 9) -> None:
    """Write a film of a day, with a sound."""
    with av.open(str(target), "w") as container:
        images = container.add_stream("libx264", rate=4)
        images.width, images.height, images.pix_fmt = 480, 320, "yuv420p"
        sounds = container.add_stream("aac", rate=_RATE)
        sounds.layout = "mono"
        frames = seconds * 4
        for number in range(frames):
            frame = av.VideoFrame.from_image(landscape((480, 320), hour=number / frames))
            container.mux(images.encode(frame))
        container.mux(images.encode())
        samples = _samples(seconds)
        for begin in range(0, len(samples) // 2 - 1024, 1024):
            sound = av.AudioFrame(format="s16", layout="mono", samples=1024)
            sound.planes[0].update(samples[2 * begin : 2 * begin + 2048])
            sound.sample_rate, sound.pts, sound.time_base = _RATE, begin, Fraction(1, _RATE)
            container.mux(sounds.encode(sound))
        container.mux(sounds.encode())


def sound(target: Path, *, seconds: float = 13.5) -> None:
    """Write a sound that swells as speech does."""
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(_samples(seconds))


def _samples(seconds: float) -> bytes:
    """Return 16-bit samples."""
    loud = (
        abs(math.sin(at / 2900) * math.sin(at / 1130) * math.sin(at / 7001)) * math.sin(at * 0.13)
        for at in range(int(seconds * _RATE))
    )
    return b"".join(int(24_000 * one).to_bytes(2, "little", signed=True) for one in loud)
