"""Make the media that the demonstration drops: ``python make_samples.py``, with ffmpeg (and flite) on the PATH.

Everything is drawn or spoken here by arithmetic, so it belongs to nobody: a harbour at dusk, a street at night, a
fern, a film of the tide, and two spoken sentences. Together they stay under 200 kB.
"""

import math
import random
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "identifai_watch" / "samples"

Colour = tuple[float, float, float]


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour that lies ``share`` (0 to 1) of the way from ``one`` to ``other``."""
    share = min(1.0, max(0.0, share))
    return tuple(a + (b - a) * share for a, b in zip(one, other, strict=True))  # type: ignore[return-value]  # three stay three


def frame(width: int, height: int, paint: Callable[[float, float], Colour]) -> bytes:
    """Return one picture as rows of RGB; ``paint`` is given x and y as shares of the picture's height."""
    data = bytearray()
    for row in range(height):
        for column in range(width):
            data += bytes(min(255, max(0, int(part))) for part in paint(column / height, row / height))
    return bytes(data)


def encode(name: str, size: tuple[int, int], frames: Iterable[bytes], arguments: str) -> None:
    """Hand ``frames`` to ffmpeg, which writes ``name`` as ``arguments`` say."""
    exact = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", "15", "-i", "-"]
    command = ["ffmpeg", "-v", "error", "-y", *raw, *arguments.split(), *exact, str(SAMPLES / name)]
    subprocess.run(command, input=b"".join(frames), check=True)


def speak(name: str, voice: str, text: str, arguments: str) -> None:
    """Have flite speak ``text`` into ``name``."""
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"flite=text='{text}':voice={voice}"]
    exact = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    subprocess.run([*command, *arguments.split(), *exact, str(SAMPLES / name)], check=True)


def harbour(x: float, y: float, tide: float = 0.0) -> Colour:
    """Paint dusk over water: a low sun, its glitter on the waves, and a crane with two masts before it."""
    horizon, sun_x, sun_y = 0.58, 0.95, 0.47
    distance = math.hypot(x - sun_x, y - sun_y)
    if y < horizon:
        sky = mix((38, 44, 92), (244, 150, 96), (y / horizon) ** 1.4)
        sky = mix((255, 236, 190), sky, (distance - 0.075) * 26 if distance < 0.12 else 0.55 + distance)
        crane = abs(x - 0.36) < 0.012 and y > 0.2
        jib = abs(y - 0.22 - 0.06 * abs(x - 0.36)) < 0.007 and 0.2 < x < 0.66
        masts = any(abs(x - at) < 0.004 and y > top for at, top in ((1.22, 0.36), (1.3, 0.42)))
        quay = y > 0.56 - 0.035 * (math.sin(9 * x) > 0.2) and (x < 0.55 or x > 1.1)
        return (24, 22, 38) if crane or jib or masts or quay else sky
    depth = (y - horizon) / (1 - horizon)
    wave = math.sin(60 * depth**0.5 + 7 * math.sin(5 * x + tide) + tide) * math.sin(
        33 * x + 40 * depth - tide
    )
    water = mix((196, 122, 96), (20, 30, 66), depth**0.6)
    glitter = max(0.0, 1 - abs(x - sun_x) / (0.08 + 0.22 * depth)) * max(0.0, wave + 0.35)
    return mix(mix(water, (34, 46, 88), 0.25 + 0.2 * wave), (255, 222, 160), glitter)


def street() -> Callable[[float, float], Colour]:
    """Return the painter of a row of houses at night; some windows are lit."""
    lit = random.Random(7)  # which window is lit is no secret
    windows = {(column, row): lit.random() for column in range(50) for row in range(30)}

    def paint(x: float, y: float) -> Colour:
        house = int(x / 0.21)
        roof = 0.2 + 0.16 * math.sin(house * 2.4) ** 2 + 0.04 * (house % 3)
        if y > 0.9:
            return (30, 30, 38) if int(x * 9) % 2 or abs(y - 0.95) > 0.008 else (150, 140, 90)
        if y < roof:
            moon = math.hypot(x - 1.2, y - 0.13)
            return (236, 232, 206) if moon < 0.05 else (16, 20, 44) if y < 0.12 else (20, 26, 56)
        column, row = int(x / 0.035), int(y / 0.055)
        inside = (
            0.25 < (x / 0.035) % 1 < 0.8
            and 0.25 < (y / 0.055) % 1 < 0.85
            and 0 < (x / 0.21) % 1 * 6 % 6 < 5.9
        )
        if not inside:
            return ((48, 40, 52), (58, 44, 44), (40, 46, 58))[house % 3]
        light = windows[column, row]
        return (250, 214, 130) if light > 0.72 else (178, 196, 220) if light > 0.64 else (26, 28, 42)

    return paint


def fern(width: int, height: int) -> bytes:
    """Return Barnsley's fern on a pale sheet."""
    chance = random.Random(11)  # a drawing
    hits = [0] * (width * height)
    x = y = 0.0
    for _ in range(220_000):
        throw = chance.random()
        if throw < 0.01:
            x, y = 0.0, 0.16 * y
        elif throw < 0.86:
            x, y = 0.85 * x + 0.04 * y, -0.04 * x + 0.85 * y + 1.6
        elif throw < 0.93:
            x, y = 0.2 * x - 0.26 * y, 0.23 * x + 0.22 * y + 1.6
        else:
            x, y = -0.15 * x + 0.28 * y, 0.26 * x + 0.24 * y + 0.44
        column, row = int(width * (0.5 + x / 8)), int(height * (0.97 - y / 10.6))
        hits[row * width + column] += 1
    data = bytearray()
    for count in hits:
        data += bytes(int(part) for part in mix((244, 240, 226), (28, 92, 52), min(1.0, count / 5)))
    return bytes(data)


def main() -> None:
    """Make every sample anew."""
    SAMPLES.mkdir(exist_ok=True)
    encode("harbour.jpg", (480, 320), [frame(480, 320, harbour)], "-c:v mjpeg -pix_fmt yuvj420p -q:v 4")
    encode("street.png", (480, 320), [frame(480, 320, street())], "-c:v png")
    encode("fern.webp", (320, 400), [fern(320, 400)], "-c:v libwebp -quality 70")
    tide = [
        frame(320, 180, lambda x, y, at=at: harbour(x, y, at * math.tau / 30))  # type: ignore[misc]  # one per frame
        for at in range(30)
    ]
    encode(
        "clip.mp4",
        (320, 180),
        tide,
        "-c:v libx264 -preset veryslow -crf 30 -pix_fmt yuv420p -movflags +faststart",
    )
    speak(
        "interview.mp3", "slt", "I was at the harbour when the lights went out.", "-c:a libmp3lame -b:a 24k"
    )
    speak("statement.wav", "rms", "We have no further comment.", "-ar 8000 -c:a pcm_s16le")


if __name__ == "__main__":
    main()
