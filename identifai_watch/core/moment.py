"""What a daemon is at this moment, as only itself knows: what settles, is hashed and is uploaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MOST_SHOWN = 20
"""Of each kind; how many there are in all is told besides."""


class Doing(StrEnum):
    """What is done with a file that is on its way."""

    SETTLING = "settling"
    HASHING = "hashing"
    UPLOADING = "uploading"


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """One file on its way: ``size`` in bytes, ``done`` so many of them sent, None where that is not counted.

    ``why`` is what it is waited for, ``analysis_id`` the content that is uploaded.
    """

    folder: str
    path: bytes
    doing: Doing
    size: int
    done: int | None = None
    why: str | None = None
    analysis_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is under way at ``at``: how many files of each kind, and the first of them."""

    at: datetime
    settling: int
    hashing: int
    uploading: int
    motions: Sequence[Motion] = ()

    def doing(self, what: Doing) -> list[Motion]:
        """Return the files with which this is done."""
        return [motion for motion in self.motions if motion.doing == what]
