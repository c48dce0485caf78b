"""What one worker asks of identifAI for a batch of rows: requests in, events out; no ledger, no decision.

The events are written by the loop. Whatever is done here may be cut short at any point and done again.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO

from identifai_watch import config
from identifai_watch.api import Api, Cancelled, Upload, unheard
from identifai_watch.config import form_options
from identifai_watch.core import answers, sidecar
from identifai_watch.core.answers import Answer, Reading, Results
from identifai_watch.core.events import AccountEvent, AnalysisEvent, Pending, Unanswered, Unsent
from identifai_watch.core.model import Analysis, Fingerprint
from identifai_watch.folder.look import fingerprint
from identifai_watch.folder.opening import FolderError, MissingError, UnavailableError, open_inside
from identifai_watch.folder.pages import wake
from identifai_watch.places import Place

SINGLY_AT_ONCE = 3
"""Identifiers that a batch left out and that are asked for one by one in the same round (api-notes 11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What an upload tells while it is under way.

    ``progress`` gets the bytes of each block written; ``allowed`` is asked for at most so many bytes, and returns how
    many of them may go, once they may; 0 ends the upload. ``on_disk`` surrounds all that is asked of the disk, which may
    hang; ``closing`` comes before the closing boundary leaves: from there on it may have arrived.
    """

    progress: Callable[[int], None]
    allowed: Callable[[int], int]
    on_disk: Callable[[], AbstractContextManager[None]]
    closing: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came of an upload.

    ``changed`` is whether the file is no longer what the ledger knows; ``missing`` and ``unavailable`` are
    whether it, or its folder, could not be opened.
    """

    reading: Reading
    sent_name: str
    ref_id: str | None
    changed: bool = False
    missing: bool = False
    unavailable: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What came of asking for a batch: events by the id of the analysis, and what it means for the account."""

    events: Mapping[int, AnalysisEvent]
    account: Sequence[AccountEvent]
    unknown_statuses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The credits, or why they are not known; ``account`` is what the answer means for it."""

    credits: float | None
    account: AccountEvent | None
    why: str | None = None


def connect(
    settings: config.Api,
    key: Callable[[], str],
    depart: Callable[[str], None],
    answered: Callable[[str, Answer], None] = unheard,
) -> Api:
    """Return the API as it is configured.

    ``depart`` is called right before the first byte of each request leaves, ``answered`` with what came of it.
    """
    ca_file = None if settings.ca_file is None else str(settings.ca_file)
    proxy = settings.proxy or None
    return Api(settings.url, key, depart=depart, answered=answered, ca_file=ca_file, proxy=proxy)


def upload(
    api: Api,
    analysis: Analysis,
    place: Place,
    expected: Fingerprint | None,
    *,
    send_names: bool,
    now: Callable[[], datetime],
    signs: Signs,
) -> Sent:
    """Send one content to be judged, from the file at ``place`` as the ledger knows it.

    The digest of the bytes sent and the file's state must agree before the closing boundary leaves. A file that no
    scan looks at has no state to expect: what it is when it is opened must hold.
    """
    name = upload_name(place.path, analysis, send_names=send_names)
    extra = place.folder.extra_fields(analysis.media, place.path)
    form = form_options(analysis.options) | extra
    if analysis.no_cache:
        form["no_cache"] = "true"
    sent = Sent(reading=Reading(event=None), sent_name=name, ref_id=extra.get("ref_id"))
    opened = _opened(place, sent, signs)
    if isinstance(opened, Sent):
        return opened
    source = _Source(opened, analysis, expected, place=place, signs=signs)
    with opened, source.behind:
        if not source.is_unchanged():
            why = "the file changed before it was sent"
            return replace(sent, reading=Reading(event=Unsent(why, counts=True)), changed=True)
        parcel = Upload(
            file=source,
            name=name,
            mime=analysis.mime,
            size=analysis.size,
            verify=source.is_whole,
            progress=signs.progress,
        )
        answer = api.submit(analysis.media, parcel, form)
        changed = not source.is_unchanged()
    return replace(sent, reading=_reading(api, answer, now), changed=changed)


def _opened(place: Place, sent: Sent, signs: Signs) -> BinaryIO | Sent:
    """Open the file at ``place``, or return ``sent`` with why that cannot be."""
    try:
        with signs.on_disk():
            descriptor = open_inside(*_root_of(place))
    except MissingError as error:
        return replace(sent, reading=Reading(event=Unsent(str(error), counts=True)), missing=True)
    except UnavailableError as error:
        return replace(sent, reading=Reading(event=Unsent(str(error))), unavailable=str(error))
    except FolderError as error:
        return replace(sent, reading=Reading(event=Unsent(str(error), counts=True)))
    return open(descriptor, "rb", buffering=0)  # noqa: PTH123 - a descriptor has no path; the caller closes it


class _Source:
    """An open file that is sent, and is only to be completed as the version that was hashed."""

    def __init__(
        self, file: BinaryIO, analysis: Analysis, expected: Fingerprint | None, *, place: Place, signs: Signs
    ) -> None:
        self._file = file
        with signs.on_disk():
            self.behind = wake(file.fileno(), analysis.size)
        self._analysis = analysis
        self._place = place
        self._signs = signs
        self._expected = self._state() if expected is None else expected
        self._is_other = self._expected.size != analysis.size

    def read(self, most: int, /) -> bytes:
        """Return the next bytes that may go; that it waits for the disk, and not for the network, is told."""
        most = self._signs.allowed(most)
        if most == 0:
            raise Cancelled(
                "ended while it was sent: the daemon stops, or its folder was set up anew, or is another host's"
            )
        with self._signs.on_disk():
            block = self._file.read(most)
            self.behind.passed(len(block))
        return block

    def is_unchanged(self) -> bool:
        """Tell whether the file is still the version that was hashed."""
        within = self._place.folder.timestamp_granularity
        return not self._is_other and self._state().is_like(self._expected, within)

    def is_whole(self, digest: bytes) -> bool:
        """Tell whether the upload may be completed, its bytes having this digest."""
        self._is_other = digest != self._analysis.sha256
        if not self.is_unchanged():
            return False
        self._signs.closing()
        return True

    def _state(self) -> Fingerprint:
        with self._signs.on_disk():
            return fingerprint(os.fstat(self._file.fileno()), network=self._place.network)


def _reading(api: Api, answer: Answer, now: Callable[[], datetime]) -> Reading:
    """Read the answer to an upload; where it is unclear whose matter it is, the credits tell."""
    read = answers.upload(answer, now=now())
    if isinstance(read, Reading):
        return read
    balance = answers.credits(api.credits(), now=now())
    if balance.available is None:
        return read.otherwise
    again = answers.upload(answer, now=now(), credits=balance.available)
    return again if isinstance(again, Reading) else again.otherwise


def upload_name(path: bytes, analysis: Analysis, *, send_names: bool) -> str:
    """Return the name an upload goes by: 16 hex digits of its hash, so that sources stay private, or its own."""
    name = sidecar.shown(path.rpartition(b"/")[2])
    return name if send_names else analysis.sha256.hex()[:16] + PurePosixPath(name).suffix.lower()


def poll(api: Api, batch: Sequence[Analysis], *, now: Callable[[], datetime]) -> Polled:
    """Ask for the verdicts of analyses of one kind, in one GET where the API lets us."""
    rows = {row.identifier: row for row in batch if row.identifier is not None}
    found = _ask(api, list(rows.values()), now)
    events: dict[int, AnalysisEvent] = {}
    for identifier, event in found.events.items():
        events[rows[identifier].id] = event
    accounts = [found.account] if found.account is not None else []
    for identifier in found.missing[SINGLY_AT_ONCE:]:
        events[rows[identifier].id] = Pending()
    for identifier in found.missing[:SINGLY_AT_ONCE]:
        alone = _ask_alone(api, rows[identifier], now)
        events[rows[identifier].id] = alone.events.get(identifier, Pending())
        accounts += [alone.account] if alone.account is not None else []
    return Polled(events=events, account=accounts, unknown_statuses=found.unknown_statuses)


def _ask(api: Api, batch: Sequence[Analysis], now: Callable[[], datetime]) -> Results:
    """Ask for a batch; one that is refused as a whole is halved, down to single GETs."""
    if len(batch) == 1:
        return _ask_alone(api, batch[0], now)
    asked = [row.identifier or "" for row in batch]
    hashes = {row.identifier or "": row.sha256 for row in batch}
    hearsay = {row.identifier or "" for row in batch if _is_hearsay(row)}
    answer = api.results(batch[0].media, asked)
    found = answers.results(
        answer, media=batch[0].media, asked=asked, hashes=hashes, now=now(), hearsay=hearsay
    )
    if not found.split:
        return found
    middle = len(batch) // 2
    halves = [_ask(api, batch[:middle], now), _ask(api, batch[middle:], now)]
    return Results(
        events={**halves[0].events, **halves[1].events},
        missing=halves[0].missing + halves[1].missing,
        unknown_statuses=halves[0].unknown_statuses | halves[1].unknown_statuses,
        account=halves[0].account or halves[1].account,
    )


def _is_hearsay(row: Analysis) -> bool:
    """Tell whether an identifier comes from a sidecar, after the ledger was lost: the API did not give it to us."""
    return row.submitted_at is None


def _ask_alone(api: Api, row: Analysis, now: Callable[[], datetime]) -> Results:
    """Ask for one identifier; if that is refused, the balance tells whether it or the account is meant."""
    identifier = row.identifier or ""
    answer = api.result(row.media, identifier)
    found = answers.result(
        answer,
        media=row.media,
        identifier=identifier,
        sha256=row.sha256,
        now=now(),
        is_hearsay=_is_hearsay(row),
    )
    if not found.ask_account:
        return found
    balance = answers.credits(api.credits(), now=now())
    event: AnalysisEvent = Unanswered(found.refusal or "refused", counts=False)
    if balance.available is not None:
        event = answers.lost(identifier, found.refusal)
    return Results(events={identifier: event}, account=balance.account)


def heatmap(api: Api, row: Analysis, *, now: Callable[[], datetime]) -> answers.Heatmap:
    """Fetch the heatmap of a judged image."""
    return answers.heatmap(api.heatmap(row.identifier or ""), now=now())


def balance(api: Api, *, now: Callable[[], datetime]) -> Balance:
    """Ask for the credits."""
    found = answers.credits(api.credits(), now=now())
    return Balance(credits=found.available, account=found.account, why=found.why)


def _root_of(place: Place) -> tuple[bytes, bytes]:
    """Return the root that a path is opened below: the folder's, or its own directory if it was moved outside."""
    if not place.path.startswith(b"/"):
        return place.folder.root, place.path
    parent, _, name = place.path.rpartition(b"/")
    return parent or b"/", name
