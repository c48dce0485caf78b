"""What kind of file is it, and would identifAI take it?

``FORMATS`` is the table of what is known by its first bytes (the names that ``folder`` answers when it sniffs)
or by its extension alone; ``judge`` says what becomes of one file. The first bytes win over the extension, but
for camera raw, which looks like TIFF or MP4 from inside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from identifai_watch.core.model import Media

_MEDIA_WORDS = {Media.IMAGE: "images are", Media.VIDEO: "videos are", Media.AUDIO: "audio is"}


class Proof(StrEnum):
    """What must be seen of a file before it counts as one of a format."""

    BYTES = "bytes"  # each such file begins with a known mark
    NAME = "name"  # such a file may begin with anything: its extension is believed if its bytes say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format: ``label`` for people, ``mime`` as identifAI documents it, None if it is not taken.

    ``media`` is None for what is no media at all. ``audio_mime`` is the name it is sent under as audio, for a
    container that may be either (api-notes 23). ``raw`` is camera raw.
    """

    label: str
    media: Media | None
    mime: str | None = None
    audio_mime: str | None = None
    extensions: tuple[str, ...] = ()
    proof: Proof = Proof.BYTES
    raw: bool = False


def _image(label: str, mime: str | None, *extensions: str) -> Format:
    return Format(label=label, media=Media.IMAGE, mime=mime, extensions=extensions)


def _raw(label: str, *extensions: str) -> Format:
    return Format(label=f"camera raw ({label})", media=Media.IMAGE, extensions=extensions, raw=True)


def _video(label: str, mime: str, *extensions: str, proof: Proof = Proof.BYTES) -> Format:
    return Format(label=label, media=Media.VIDEO, mime=mime, extensions=extensions, proof=proof)


def _audio(label: str, mime: str | None, *extensions: str, proof: Proof = Proof.BYTES) -> Format:
    return Format(label=label, media=Media.AUDIO, mime=mime, extensions=extensions, proof=proof)


def _either(label: str, mime: str, audio_mime: str, *extensions: str) -> Format:
    return Format(label=label, media=Media.VIDEO, mime=mime, audio_mime=audio_mime, extensions=extensions)


def _other(label: str) -> Format:
    return Format(label=label, media=None)


# The MIME names are the vendor's, not the registered ones (api-notes 24); any video/* is taken as video.
FORMATS: Mapping[str, Format] = {
    # Images that are taken.
    "jpeg": _image("JPEG", "image/jpeg", "jpg", "jpeg", "jpe", "jfif"),
    "png": _image("PNG", "image/png", "png", "apng"),
    "gif": _image("GIF", "image/gif", "gif"),
    "webp": _image("WebP", "image/webp", "webp"),
    "tiff": _image("TIFF", "image/tiff", "tif", "tiff"),
    # Images that are not.
    "heic": _image("HEIC", None, "heic", "heif", "hif", "heics", "heifs"),
    "avif": _image("AVIF", None, "avif", "avifs"),
    "bmp": _image("BMP", None, "bmp", "dib"),
    "psd": _image("PSD", None, "psd", "psb"),
    "jxl": _image("JPEG XL", None, "jxl"),
    "jp2": _image("JPEG 2000", None, "jp2", "jpx", "j2k", "jpf"),
    "jxr": _image("JPEG XR", None, "jxr", "wdp", "hdp"),
    "ico": _image("ICO", None, "ico"),
    "xcf": _image("XCF", None, "xcf"),
    "exr": _image("OpenEXR", None, "exr"),
    # Camera raw: by its extension first, for its bytes are TIFF's or MP4's.
    "cr2": _raw("CR2", "cr2"),
    "cr3": _raw("CR3", "cr3"),
    "nef": _raw("NEF", "nef", "nrw"),
    "arw": _raw("ARW", "arw", "srf", "sr2"),
    "dng": _raw("DNG", "dng"),
    "raf": _raw("RAF", "raf"),
    "rw2": _raw("RW2", "rw2", "rwl"),
    "orf": _raw("ORF", "orf"),
    "pef": _raw("PEF", "pef"),
    "crw": _raw("CRW", "crw"),
    "srw": _raw("SRW", "srw"),
    "x3f": _raw("X3F", "x3f"),
    "3fr": _raw("3FR", "3fr", "fff"),
    "iiq": _raw("IIQ", "iiq"),
    # Video: any container is taken.
    "mp4": _either("MP4", "video/mp4", "video/mp4", "mp4", "mpg4"),
    "3gp": _either("3GP", "video/3gpp", "audio/3gp", "3gp", "3gpp", "3g2", "3gpp2"),
    "m4v": _video("M4V", "video/x-m4v", "m4v"),
    "mov": _video("QuickTime", "video/quicktime", "mov", "qt"),
    "webm": _video("WebM", "video/webm", "webm"),
    "mkv": _video("Matroska", "video/x-matroska", "mkv", "mk3d"),
    "avi": _video("AVI", "video/x-msvideo", "avi"),
    "mpeg": _video("MPEG", "video/mpeg", "mpg", "mpeg", "mpe", "m1v", "m2v", "vob", "mod", proof=Proof.NAME),
    "mpegts": _video("MPEG-TS", "video/mp2t", "ts", "mts", "m2ts", "m2t", "tod"),
    "mxf": _video("MXF", "video/mxf", "mxf"),
    "wmv": _video("WMV", "video/x-ms-wmv", "wmv", "asf"),
    "flv": _video("FLV", "video/x-flv", "flv", "f4v"),
    "ogv": _video("Ogg video", "video/ogg", "ogv", "ogm"),
    "dv": _video("DV", "video/dv", "dv", "dif", proof=Proof.NAME),
    # Audio that is taken.
    "mp3": _audio("MP3", "audio/mpeg", "mp3", "mp2", "mpga", proof=Proof.NAME),
    "wav": _audio("WAV", "audio/wav", "wav", "wave", "bwf", "rf64"),
    "ogg": _audio("Ogg", "audio/ogg", "ogg", "oga", "opus", "spx"),
    "flac": _audio("FLAC", "audio/flac", "flac"),
    "aac": _audio("AAC", "audio/aac", "aac", "adts", proof=Proof.NAME),
    "m4a": _audio("M4A", "audio/m4a", "m4a"),
    "m4b": _audio("M4B", "audio/m4b", "m4b"),
    "m4p": _audio("M4P", "audio/m4p", "m4p"),
    "m4r": _audio("M4R", "audio/m4r", "m4r"),
    # Audio that is not.
    "wma": _audio("WMA", None, "wma"),
    "aiff": _audio("AIFF", None, "aif", "aiff", "aifc"),
    "amr": _audio("AMR", None, "amr", "awb"),
    "midi": _audio("MIDI", None, "mid", "midi"),
    "mka": _audio("Matroska audio", None, "mka", "weba"),
    "ape": _audio("Monkey's Audio", None, "ape"),
    "wavpack": _audio("WavPack", None, "wv"),
    "caf": _audio("CAF", None, "caf"),
    "ac3": _audio("AC-3", None, "ac3", "eac3"),
    "au": _audio("AU", None, "au", "snd"),
    "dsf": _audio("DSD", None, "dsf", "dff"),
    # What is no media, so far as its first bytes tell.
    "text": _other("text/plain"),
    "html": _other("text/html"),
    "xml": _other("text/xml"),
    "pdf": _other("application/pdf"),
    "zip": _other("application/zip"),
    "gzip": _other("application/gzip"),
    "rar": _other("application/vnd.rar"),
    "7z": _other("application/x-7z-compressed"),
    "elf": _other("a program"),
}

_BY_EXTENSION = {extension: name for name, form in FORMATS.items() for extension in form.extensions}
EXTENSIONS = frozenset(_BY_EXTENSION)
"""By which media files are known, camera raw among them; without their dot, in lower case."""
_MP4_FAMILY = frozenset({"mp4", "m4v", "m4a", "m4b", "m4p", "m4r", "3gp"})
_MP4_AUDIO = frozenset({"m4a", "m4b", "m4p", "m4r"})
_MATROSKA_FAMILY = frozenset({"mkv", "webm", "mka"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a folder judges: ``limits`` and ``min_bytes`` in bytes, ``mp4_as`` for .mp4 and .3gp.

    ``reject_unsupported`` is whether media that identifAI does not take is rejected rather than left alone.
    """

    kinds: frozenset[Media]
    mp4_as: Media
    limits: Mapping[Media, int]
    min_bytes: int
    reject_unsupported: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """To be judged, as this kind and under this MIME name."""

    media: Media
    mime: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Not sent, and delivered as rejected with this reason."""

    reason: str
    media: Media | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Left alone; ``reason`` is for ``explain``. ``media`` is None if it is no media."""

    reason: str
    media: Media | None


def judge(name: bytes, sniffed: str | None, size: int, policy: Policy) -> Send | Reject | Leave:
    """Say what becomes of a file of ``size`` bytes whose first bytes are of the format ``sniffed``.

    Raises:
        KeyError: ``sniffed`` is no name of ``FORMATS``.
    """
    if size == 0:
        return Leave(reason="it is empty", media=by_name(name))
    form = _format(name, sniffed)
    if form is None:
        return Leave(reason="no media: its first bytes are of no known format", media=None)
    if form.media is None:
        return Leave(reason=f"no media: {form.label}", media=None)
    media, mime = form.media, form.mime
    if form.audio_mime is not None and policy.mp4_as is Media.AUDIO:
        media, mime = Media.AUDIO, form.audio_mime
    if media not in policy.kinds:
        return Leave(reason=f"{_MEDIA_WORDS[media]} not judged in this folder", media=media)
    if size < policy.min_bytes:
        return Leave(reason=f"smaller than min_bytes ({size:,} of {policy.min_bytes:,})", media=media)
    if mime is None:
        reason = f"{form.label} is not taken by identifAI"
        return (Reject if policy.reject_unsupported else Leave)(reason=reason, media=media)
    limit = policy.limits[media]
    if size > limit:
        reason = f"over the local limit of {limit:,} bytes for {media} (it has {size:,})"
        return Reject(reason=reason, media=media)
    return Send(media=media, mime=mime)


def by_name(name: bytes) -> Media | None:
    """Say the kind by the extension alone, without opening the file; .mp4 and .3gp count as video."""
    form = _named(name)
    return None if form is None else FORMATS[form].media


def _format(name: bytes, sniffed: str | None) -> Format | None:
    """Join what the name and the bytes say, None if that is nothing."""
    named = _named(name)
    if named is not None and FORMATS[named].raw:
        return FORMATS[named]
    if sniffed is None:
        return FORMATS[named] if named is not None and FORMATS[named].proof is Proof.NAME else None
    return FORMATS[_finer(named, sniffed)]


def _finer(named: str | None, sniffed: str) -> str:
    """Let the name choose among the formats of one family, where the bytes are the same or say too little."""
    if named is None:
        return sniffed
    if sniffed == "mp4" and named in _MP4_FAMILY:
        return named
    if sniffed in _MP4_AUDIO and named in _MP4_AUDIO:
        return named
    if sniffed in _MATROSKA_FAMILY and named == "mka":
        return named
    return sniffed


def _named(name: bytes) -> str | None:
    stem, dot, extension = name.rpartition(b".")
    if not dot or not stem:
        return None
    return _BY_EXTENSION.get(extension.decode("ascii", "replace").lower())
