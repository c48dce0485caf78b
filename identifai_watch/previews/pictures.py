"""What an image looks like, small: turned upright, in sRGB, its transparency kept; and the encoding of every thumbnail.

Runs in the confined process alone.
"""

import io
from typing import BinaryIO, cast

from PIL import AvifImagePlugin, Image, ImageCms, ImageOps

from identifai_watch.previews.webp import EDGE, MOST_BYTES

_FORMATS = (
    "AVIF",
    "BMP",
    "DIB",
    "GIF",
    "ICO",
    "JPEG",
    "JPEG2000",
    "PNG",
    "PSD",
    "TIFF",
    "WEBP",
)
"""What people drop. Others that Pillow knows start programs (EPS) or are nobody's pictures."""

MOST_PIXELS = 128_000_000
"""Of what is decoded; a JPEG is decoded at an eighth of its size and may have 64 times as many."""

_QUALITIES = (80, 60, 30)

_SRGB = ImageCms.createProfile("sRGB")


class RefusedError(Exception):
    """There is no thumbnail of this file, and will be none."""


def prepare() -> None:
    """Import what decodes, before nothing can be opened any more, and have it start no thread."""
    Image.init()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.MAX_IMAGE_PIXELS = None  # it is asked before a JPEG is made smaller; ours after


def image(file: BinaryIO) -> bytes:
    """Return the thumbnail of an image, or of the first picture of an animated one.

    Raises:
        RefusedError: it has too many pixels.
        Exception: whatever Pillow makes of a broken file.
    """
    with Image.open(file, formats=_FORMATS) as picture:
        # A JPEG is read at the least size that is enough: eight times less to do, in each direction.
        picture.draft(None, (EDGE, EDGE))
        if picture.width * picture.height > MOST_PIXELS:
            raise RefusedError(f"{picture.width} x {picture.height} pixels are too many")
        profile = picture.info.get("icc_profile")
        small = _plain(picture)
        small.thumbnail((EDGE, EDGE), Image.Resampling.LANCZOS)
        # The orientation stands in the file's EXIF, which a conversion keeps.
        upright = ImageOps.exif_transpose(small)
    return encoded(_screen(upright, profile))


def encoded(picture: Image.Image) -> bytes:
    """Return a picture as WebP of at most ``MOST_BYTES``.

    Raises:
        RefusedError: it cannot be made so small.
    """
    for quality in _QUALITIES:
        written = io.BytesIO()
        picture.save(written, "WEBP", quality=quality, method=4)
        if written.tell() <= MOST_BYTES:
            return written.getvalue()
    raise RefusedError(f"{picture.width} x {picture.height} pixels do not fit into {MOST_BYTES} bytes")


def _plain(picture: Image.Image) -> Image.Image:
    """Return the picture in a mode that can be made smaller: without a palette, 8 bits a channel."""
    if picture.mode.startswith("I;16"):
        return picture.convert("I").point(lambda value: value / 256).convert("L")
    if picture.mode in {"I", "F"}:
        # Nothing says what white is: the brightest there is.
        low, high = cast("tuple[float, float]", picture.getextrema())
        scale = 255 / (high - low) if high > low else 1.0
        return picture.point(lambda value: value * scale - low * scale).convert("L")
    if picture.mode in {"L", "RGB", "RGBA", "CMYK", "LAB"} and "transparency" not in picture.info:
        picture.load()
        return picture
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _screen(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the picture in sRGB; a profile that is of no use is left aside."""
    target = "RGBA" if picture.mode == "RGBA" else "RGB"
    if profile and picture.mode in {"L", "RGB", "RGBA", "CMYK", "LAB"}:
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, embedded, _SRGB, outputMode=target)
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None
        if converted is not None:
            return converted
    return picture.convert(target)
