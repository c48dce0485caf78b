"""Lists as people and machines ask for them: filters from a query, a page by key, and a text that is looked for in names.

A text is looked for in pieces of the list, each a short transaction, until the page is full or the time for it is over;
then whoever asked is told how far it was looked, and goes on from there.
"""

import re
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from identifai_watch.core.model import Choice, FileState, Media, Outcome
from identifai_watch.core.sidecar import shown
from identifai_watch.errors import RefusedError
from identifai_watch.ledger import Ledger, Transaction, lists
from identifai_watch.ledger.lists import Spot, Wanted
from identifai_watch.ledger.views import Line

PAGE = 50
MOST = 500
PIECE = 5_000
LOOK_SECONDS = 1.0
LONGEST_TEXT = 200

NONE = "none"
"""As a decision: the desk has made none."""

_HASH = re.compile(r"[0-9a-f]{64}")
Member = TypeVar("Member", bound=StrEnum)


class Waits(StrEnum):
    """What may be asked for as a state besides those of the ledger."""

    HELD = "held"
    STUCK = "stuck"
    DOUBT = "doubt"


STATES = (*FileState, *Waits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a list is filtered by, as it was asked for; "" is everything."""

    outcome: str = ""
    decision: str = ""
    folder: str = ""
    node: str = ""
    media: str = ""
    state: str = ""
    text: str = ""
    to_review: bool = False

    @property
    def is_any(self) -> bool:
        """Whether anything is left out by them."""
        return any(getattr(self, name) for name in NAMES)

    def query(self, **more: str) -> str:
        """Return the query that asks for the same, and for what is given besides."""
        named = {name: getattr(self, name) for name in NAMES} | more
        return urlencode({name: value for name, value in named.items() if value})


NAMES = ("outcome", "decision", "folder", "node", "media", "state", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of a list. ``next`` is where the next one begins, None at the end.

    ``looked_to`` is set where the time was over before the page was full: nothing more of the text is newer than that.
    """

    lines: tuple[Line, ...]
    next: Spot | None = None
    looked_to: Spot | None = None


def filters(query: Mapping[str, str]) -> Filters:
    """Return the filters that a query names.

    Raises:
        RefusedError: A value of it is not known; the known ones are named.
    """
    found = Filters(
        outcome=_one_of(query, "outcome", [*Outcome]),
        decision=_one_of(query, "decision", [*Choice, NONE]),
        folder=query.get("folder", "").strip(),
        node=query.get("node", "").strip(),
        media=_one_of(query, "media", [*Media]),
        state=_one_of(query, "state", [*STATES]),
        text=query.get("text", "").strip(),
    )
    if len(found.text) > LONGEST_TEXT:
        raise RefusedError(f"text: is longer than {LONGEST_TEXT} characters")
    return found


def place(query: Mapping[str, str]) -> Spot | None:
    """Return where the page begins that a query asks for; raise RefusedError if that is no place."""
    cursor = query.get("after", "")
    try:
        return lists.spot(cursor) if cursor else None
    except ValueError:
        raise RefusedError(
            f"after: {shown(cursor[:60])!r} is no cursor; take the one that a page gave you"
        ) from None


def size(query: Mapping[str, str]) -> int:
    """Return how many files a page shall have; raise RefusedError if that is no number that is given."""
    asked = query.get("limit", "") or str(PAGE)
    if not (asked.isascii() and asked.isdigit() and 1 <= int(asked[:9]) <= MOST):
        raise RefusedError(f"limit: {shown(asked[:20])!r} is not a number from 1 to {MOST}")
    return int(asked)


def find(ledger: Ledger, wanted: Filters, *, after: Spot | None = None, limit: int = PAGE) -> Found:
    """Return a page of the files that are wanted, newest first, behind ``after``."""
    with ledger.read() as tx:
        which = _which(tx, wanted)
        if which is None:
            return Found(lines=())
        if not wanted.text:
            return _page(lists.page(tx, which, after=after, limit=limit + 1), limit)
    if _HASH.fullmatch(wanted.text.lower()):
        return _with_content(ledger, wanted)
    return _with_text(ledger, which, folded(wanted.text), after, limit)


def _with_content(ledger: Ledger, wanted: Filters) -> Found:
    """Return the files with a content; there are few, and other filters are not asked about them."""
    with ledger.read() as tx:
        return Found(lines=tuple(lists.with_content(tx, bytes.fromhex(wanted.text.lower()))[:MOST]))


def _with_text(ledger: Ledger, which: Wanted, text: str, after: Spot | None, limit: int) -> Found:
    """Return the files with a text in their path, as far as it can be looked in time."""
    ends_at = time.monotonic() + LOOK_SECONDS
    numbers: list[int] = []
    plain = text.encode() if text.isascii() else None
    while True:
        with ledger.read() as tx:
            piece = lists.names(tx, which, after=after, limit=PIECE)
        numbers += [number for _, number, parent, name in piece if _has(text, plain, parent + b"/" + name)]
        is_over = len(piece) < PIECE
        if is_over or len(numbers) > limit or time.monotonic() >= ends_at:
            break
        after = lists.spot_of(piece[-1])
    with ledger.read() as tx:
        lines = lists.lines_of(tx, numbers[: limit + 1])
    found = _page(lines, limit)
    if found.next is not None or is_over:
        return found
    last = lists.spot_of(piece[-1])
    return replace(found, next=last, looked_to=last)


def _has(text: str, plain: bytes | None, path: bytes) -> bool:
    """Tell whether a path holds a text; most paths, and ``plain`` texts, are ASCII, and a million are asked."""
    if path.isascii():
        return plain is not None and plain in path.lower()
    return text in folded(shown(path))


def _page(lines: list[Line], limit: int) -> Found:
    if len(lines) <= limit:
        return Found(lines=tuple(lines))
    last = lines[limit - 1].file
    return Found(lines=tuple(lines[:limit]), next=Spot(noticed_at=last.noticed_at, id=last.id))


def _which(tx: Transaction, wanted: Filters) -> Wanted | None:
    """Return what to ask the ledger for; None where nothing can be found."""
    is_placed = wanted.folder or wanted.node
    folder_ids = lists.folder_ids(tx, wanted.folder, wanted.node) if is_placed else None
    if folder_ids == ():
        return None
    decision = wanted.decision
    return Wanted(
        state=FileState(wanted.state) if wanted.state in [*FileState] else None,
        outcome=Outcome(wanted.outcome) if wanted.outcome else None,
        decision=Choice(decision) if decision in [*Choice] else None,
        decided=False if decision == NONE else None,
        media=Media(wanted.media) if wanted.media else None,
        folder_ids=folder_ids,
        held=wanted.state == Waits.HELD,
        stuck=wanted.state == Waits.STUCK,
        doubt=wanted.state == Waits.DOUBT,
        to_review=wanted.to_review,
    )


def folded(text: str) -> str:
    """Return a text as it is compared: whatever its case, and however its accents are written."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _one_of(query: Mapping[str, str], name: str, known: list[str]) -> str:
    asked = query.get(name, "")
    if asked and asked not in known:
        raise RefusedError(f"{name}: {shown(asked[:60])!r} is not known; known are {', '.join(known)}")
    return asked
