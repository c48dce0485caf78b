"""What identifAI's answers mean: the answer to one kind of request -> what the row meets and what the account.

Whose matter an answer is stands in the table of ``replies``; what an element of a result says in ``verdicts``. How
a request is made is left to ``api``, what the events do to ``lifecycle`` and ``gate``. Numbers in comments are
those of docs/api-notes.md.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from identifai_watch.core.events import (
    AccountEvent,
    AnalysisEvent,
    Barred,
    Deferred,
    Errored,
    Healthy,
    Judged,
    Lost,
    Malformed,
    Mismatched,
    Overridden,
    Pending,
    Refused,
    Unanswered,
    Unreachable,
    Unsent,
    Uploaded,
)
from identifai_watch.core.model import Label, Media, PauseReason
from identifai_watch.core.replies import (
    Answer,
    Failure,
    Matter,
    Response,
    account,
    complaint,
    elements,
    is_identifier,
    json_of,
    matter,
    one_line,
    reason,
    retry_after,
    text_of,
)
from identifai_watch.core.verdicts import label, mapping, number, verdict

__all__ = [
    "Answer",
    "AskCredits",
    "Credits",
    "Failure",
    "Heatmap",
    "Reading",
    "Response",
    "Results",
    "credits",
    "heatmap",
    "is_identifier",
    "lost",
    "override",
    "result",
    "results",
    "retry_after",
    "upload",
    "verdict",
]

_PNG = b"\x89PNG\r\n\x1a\n"
_MAY_BE_UNCLEAR = (400, 422)
_PURSE_WORDS = re.compile(r"credit|balance|quota|payment|funds", re.IGNORECASE)
_FILE_WORDS = re.compile(
    r"not supported|unsupported|exceeds the maximum|too (?:large|big|long|short)|(?:is|are) required|must be"
    r"|invalid|corrupt|damaged|empty|(?:cannot|could not) be|unable to",
    re.IGNORECASE,
)
_NO_IDENTIFIERS = ("", "null", "true", "false")


# Submissions.


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an answer means: for the row, if anything, and for the account, if anything."""

    event: AnalysisEvent | None
    account: AccountEvent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskCredits:
    """A 400 that may be the purse's: ask for the credits and read it again with them (7).

    ``otherwise`` is the reading where the credits cannot be learnt.
    """

    otherwise: Reading


def upload(answer: Answer, *, now: datetime, credits: float | None = None) -> Reading | AskCredits:  # noqa: A002 - the API's word
    """Read the answer to a submission; ``credits`` are the account's, once ``AskCredits`` was answered."""
    of_account = account(answer, now)
    match matter(answer):
        case Matter.FINE:
            return _named(answer)
        case Matter.KEY | Matter.PURSE | Matter.THROTTLE:
            return Reading(event=Unsent(reason(answer)), account=of_account)
        case Matter.FORBIDDEN:
            return Reading(event=Unsent(reason(answer)), account=Barred(PauseReason.TERMS, reason(answer)))
        case Matter.NOWHERE:
            why = f"{reason(answer)}; is api.url right?"
            return Reading(event=Unsent(why), account=Unreachable(why))
        case Matter.OURS | Matter.NETWORK:
            return Reading(event=_unfinished(answer, counts=False), account=of_account)
        case Matter.TROUBLE:
            return Reading(event=_unfinished(answer, counts=True), account=of_account)
        case Matter.REFUSED:
            return _refused(answer, credits)


def _named(answer: Answer) -> Reading:
    """Find the identifier: JSON, a quoted string or the bare text (25)."""
    parsed = json_of(answer)
    if isinstance(parsed, dict):
        found = parsed.get("identifier")
    elif isinstance(parsed, str):
        found = parsed
    else:
        found = text_of(answer)
    identifier = found.strip() if isinstance(found, str) else ""
    if identifier not in _NO_IDENTIFIERS and is_identifier(identifier):
        return Reading(event=Uploaded(identifier), account=Healthy())
    why = f"no identifier in the answer: {reason(answer)}"
    return Reading(event=Deferred(why) if answer.sent else Unsent(why, counts=True))


def _unfinished(answer: Answer, *, counts: bool) -> Unsent | Deferred:
    """Tell doubt from certainty: below 500 the API itself says that it took nothing."""
    declined = isinstance(answer, Response) and answer.status < 500
    if answer.sent and not declined:
        return Deferred(reason(answer), counts=counts)
    return Unsent(reason(answer), counts=counts)


def _refused(answer: Answer, available: float | None) -> Reading | AskCredits:
    """Tell the three causes of a 400 apart; a 413 and its like have only one (7, 27)."""
    why = reason(answer)
    words, fields = complaint(answer)
    is_clear = isinstance(answer, Response) and answer.status not in _MAY_BE_UNCLEAR
    of_file = bool(fields) or _FILE_WORDS.search(words) is not None
    of_purse = _PURSE_WORDS.search(words) is not None
    if of_purse and not of_file and not is_clear:
        return Reading(event=Unsent(why), account=Barred(PauseReason.CREDITS, why))
    if is_clear or of_file is not of_purse or (available is not None and available > 0):
        options = [name for name in fields if name not in set(Media)]
        hint = f" (an option of the folder, not the file: {', '.join(options)})" if options else ""
        return Reading(event=Refused(why + hint), account=Healthy())
    if available is None:
        return AskCredits(otherwise=Reading(event=Unsent(why, counts=True)))
    return Reading(event=Unsent(why), account=Barred(PauseReason.CREDITS, f"{available:g} credits; {why}"))


# Results.


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What an answer says of the identifiers asked for.

    ``missing`` were not in it and are to be asked for singly. ``split``: the batch as a whole was refused, ask for
    its halves. ``ask_account``: one identifier was refused; ask for the credits, and if those are answered it is
    ``lost``. In both cases ``events`` is empty and ``refusal`` says how. ``unknown_statuses`` is for the log.
    """

    events: Mapping[str, AnalysisEvent] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    split: bool = False
    ask_account: bool = False
    refusal: str | None = None
    unknown_statuses: frozenset[str] = frozenset()
    account: AccountEvent | None = None


def results(
    answer: Answer,
    *,
    media: Media,
    asked: Sequence[str],
    hashes: Mapping[str, bytes],
    now: datetime,
    hearsay: Collection[str] = (),
) -> Results:
    """Read the answer to a GET of several identifiers; ``hashes`` are our SHA-256s by identifier.

    ``hearsay`` are identifiers that the API did not give to us: of these it has to say which bytes it judged.
    Elements are matched by identifier alone, and those not asked for are passed over (11, 13, 14).
    """
    failed = _without_results(answer, asked, now)
    if failed is not None:
        return failed
    listed = elements(answer)
    if listed is None:
        return _unreadable(answer, asked)
    known: dict[str, tuple[Mapping[str, object], bytes]] = {}
    for element, raw in listed:
        identifier = element.get("identifier")
        if isinstance(identifier, str):
            known.setdefault(identifier, (element, raw))
    found = {identifier: known[identifier] for identifier in asked if identifier in known}
    return _read(found, media=media, asked=asked, hashes=hashes, hearsay=hearsay)


def result(
    answer: Answer,
    *,
    media: Media,
    identifier: str,
    sha256: bytes,
    now: datetime,
    is_hearsay: bool = False,
) -> Results:
    """Read the answer to a GET of one identifier, whose element need not name it; see ``results`` for hearsay."""
    failed = _without_results(answer, (identifier,), now)
    if failed is not None:
        return failed
    match elements(answer):
        case [(element, raw)] if element.get("identifier", identifier) == identifier:
            found = {identifier: (element, raw)}
            return _read(
                found,
                media=media,
                asked=(identifier,),
                hashes={identifier: sha256},
                hearsay=(identifier,) if is_hearsay else (),
            )
        case _:
            return _unreadable(answer, (identifier,))


def lost(identifier: str, refusal: str | None = None) -> Lost:
    """Say that the API answers about the account but not about ``identifier`` (6)."""
    return Lost(f"identifAI no longer knows {identifier} ({refusal or 'refused'})")


def _without_results(answer: Answer, asked: Sequence[str], now: datetime) -> Results | None:
    """Read all but a 2xx, which gives None."""
    match matter(answer):
        case Matter.FINE:
            return None
        case Matter.REFUSED | Matter.FORBIDDEN | Matter.NOWHERE:
            single = len(asked) == 1
            return Results(split=not single, ask_account=single, refusal=reason(answer))
        case Matter.TROUBLE:
            return _unanswered(reason(answer), asked)
        case _:
            event = Unanswered(reason(answer), counts=False)
            return Results(events=dict.fromkeys(asked, event), account=account(answer, now))


def _unreadable(answer: Answer, asked: Sequence[str]) -> Results:
    return _unanswered(f"no results in the answer: {reason(answer)}", asked)


def _unanswered(why: str, asked: Sequence[str]) -> Results:
    """Hold a row responsible that was asked for alone; of a batch it cannot be told which, so everybody waits."""
    single = len(asked) == 1
    events = dict.fromkeys(asked, Unanswered(why, counts=single))
    return Results(events=events, account=None if single else Unreachable(why))


def _read(
    found: Mapping[str, tuple[Mapping[str, object], bytes]],
    *,
    media: Media,
    asked: Sequence[str],
    hashes: Mapping[str, bytes],
    hearsay: Collection[str],
) -> Results:
    statuses = {identifier: _status(element) for identifier, (element, _) in found.items()}
    return Results(
        events={
            identifier: _event(
                element,
                raw,
                statuses[identifier],
                media,
                hashes[identifier],
                is_hearsay=identifier in hearsay,
            )
            for identifier, (element, raw) in found.items()
        },
        missing=tuple(identifier for identifier in asked if identifier not in found),
        unknown_statuses=frozenset(status for status in statuses.values() if status not in _STATUSES),
        account=Healthy(),
    )


_STATUSES = ("", "new", "done", "errored")


def _status(element: Mapping[str, object]) -> str:
    """Read the status; empty where there is none, as before v1.1.0."""
    status = element.get("status")
    return "" if status is None else one_line(str(status)).lower()


def _event(
    element: Mapping[str, object],
    raw: bytes,
    status: str,
    media: Media,
    sha256: bytes,
    *,
    is_hearsay: bool,
) -> AnalysisEvent:
    judgement = verdict(element, media)
    done = status == "done" or (status == "" and judgement is not None)  # 3
    if not done and status != "errored":
        return Pending()  # 4: a status that nobody documented is bounded by the deadline
    theirs = element.get("hash")
    if not theirs and is_hearsay:
        return Mismatched(
            "identifAI does not say which bytes it judged, and the identifier is from a sidecar"
        )
    if theirs and str(theirs).strip().lower() != sha256.hex():  # 35
        return Mismatched(f"judged {one_line(str(theirs))}, but ours is {sha256.hex()}")
    if status == "errored":
        return Errored(one_line(element.get("errors")) or "identifAI gave up and gave no reason")  # 5
    if judgement is None:
        return Malformed(f"done, but no verdict can be read: {one_line(raw.decode('utf-8'))}")  # 5
    return Judged(judgement, raw)


# Heatmaps, credits, overrides.


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap:
    """A heatmap's PNG, or why there is none and whether asking again may bring it."""

    png: bytes | None
    why: str | None = None
    again: bool = False
    account: AccountEvent | None = None


def heatmap(answer: Answer, *, now: datetime) -> Heatmap:
    """Read a heatmap; none is ever worth failing the file for (30)."""
    if isinstance(answer, Response) and matter(answer) is Matter.FINE:
        if answer.body.startswith(_PNG):
            return Heatmap(png=answer.body, account=Healthy())
        return Heatmap(png=None, why=f"the heatmap is no PNG: {reason(answer)}")
    lasting = matter(answer) in {Matter.REFUSED, Matter.FORBIDDEN, Matter.NOWHERE}
    return Heatmap(png=None, why=reason(answer), again=not lasting, account=account(answer, now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Credits:
    """The credits that are left, or why they are not known."""

    available: float | None
    why: str | None = None
    account: AccountEvent | None = None


def credits(answer: Answer, *, now: datetime) -> Credits:  # noqa: A001 - the API's word, and there is no site in core
    """Read the account's credits; a 403 is the account's own here, for nothing else was named (6)."""
    if matter(answer) is Matter.FORBIDDEN:
        return Credits(available=None, why=reason(answer), account=Barred(PauseReason.TERMS, reason(answer)))
    parsed = json_of(answer)
    available = number(mapping(parsed).get("available_credits"))
    if matter(answer) is Matter.FINE and available is not None:
        return Credits(available=available, account=Healthy())
    of_account = None if matter(answer) is Matter.FINE else account(answer, now)
    return Credits(available=None, why=reason(answer), account=of_account)


def override(answer: Answer, *, asked: Label, now: datetime) -> Reading:
    """Read the answer to an override.

    A refusal is this content's matter only: a 403 may mean a hash that the API never saw, and if the account is at
    fault the next submission tells.
    """
    match matter(answer):
        case Matter.FINE:
            parsed = json_of(answer)
            said = label(mapping(parsed).get("classification"))
            return Reading(event=Overridden(said or asked), account=Healthy())
        case Matter.REFUSED | Matter.FORBIDDEN | Matter.NOWHERE:
            return Reading(event=Refused(reason(answer)))
        case of_answer:
            event = Unanswered(reason(answer), counts=of_answer is Matter.TROUBLE)
            return Reading(event=event, account=account(answer, now))
