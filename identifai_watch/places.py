"""Where a file is read, and where a path is judged: in the watched folder that takes it, else among the single files.

Names only: the disk is not looked at.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from identifai_watch import config
from identifai_watch.config import Folder
from identifai_watch.core import media, report
from identifai_watch.folder.rules import Rules, why_not_file

AD_HOC = report.AD_HOC
"""The folder of the files that ``judge`` names outside every folder; their paths are relative to ``/``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a file is read from: its folder as configured, its path there, and whether that is on a network."""

    folder: Folder
    path: bytes
    network: bool


def ad_hoc_folder() -> Folder:
    """Return the folder of single files: their verdicts go to the ledger, and nothing is written beside them.

    Somebody names such a file and waits, so that it has to be quiet for a second only.
    """
    settings = {"path": "/", "name": AD_HOC, "action": "record", "events": "off", "settle_seconds": 1.0}
    return config.parse(config.dump({"folder": [settings]}), Path("/")).folders[0]


def place_of(folders: Sequence[Folder], path: bytes) -> tuple[Folder, bytes]:
    """Return the folder that the file at an absolute path is judged in, and its path there.

    What a watched folder does not take, its own results for instance, is a single file like any other.
    """
    for folder in folders:
        root = folder.root.rstrip(b"/") + b"/"
        relative = path.removeprefix(root)
        if relative != path and why_not_file(relative, rules_of(folder)) is None:
            return folder, relative
    return ad_hoc_folder(), path.lstrip(b"/")


def rules_of(folder: Folder) -> Rules:
    """Return which names of a folder are looked at."""
    return Rules(
        include=folder.include,
        exclude=folder.exclude,
        recursive=folder.recursive,
        destinations=folder.own_places(),
        xmp=folder.xmp,
    )


def rules_key(folder: Folder, policy: media.Policy) -> str:
    """Return what a decision to leave or refuse a file was made under; another key has it made anew."""
    return json.dumps(
        {
            "media": sorted(folder.media),
            "mp4_as": folder.mp4_as,
            "min_bytes": folder.min_bytes,
            "unsupported": folder.unsupported,
            "limits": {str(kind): limit for kind, limit in sorted(policy.limits.items())},
        }
    )
