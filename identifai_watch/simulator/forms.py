"""The fields of the submission forms: which there are, what they may hold, and which files are taken.

Everything that is in no form is ignored, as the vendor's framework does.
"""

from collections.abc import Collection, Mapping

from identifai_watch.core.model import Media

_IMAGES = frozenset(f"image/{name}" for name in ("png", "jpeg", "jpg", "gif", "webp", "tif", "tiff"))
_SOUNDS = frozenset(
    f"audio/{name}" for name in ("mpeg", "wav", "ogg", "flac", "aac", "3gp", "m4a", "m4b", "m4p", "m4r")
)
_BOOLEAN = frozenset({"true", "false", "1", "0"})

_COMMON: Mapping[str, frozenset[str]] = {"no_cache": _BOOLEAN, "prevent_c2pa_forces": _BOOLEAN}
_SIGHT: Mapping[str, frozenset[str]] = {
    "with_morphing": _BOOLEAN,
    "with_tampering": _BOOLEAN,
    "with_nsfw": _BOOLEAN,
}
_CHOICES: Mapping[Media, Mapping[str, frozenset[str]]] = {
    Media.IMAGE: {**_COMMON, **_SIGHT, "with_heatmap": _BOOLEAN},
    Media.VIDEO: {
        **_COMMON,
        **_SIGHT,
        "frames": frozenset({"5", "10", "30"}),
        "key_frames": _BOOLEAN,
        "key_frames_method": frozenset({"iframes", "flow", "color"}),
    },
    Media.AUDIO: _COMMON,
}


def is_taken(media: Media, mime: str) -> bool:
    """Tell whether a file of this MIME name is taken as ``media``."""
    match media:
        case Media.IMAGE:
            return mime in _IMAGES
        case Media.VIDEO:
            return mime.startswith("video/")
        case Media.AUDIO:
            return mime in _SOUNDS or mime == "video/mp4"


def field_errors(media: Media, fields: Mapping[str, str], refused: Collection[str]) -> dict[str, list[str]]:
    """Return what is wrong with the options, by field, in the words of the vendor's framework."""
    errors = {
        name: [f"The selected {name.replace('_', ' ')} is invalid."]
        for name, allowed in _CHOICES[media].items()
        if name in fields and fields[name] not in allowed
    }
    return errors | {
        name: [f"The {name.replace('_', ' ')} field is prohibited."] for name in refused if name in fields
    }
