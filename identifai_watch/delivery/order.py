"""What is to be delivered, what came of it, and the turns of events that keep it from being delivered."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from identifai_watch.core.model import Fingerprint
from identifai_watch.core.routing import Action
from identifai_watch.core.xmp import Marks

FOLDER_TROUBLE = frozenset(
    {
        errno.ESTALE,
        errno.EIO,
        errno.ENOTCONN,
        errno.ENODEV,
        errno.ENXIO,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ESHUTDOWN,
    }
)
"""Error numbers that speak of the file system as a whole, not of one file."""


class DeliveryError(Exception):
    """It could not be done and nothing was lost; ``folder_trouble`` tells that the whole folder is affected."""

    def __init__(self, reason: str, *, folder_trouble: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.folder_trouble = folder_trouble


class Taken(Exception):  # noqa: N818 - a turn of events that a new choice answers, no error
    """The committed destination was meanwhile taken by other content: choose anew."""


class SourceChanged(Exception):  # noqa: N818 - a turn of events: the file is to be judged anew
    """The file is no longer the one that was judged."""


class SourceGone(Exception):  # noqa: N818 - a turn of events: the next scan sees it
    """The file is neither where it lay nor where it was to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One file that is to be delivered.

    Paths are bytes, relative to ``root`` or absolute. ``path`` is where the file was noticed, ``lies_at`` where
    it lies if that is another place, ``destination`` the place that ``choose`` found and the ledger committed.
    ``copied_to`` is where an earlier delivery put a copy, which a new outcome then takes along.
    ``sha256`` is None for a file that was refused unread. ``document`` is the sidecar's JSON, which
    ``record`` alone does without; ``heatmap`` is a PNG.
    ``destination_roots`` are the absolute destinations of the configuration: up to them links are followed, as
    the operator wrote them; below them, and below ``root``, never. The modes are those of what we create.
    ``granularity`` is how far two readings of the times of one version may differ. ``marks`` are what is to stand in
    the XMP file beside it, None if nothing of ours is.
    """

    root: bytes
    path: bytes
    fingerprint: Fingerprint
    action: Action
    lies_at: bytes | None = None
    destination: bytes | None = None
    copied_to: bytes | None = None
    sha256: bytes | None = None
    document: bytes | None = None
    heatmap: bytes | None = None
    destination_roots: tuple[bytes, ...] = ()
    file_mode: int = 0o664
    directory_mode: int = 0o2775
    network: bool = False
    granularity: timedelta = timedelta(0)
    companions: bool = True
    marks: Marks | None = None

    @property
    def source(self) -> bytes:
        """Where the file lies before this delivery."""
        return self.path if self.lies_at is None else self.lies_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a delivery left behind.

    ``lies_at`` is where the file lies if that is not where it was noticed; ``fingerprint`` was read after our
    own writes. ``copied_to`` is where its copy lies. ``sidecar`` and ``heatmap`` are paths like those of the order.
    ``left_alone`` says which XMP file was not extended, and why.
    """

    lies_at: bytes | None
    fingerprint: Fingerprint
    copied_to: bytes | None = None
    sidecar: bytes | None = None
    heatmap: bytes | None = None
    left_alone: str | None = None


@contextmanager
def reasons(doing: str) -> Iterator[None]:
    """Translate what the disk says into a DeliveryError: what was being done, and the disk's own words."""
    try:
        yield
    except OSError as error:
        words = f"{doing}: {error.strerror or error}"
        raise DeliveryError(words, folder_trouble=error.errno in FOLDER_TROUBLE) from error
