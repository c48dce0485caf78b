"""What a run over all there is would send: every file looked at, equal contents told apart, nothing written."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from identifai_watch.config import Config, Folder
from identifai_watch.core import media
from identifai_watch.core.model import Fingerprint, Media, Remembered
from identifai_watch.core.sidecar import shown
from identifai_watch.core.words import files
from identifai_watch.folder.digest import digest
from identifai_watch.folder.opening import FolderError, open_inside
from identifai_watch.folder.roots import inspect_root
from identifai_watch.folder.scan import New, Unlisted, scan
from identifai_watch.folder.sniff import HEAD, sniff
from identifai_watch.ledger import Ledger, runs, views, whereabouts
from identifai_watch.places import rules_of

Say = Callable[[str], None]
"""Told what is being done, for a terminal."""


class Nothing:
    """A memory of no file, so that a scan tells of all of them."""

    def directory(self, _parent: bytes, _most: int) -> dict[bytes, Remembered]:
        """Know nothing."""
        return {}

    def known(self, _parent: bytes, _names: Sequence[bytes]) -> Mapping[bytes, Remembered]:
        """Know nothing."""
        return {}

    def rows(self, _parent: bytes) -> tuple[()]:
        """Remember nothing."""
        return ()

    def names(self, _parent: bytes) -> Iterable[bytes]:
        """Expect nothing."""
        return ()

    def parents(self) -> Iterable[bytes]:
        """Expect nothing."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file that is of a kind to be sent; ``sha256`` is known where the ledger has this very version of it."""

    folder: Folder
    path: bytes
    fingerprint: Fingerprint
    network: bool
    media: Media
    options: str
    sha256: bytes | None = None

    @property
    def alike(self) -> tuple[int, Media, str]:
        """What files of one content have in common, as far as that shows without reading them."""
        return self.fingerprint.size, self.media, self.options


@dataclass(slots=True, kw_only=True)
class Kind:
    """What there is of one kind: ``contents`` are the unique ones, ``posts`` those that are not paid for yet."""

    files: int = 0
    bytes: int = 0
    contents: int = 0
    posts: int = 0
    post_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class Rest:
    """Files of one extension that would not be sent; ``reason`` is that of the first."""

    fate: str
    extension: str
    reason: str
    files: int = 0
    bytes: int = 0


@dataclass(slots=True, kw_only=True)
class Survey:
    """What is there; ``troubles`` are folders, directories and files that cannot be read."""

    kinds: dict[Media, Kind] = field(default_factory=lambda: {kind: Kind() for kind in Media})
    rests: dict[tuple[str, str], Rest] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    @property
    def posts(self) -> int:
        """How many uploads a run would make."""
        return sum(kind.posts for kind in self.kinds.values())


def look_over(config: Config, say: Say) -> Survey:
    """Look at all folders, and tell equal contents apart."""
    survey = Survey()
    with _ledger_of(config) as ledger:
        candidates: list[Candidate] = []
        for folder in config.folders:
            candidates += _candidates(config, folder, ledger, survey, say)
        _count(candidates, ledger, survey, say)
    return survey


@contextmanager
def _ledger_of(config: Config) -> Iterator[Ledger | None]:
    """Open the ledger if there is one, for what is paid already; none is made."""
    if config.ledger.path is not None and not config.ledger.path.exists():
        yield None
        return
    ledger = Ledger(config.ledger.url, node=config.node.name)
    try:
        yield ledger
    finally:
        ledger.close()


# Which files are of a kind to be sent.


def _candidates(
    config: Config, folder: Folder, ledger: Ledger | None, survey: Survey, say: Say
) -> Iterator[Candidate]:
    """Give the files of a folder that would be sent, by their names and first bytes."""
    try:
        network = inspect_root(folder.root).network
    except FolderError as error:
        survey.troubles.append(f"folder {folder.name} ({folder.path}) is unavailable: {error}")
        return
    policy = folder.media_policy(config.limits.by_media())
    seen = 0
    for chunk in scan(folder.root, Nothing(), rules_of(folder), network=network):
        found: list[Candidate] = []
        for finding in chunk:
            if isinstance(finding, New):
                seen += 1
                kind = _kind(folder, finding, policy, survey)
                if kind is not None:
                    found.append(_candidate(folder, finding, kind, network=network))
            elif isinstance(finding, Unlisted):
                survey.troubles.append(
                    f"{folder.name}/{shown(finding.path)} cannot be listed: {finding.reason}"
                )
        yield from _recognised(ledger, folder, found)
        say(f"{folder.name}: {files(seen)} looked at")


def _kind(folder: Folder, found: New, policy: media.Policy, survey: Survey) -> Media | None:
    """Return the kind that a file would be sent as; what would not be sent is counted with its reason."""
    try:
        sniffed = _sniffed(folder.root, found.path)
    except FolderError as error:
        survey.troubles.append(f"{folder.name}/{shown(found.path)} cannot be read: {error}")
        return None
    name, size = found.path.rpartition(b"/")[2], found.fingerprint.size
    judged = media.judge(name, sniffed, size, policy)
    if isinstance(judged, media.Send):
        return judged.media
    fate = "rejected" if isinstance(judged, media.Reject) else "left alone"
    extension = shown(name.rpartition(b".")[2].lower()) if b"." in name else ""
    first = Rest(fate=fate, extension=extension, reason=judged.reason)
    rest = survey.rests.setdefault((fate, extension), first)
    rest.files += 1
    rest.bytes += size
    return None


def _sniffed(root: bytes, path: bytes) -> str | None:
    descriptor = open_inside(root, path)
    try:
        return sniff(os.pread(descriptor, HEAD, 0))
    finally:
        os.close(descriptor)


def _candidate(folder: Folder, found: New, kind: Media, *, network: bool) -> Candidate:
    return Candidate(
        folder=folder,
        path=found.path,
        fingerprint=found.fingerprint,
        network=network,
        media=kind,
        options=folder.canonical_options(kind),
    )


def _recognised(ledger: Ledger | None, folder: Folder, found: list[Candidate]) -> list[Candidate]:
    """Take the digests that the ledger has: what is known need not be read again."""
    if ledger is None:
        return found
    with ledger.read() as tx:
        shared = (folder.name,) if folder.shared else ()
        number = views.folder_ids(tx, ledger.node, shared).get(folder.name)
        if number is None:
            return found
        rows = [whereabouts.at_place(tx, number, one.path) for one in found]
    within = folder.timestamp_granularity
    return [
        replace(one, sha256=row.sha256)
        if row is not None and row.fingerprint.is_like(one.fingerprint, within)
        else one
        for one, row in zip(found, rows, strict=True)
    ]


# Which contents there are.


def _count(candidates: Sequence[Candidate], ledger: Ledger | None, survey: Survey, say: Say) -> None:
    """Count files, contents and posts; only files that may be alike are read."""
    crowd = Counter(one.alike for one in candidates)
    paid_sizes: set[int] = set()
    if ledger is not None:
        with ledger.read() as tx:
            paid_sizes = runs.sizes(tx)
    to_read = sum(one.fingerprint.size for one in candidates if _must_read(one, crowd, paid_sizes))
    done = 0
    seen: set[tuple[object, ...]] = set()
    for one in candidates:
        sha256 = one.sha256
        if _must_read(one, crowd, paid_sizes):
            done += one.fingerprint.size
            sha256 = _digest(one, survey)
            say(f"comparing contents: {done:,} of {to_read:,} bytes")
        kind = survey.kinds[one.media]
        kind.files += 1
        kind.bytes += one.fingerprint.size
        content = (sha256 or (one.folder.name, one.path), one.media, one.options)
        if content in seen:
            continue
        seen.add(content)
        kind.contents += 1
        if not _is_paid(ledger, one, sha256):
            kind.posts += 1
            kind.post_bytes += one.fingerprint.size


def _must_read(one: Candidate, crowd: Counter[tuple[int, Media, str]], paid_sizes: set[int]) -> bool:
    """Tell whether a file's content may be that of another one, here or in the ledger."""
    return one.sha256 is None and (crowd[one.alike] > 1 or one.fingerprint.size in paid_sizes)


def _digest(one: Candidate, survey: Survey) -> bytes | None:
    try:
        found = digest(
            one.folder.root,
            one.path,
            expected=one.fingerprint,
            network=one.network,
            within=one.folder.timestamp_granularity,
        )
    except FolderError as error:
        survey.troubles.append(f"{one.folder.name}/{shown(one.path)}: {error}")
        return None
    return found.sha256


def _is_paid(ledger: Ledger | None, one: Candidate, sha256: bytes | None) -> bool:
    if ledger is None or sha256 is None:
        return False
    with ledger.read() as tx:
        return runs.is_paid(tx, sha256, one.media, one.options)
