"""The options that identifAI takes with an upload, and the canonical form by which an analysis is known.

Which kind takes which option is the vendor's documentation's; what is sent beside them (name, ``ref_id``) is
left to the folder.
"""

import json
from collections.abc import Collection, Mapping
from typing import ClassVar, Literal

from pydantic import Field, ValidationError

from identifai_watch.config.values import Section, Switch, WebAddress
from identifai_watch.core.model import Media

_EVERY = frozenset(Media)
_SEEN = frozenset({Media.IMAGE, Media.VIDEO})

KINDS: Mapping[str, frozenset[Media]] = {
    "prevent_c2pa_forces": _EVERY,
    "with_morphing": _SEEN,
    "with_tampering": _SEEN,
    "with_heatmap": frozenset({Media.IMAGE}),
    "with_nsfw": _SEEN,
    "frames": frozenset({Media.VIDEO}),
    "key_frames": frozenset({Media.VIDEO}),
    "key_frames_method": frozenset({Media.VIDEO}),
    "webhook_url": _EVERY,
}

API_DEFAULTS: Mapping[str, bool | int | str | None] = {
    "prevent_c2pa_forces": False,
    "with_morphing": False,
    "with_tampering": False,
    "with_heatmap": False,
    "with_nsfw": False,
    "frames": None,
    "key_frames": None,
    "key_frames_method": "iframes",
    "webhook_url": "",
}

UNKEYED = frozenset({"webhook_url"})
"""Sent, but no part of what an analysis is known by: a new address must not have an archive paid for again."""


class Options(Section):
    """``[folder.options]``: what is sent to the API with each upload of a kind that takes it."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "no_cache": "is not for a folder, it would pay for every copy again; use the command rejudge",
        "ref_id": "belongs to the folder itself; write it above [folder.options]",
        "with_llm": "is no longer taken by the API; leave it away",
    }

    # Ours differs from the API's, which calls every signed camera picture artificial (api-notes 18).
    prevent_c2pa_forces: Switch = True
    with_morphing: Switch = False
    with_tampering: Switch = False
    with_heatmap: Switch = False
    with_nsfw: Switch = False
    frames: Literal[5, 10, 30] | None = None
    key_frames: Switch | None = None
    key_frames_method: Literal["iframes", "flow", "color"] = "iframes"
    webhook_url: WebAddress = Field(default="", repr=False)

    def canonical(self, media: Media) -> str:
        """Return the options of ``media`` that differ from the API's own, as JSON with sorted keys."""
        return json.dumps(
            self._differing(media, KINDS.keys() - UNKEYED), sort_keys=True, separators=(",", ":")
        )

    def unkeyed(self, media: Media) -> dict[str, str]:
        """Return the form fields that are sent beside the canonical ones."""
        return _as_fields(self._differing(media, UNKEYED))

    def useless(self, kinds: Collection[Media]) -> list[str]:
        """Return the names of the options that are set although none of ``kinds`` takes them."""
        return sorted(
            name
            for name in self.model_fields_set
            if getattr(self, name) != API_DEFAULTS[name] and KINDS[name].isdisjoint(kinds)
        )

    def _differing(self, media: Media, names: Collection[str]) -> dict[str, object]:
        return {
            name: getattr(self, name)
            for name in names
            if media in KINDS[name] and getattr(self, name) != API_DEFAULTS[name]
        }


def canonical_of(media: Media, options: Mapping[str, object]) -> str | None:
    """Return the canonical form of options that came from elsewhere; None if we would never have written them so."""
    try:
        meant = Options.model_validate({**API_DEFAULTS, **options}).canonical(media)
    except ValidationError:
        return None
    said = json.dumps(dict(options), sort_keys=True, separators=(",", ":"))
    return meant if meant == said else None


def form_options(canonical: str) -> dict[str, str]:
    """Return canonical options as form fields; booleans are spelt ``true`` and ``false``."""
    return _as_fields(json.loads(canonical))


def _as_fields(options: Mapping[str, object]) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in options.items()
    }
