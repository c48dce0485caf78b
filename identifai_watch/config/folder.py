"""One ``[[folder]]``: its settings, and what the core's rules are made of from them."""

import os
import string
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from identifai_watch.config.options import KINDS, Options
from identifai_watch.config.values import (
    Count,
    FilePath,
    MinConfidence,
    Mode,
    Number,
    Section,
    Switch,
    Text,
    absolute,
    text,
    thresholds,
    wrong,
)
from identifai_watch.core import media as media_rules
from identifai_watch.core import routing, settling
from identifai_watch.core.addresses import address
from identifai_watch.core.model import Media, Outcome
from identifai_watch.core.routing import ROUTED, Action
from identifai_watch.core.sidecar import shown

_RELOCATING = frozenset({Action.MOVE, Action.COPY})
_PLACEHOLDERS = frozenset({"folder", "path"})


class Existing(StrEnum):
    """What becomes of the files that the first full scan of a folder finds."""

    HOLD = "hold"
    JUDGE = "judge"
    IGNORE = "ignore"


class Unsupported(StrEnum):
    """What becomes of media that the API does not take."""

    LEAVE = "leave"
    REJECT = "reject"


class Orphans(StrEnum):
    """What becomes of the sidecar of a file that has been gone for a day."""

    ASIDE = "aside"
    KEEP = "keep"


class Events(StrEnum):
    """Whether a folder is watched by events besides the scan."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Folder(Section):
    """A drop folder. ``path`` is absolute; durations are in seconds, sizes in bytes, modes are octal."""

    path: FilePath
    shared: Text = Field(default="", max_length=100)
    name: Text = Field(default="", validate_default=True, max_length=100)
    recursive: Switch = True
    media: tuple[Media, ...] = tuple(Media)
    include: tuple[Text, ...] = ()
    exclude: tuple[Text, ...] = ()
    min_bytes: Count = 0
    mp4_as: Literal[Media.VIDEO, Media.AUDIO] = Media.VIDEO
    existing: Existing = Existing.HOLD
    existing_hold_above: Count = 500
    unsupported: Unsupported = Unsupported.LEAVE
    events: Events = Events.AUTO
    settle_seconds: Number = Field(default=5.0, ge=0.1, le=3600)
    rescan_seconds: Number = Field(default=60.0, ge=0.1, le=604_800)
    read_megabytes_per_second: Number = Field(default=0.0, ge=0)
    timestamp_granularity_seconds: Number = Field(default=0.0, ge=0, le=60)
    priority: int = Field(default=0, strict=True, ge=-1000, le=1000)
    action: Action = Action.SIDECAR
    xmp: Switch = False
    keep_tree: Switch = True
    human: Text = Field(default="human", validate_default=True)
    artificial: Text = Field(default="artificial", validate_default=True)
    uncertain: Text = Field(default="uncertain", validate_default=True)
    rejected: Text = Field(default="rejected", validate_default=True)
    unchecked: Text = Field(default="unchecked", validate_default=True)
    release_after_minutes: Number = Field(default=0.0, ge=0, le=43_200)
    orphans: Orphans = Orphans.ASIDE
    min_confidence: MinConfidence = Field(default_factory=lambda: thresholds(0.0))
    c2pa_generated: Literal["artificial", "uncertain", "ignore"] = "artificial"
    file_mode: Mode = 0o664
    directory_mode: Mode = 0o2775
    ref_id: Text = ""
    notify: tuple[Outcome, ...] | None = None
    shown_as: Text = ""
    options: Options = Field(default_factory=Options)

    @field_validator("name")
    @classmethod
    def _named(cls, name: str, info: ValidationInfo) -> str:
        path: Path | None = info.data.get("path")
        if path is None:
            return name
        shared = info.data.get("shared", "")
        if shared and name not in {"", shared}:
            raise ValueError(
                f'"{name}" is not the name "{shared}" under which hosts share it; leave one of them out'
            )
        name = name or shared
        if (name or path.name) == "":
            raise ValueError(f"is empty and cannot be taken from the path {path}; give the folder a name")
        if "/" in name:
            raise ValueError(f'"{name}" holds a slash; a name is no path')
        return name or path.name

    @field_validator("media")
    @classmethod
    def _each_once(cls, media: tuple[Media, ...]) -> tuple[Media, ...]:
        if not media:
            raise ValueError(f"is empty, so that nothing would be judged; name some of {', '.join(Media)}")
        return tuple(dict.fromkeys(media))

    @field_validator("include", "exclude")
    @classmethod
    def _globs(cls, globs: tuple[str, ...]) -> tuple[str, ...]:
        if any(glob.strip() == "" for glob in globs):
            raise ValueError("holds an empty glob; leave it away")
        return globs

    @field_validator("human", "artificial", "uncertain", "rejected", "unchecked")
    @classmethod
    def _destination(cls, value: str, info: ValidationInfo) -> str:
        """Write a place inside the folder relative to it, and any other as an absolute path."""
        path: Path | None = info.data.get("path")
        if path is None:
            return value
        place = absolute(value, path)
        if path.is_relative_to(place):
            raise ValueError(
                f'"{value}" is the folder itself or lies above it; its results would be its input'
            )
        return str(place.relative_to(path)) if place.is_relative_to(path) else str(place)

    @field_validator("xmp")
    @classmethod
    def _beside(cls, xmp: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's signature
        if xmp and info.data.get("action") is Action.RECORD:
            raise ValueError(
                'is true, and with action = "record" nothing is written into the folder; set action = "sidecar" '
                "where it may be written to, or leave xmp away"
            )
        return xmp

    @field_validator("file_mode")
    @classmethod
    def _we_can_write(cls, mode: int) -> int:
        if mode & 0o600 != 0o600:
            raise ValueError(f'"{mode:04o}" keeps its owner from reading and writing; begin it with 06')
        return mode

    @field_validator("directory_mode")
    @classmethod
    def _we_can_enter(cls, mode: int) -> int:
        if mode & 0o700 != 0o700:
            raise ValueError(f'"{mode:04o}" keeps its owner from entering and writing; give the owner a 7')
        return mode

    @field_validator("ref_id")
    @classmethod
    def _template(cls, template: str) -> str:
        try:
            fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
        except ValueError as error:
            raise ValueError(f'"{template}" has unequal braces; write {{folder}}/{{path}}') from error
        if any(spec or conversion for _, _, spec, conversion in fields):
            raise ValueError(f'"{template}" formats what it names; write {{folder}} and {{path}} alone')
        strangers = sorted({str(name) for _, name, _, _ in fields} - _PLACEHOLDERS)
        if strangers:
            raise ValueError(f'"{template}" names {", ".join(strangers)}; known: folder, path')
        return template

    @field_validator("options")
    @classmethod
    def _of_use(cls, options: Options, info: ValidationInfo) -> Options:
        found = [
            (
                (name,),
                f"is for {' and '.join(sorted(KINDS[name]))} only, which this folder's media leaves out",
            )
            for name in options.useless(info.data.get("media", tuple(Media)))
        ]
        if found:
            raise wrong(found)
        return options

    def node_of(self, host: str) -> str:
        """Return under which node the ledger has this folder on a ``host``: "" is that of what several share."""
        return "" if self.shared else host

    @property
    def root(self) -> bytes:
        """The folder's path as the file system's bytes."""
        return os.fsencode(self.path)

    def shown_at(self, path: bytes) -> str:
        """Return where people find a file, by its path relative to the folder (or absolute, outside of it)."""
        return address(self.shown_as or shown(self.root), path)

    @property
    def settle(self) -> timedelta:
        """How long a file stays unchanged before it counts as whole."""
        return timedelta(seconds=self.settle_seconds)

    @property
    def release_after(self) -> timedelta | None:
        """How long a whole file may wait for its verdict before it is let go unchecked; None for ever."""
        minutes = self.release_after_minutes
        return timedelta(minutes=minutes) if minutes > 0 else None

    @property
    def rescan(self) -> timedelta:
        """How long the truth may lag behind when no event tells."""
        return timedelta(seconds=self.rescan_seconds)

    @property
    def read_rate(self) -> float:
        """Bytes a second that are read of the folder's files; 0 for no brake."""
        return self.read_megabytes_per_second * 1_000_000

    @property
    def timestamp_granularity(self) -> timedelta:
        """How far two readings of one version's times may differ."""
        return timedelta(seconds=self.timestamp_granularity_seconds)

    def destinations(self) -> dict[Outcome, bytes]:
        """Return where each outcome goes: relative to the folder, or absolute outside of it."""
        return {outcome: os.fsencode(getattr(self, outcome)) for outcome in ROUTED}

    def own_places(self) -> tuple[bytes, ...]:
        """Return the destinations below the folder that hold its results, so that they never are its input.

        There are none with ``sidecar`` and ``record``, where a directory named ``human`` is the user's own.
        """
        if self.action not in _RELOCATING:
            return ()
        return tuple(sorted({place for place in self.destinations().values() if not place.startswith(b"/")}))

    def foreign_places(self) -> dict[Outcome, Path]:
        """Return the destinations outside of the folder that are in use."""
        if self.action not in _RELOCATING:
            return {}
        return {
            outcome: Path(os.fsdecode(place))
            for outcome, place in self.destinations().items()
            if place.startswith(b"/")
        }

    def settle_policy(self, *, network: bool) -> settling.Policy:
        """Return when a file counts as whole, on a network file system or a local one."""
        return settling.Policy(settle=self.settle, network=network, granularity=self.timestamp_granularity)

    def media_policy(self, limits: Mapping[Media, int]) -> media_rules.Policy:
        """Return what is sent, rejected and left alone; ``limits`` are bytes for each kind."""
        return media_rules.Policy(
            kinds=frozenset(self.media),
            mp4_as=self.mp4_as,
            limits=limits,
            min_bytes=self.min_bytes,
            reject_unsupported=self.unsupported is Unsupported.REJECT,
        )

    def routing_rules(self) -> routing.Rules:
        """Return how a verdict becomes an outcome and a place."""
        return routing.Rules(
            action=self.action,
            keep_tree=self.keep_tree,
            destinations=self.destinations(),
            min_confidence=self.min_confidence,
            c2pa_generated=self.c2pa_generated,
        )

    def canonical_options(self, media: Media) -> str:
        """Return the options by which an analysis of ``media`` is known, as canonical JSON."""
        return self.options.canonical(media)

    def extra_fields(self, media: Media, path: bytes) -> dict[str, str]:
        r"""Return the form fields that go with one file and tell nothing apart: ``ref_id``, ``webhook_url``.

        What of ``path`` (relative to the folder) is no UTF-8, or could do something to a terminal, is written as ``\xe9``.
        """
        fields = self.options.unkeyed(media)
        if self.ref_id != "":
            fields["ref_id"] = self.ref_id.format(folder=self.name, path=shown(path))
        return fields


def written_name(folder: object) -> str | None:
    """Return the name that the operator wrote in a raw ``[[folder]]`` table, if it can be spoken of."""
    try:
        return text(folder["name"]) or None if isinstance(folder, dict) else None
    except (KeyError, ValueError):
        return None
