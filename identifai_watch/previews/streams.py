"""One frame of a video, and the waveform of audio. Runs in the confined process alone."""

import itertools
from array import array
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

import av
import av.subtitles.stream  # else av imports it with the first container, when no file can be opened any more
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageStat

from identifai_watch.previews.pictures import MOST_PIXELS, RefusedError, encoded
from identifai_watch.previews.webp import EDGE

_CONTAINERS = (
    "aac,aiff,amr,asf,au,avi,caf,dv,flac,flv,h264,hevc,matroska,matroska,webm,mov,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,"
    "mpegts,mpegvideo,mxf,ogg,w64,wav"
)
"""What people drop. Others (HLS, concat, SDP, ...) are lists of other files and addresses."""

_PLACES = (0.2, 0.5, 0.35, 0.75, 0.05, 0.0)
"""Where a frame is looked for, as shares of the video's length, until one shows something."""

_DARK, _FLAT = 24, 8
"""Mean and deviation of brightness, of 255, that a frame has to exceed to show something."""

_FRAMES_TRIED = 64
"""Packets may hold no whole picture: so many are read at one place before the next is tried."""

_RATE = 8_000
_BLOCK = _RATE // 100
_BARS = 64
_HEIGHT = 180
_BAR = (118, 134, 156, 255)
"""Reads on white and on black: at least 3.5 to 1 on either (WCAG 1.4.11 asks for 3)."""

_WHOLE_SECONDS = 600
"""A longer recording is heard in places, a second for each bar."""


def video(file: BinaryIO) -> bytes:
    """Return a frame from some way into the video, no black one if there is another; a waveform if it has no picture.

    Raises:
        RefusedError: there is neither picture nor sound in it, or a picture has too many pixels.
        Exception: whatever the libraries make of a broken file.
    """
    with _opened(file) as container:
        if container.streams.video:
            return encoded(_shown(container, container.streams.video[0]))
        return _waveform(container)


def audio(file: BinaryIO) -> bytes:
    """Return the waveform of a recording, on a ground that is transparent.

    Raises:
        RefusedError: there is no sound in it.
        Exception: whatever the libraries make of a broken file.
    """
    with _opened(file) as container:
        return _waveform(container)


def _opened(file: BinaryIO) -> InputContainer:
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "", "max_pixels": str(MOST_PIXELS)}
    return av.open(file, "r", options=options, metadata_errors="replace")


def _alone(decoding: CodecContext) -> None:
    """Have a decoder start no thread: this process may not."""
    decoding.thread_type = "NONE"
    decoding.thread_count = 1


def _shown(container: InputContainer, stream: VideoStream) -> Image.Image:
    """Return the first frame that shows something, else the one that shows most."""
    _alone(stream.codec_context)
    best: tuple[float, Image.Image] | None = None
    for place in _PLACES if container.duration else (0.0,):
        frame = _frame_at(container, stream, place)
        if frame is None:
            continue
        picture = _upright(frame, stream)
        brightness = ImageStat.Stat(picture.convert("L"))
        mean, deviation = brightness.mean[0], brightness.stddev[0]
        if mean > _DARK and deviation > _FLAT:
            return picture
        if best is None or deviation > best[0]:
            best = (deviation, picture)
    if best is None:
        raise RefusedError("no frame of it can be decoded")
    return best[1]


def _frame_at(container: InputContainer, stream: VideoStream, place: float) -> VideoFrame | None:
    """Return the frame that decoding begins with near ``place``; None if there is none there."""
    if place > 0:
        try:
            container.seek(int(place * (container.duration or 0)))
        except av.FFmpegError:
            return None
    for tried, packet in enumerate(container.demux(stream)):
        # A picture may be broken and the next one whole.
        with suppress(av.FFmpegError):
            for frame in packet.decode():
                return frame
        if tried >= _FRAMES_TRIED:
            break
    return None


def _upright(frame: VideoFrame, stream: VideoStream) -> Image.Image:
    """Return a frame as people see it: small, its pixels square, turned as the camera was."""
    if frame.width * frame.height > MOST_PIXELS:
        raise RefusedError(f"{frame.width} x {frame.height} pixels are too many")
    aspect = stream.sample_aspect_ratio
    width = frame.width * (float(aspect) if aspect else 1.0)
    scale = EDGE / max(width, frame.height)
    size = max(1, min(EDGE, round(width * min(1, scale)))), max(1, round(frame.height * min(1, scale)))
    scaled = frame.reformat(width=size[0], height=size[1], format="rgb24", threads=1)
    small: Image.Image = scaled.to_image()  # type: ignore[no-untyped-call]  # PyAV says nothing of it
    return small.rotate(frame.rotation, expand=True) if frame.rotation else small


def _waveform(container: InputContainer) -> bytes:
    if not container.streams.audio:
        raise RefusedError("there is neither picture nor sound in it")
    stream = container.streams.audio[0]
    _alone(stream.codec_context)
    ear = av.AudioResampler(format="s16", layout="mono", rate=_RATE)
    seconds = (container.duration or 0) / av.time_base
    peaks = (
        _in_places(container, stream, ear)
        if seconds > _WHOLE_SECONDS
        else _throughout(container, stream, ear)
    )
    if not peaks:
        raise RefusedError("none of its sound can be decoded")
    return encoded(_drawn(peaks))


def _throughout(container: InputContainer, stream: AudioStream, ear: av.AudioResampler) -> list[int]:
    """Return how loud each bar is, from the whole of a recording."""
    blocks = [loud for packet in container.demux(stream) for loud in _loud(packet, ear)]
    if len(blocks) <= _BARS:
        return blocks
    edges = [len(blocks) * bar // _BARS for bar in range(_BARS + 1)]
    return [max(blocks[begin:end]) for begin, end in itertools.pairwise(edges)]


def _in_places(container: InputContainer, stream: AudioStream, ear: av.AudioResampler) -> list[int]:
    """Return how loud each bar is, from a second at its place."""
    peaks = []
    for bar in range(_BARS):
        container.seek((container.duration or 0) * bar // _BARS)
        blocks: list[int] = []
        for packet in container.demux(stream):
            blocks += _loud(packet, ear)
            if len(blocks) * _BLOCK >= _RATE:
                break
        peaks.append(max(blocks, default=0))
    return peaks


def _loud(packet: "av.Packet[AudioStream]", ear: av.AudioResampler) -> Iterator[int]:
    """Yield the largest sample of each block of a packet, 0 to 32,767."""
    # A packet may be broken and the next one whole.
    with suppress(av.FFmpegError):
        for frame in packet.decode():
            for plain in ear.resample(frame):
                samples = array("h", bytes(plain.planes[0])[: plain.samples * 2])
                for at in range(0, len(samples), _BLOCK):
                    block = samples[at : at + _BLOCK]
                    yield min(32_767, max(*block, -min(block)))


def _drawn(peaks: list[int]) -> Image.Image:
    picture = Image.new("RGBA", (EDGE, _HEIGHT), (*_BAR[:3], 0))
    draw = ImageDraw.Draw(picture)
    step = EDGE / len(peaks)
    loudest = max(*peaks, 1)
    for bar, peak in enumerate(peaks):
        half = max(1.0, peak / loudest * (_HEIGHT / 2 - 8))
        left = round(bar * step)
        right = max(left, round((bar + 1) * step) - 3)
        draw.rectangle((left, round(_HEIGHT / 2 - half), right, round(_HEIGHT / 2 + half)), fill=_BAR)
    return picture
