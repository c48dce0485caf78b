"""What came back from identifAI: an HTTP answer or none, whose matter it is, and what stands in its body.

``matter`` is the table: an answer is this content's matter, the account's, the network's, or our own. What it then
means for a row is left to ``answers``. Numbers in comments are those of docs/api-notes.md.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from identifai_watch.core.events import AccountEvent, Barred, Healthy, Throttled, Unreachable
from identifai_watch.core.model import PauseReason
from identifai_watch.core.verdicts import escaped, mapping, number, sequence

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""However long the API asks us to wait: a proxy's slip must not silence the daemon for a day."""

_QUOTED = 300
_LONGEST_IDENTIFIER = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP answer: keys of ``headers`` in lower case; ``sent`` is whether all of the request was written."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No HTTP answer that can be used.

    ``sent`` is whether all of the request, for an upload the closing boundary, was written; ``reached`` whether
    a connection stood; ``ours`` whether we ended it ourselves, ``keyless`` whether there was no key to ask with.
    """

    reason: str
    sent: bool
    reached: bool
    ours: bool = False
    keyless: bool = False


Answer = Response | Failure


def status_of(answer: Answer) -> str | None:
    """Return how a request ended: its HTTP status, or in a word why it has none; None if it was not even begun."""
    if isinstance(answer, Response):
        return str(answer.status)
    if answer.keyless:
        return None
    if answer.ours:
        return "cut"
    return "unanswered" if answer.reached else "unreached"


class Matter(Enum):
    """Whose matter an answer is."""

    FINE = auto()
    """Answered as asked."""
    OURS = auto()
    """We ended it: the file changed, the daemon stops."""
    KEY = auto()
    """The account's: its key is missing or wrong (8)."""
    FORBIDDEN = auto()
    """The account's when we submit, else perhaps only the identifier's (6)."""
    PURSE = auto()
    """The account's: no credits."""
    THROTTLE = auto()
    """The account's: too fast (9)."""
    NETWORK = auto()
    """Everybody's: no connection, a gateway without its server, or an address that is not the API's."""
    TROUBLE = auto()
    """Perhaps only this request's: a reset, a time-out, a 500 (27)."""
    NOWHERE = auto()
    """There is no such thing: the address for a submission, the identifier for a result."""
    REFUSED = auto()
    """This content's: it will be answered the same every time."""


_BY_STATUS = {
    401: Matter.KEY,
    402: Matter.PURSE,
    403: Matter.FORBIDDEN,
    404: Matter.NOWHERE,
    405: Matter.NOWHERE,
    407: Matter.NETWORK,
    408: Matter.TROUBLE,
    429: Matter.THROTTLE,
    502: Matter.NETWORK,
    503: Matter.NETWORK,
    504: Matter.NETWORK,
}
_BY_CLASS = {2: Matter.FINE, 3: Matter.NETWORK, 4: Matter.REFUSED, 5: Matter.TROUBLE}


def matter(answer: Answer) -> Matter:
    """Look up whose matter ``answer`` is, before anything of its body is read."""
    match answer:
        case Failure(keyless=True):
            return Matter.KEY
        case Failure(ours=True):
            return Matter.OURS
        case Failure(reached=False):
            return Matter.NETWORK
        case Failure():
            return Matter.TROUBLE
        case Response(status=status):
            return _BY_STATUS.get(status) or _BY_CLASS.get(status // 100, Matter.TROUBLE)


def reason(answer: Answer) -> str:
    """Say in one line what came: the API's own words where there are some, shortened and escaped (26)."""
    if isinstance(answer, Failure):
        return answer.reason
    words, _ = complaint(answer)
    location = answer.headers.get("location")
    if location is not None:
        words = f"redirects to {escaped(location[:_QUOTED])}; is api.url right?"
    return f"{answer.status}: {words}" if words else str(answer.status)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Read Retry-After, seconds or an HTTP date, as the time to wait from ``now`` on (9).

    A date is taken relative to the answer's own Date, so that a clock that is wrong, here or there, does no harm.
    """
    asked = headers.get("retry-after", "").strip()
    seconds = number(asked)
    if seconds is not None:
        wait = timedelta(seconds=min(max(seconds, 0), LONGEST_RETRY_AFTER.total_seconds()))
    elif (until := _http_date(asked)) is not None:
        wait = until - (_http_date(headers.get("date", "")) or now)
    else:
        return None
    return min(max(wait, timedelta()), LONGEST_RETRY_AFTER)


def is_identifier(value: str) -> bool:
    """Tell whether ``value`` may be put in a path and a ledger; its form is the API's own matter (34)."""
    is_plain = value.isprintable() and not set(value) & set('/\\ ?#<>{}[]"')
    return is_plain and value.strip(".") != "" and len(value) <= _LONGEST_IDENTIFIER


def account(answer: Answer, now: datetime) -> AccountEvent | None:
    """Say what ``answer`` means for the account, whatever was asked; None where it says nothing of it."""
    wait = retry_after(answer.headers, now) if isinstance(answer, Response) else None
    match matter(answer):
        case Matter.FINE:
            return Healthy()
        case Matter.KEY:
            return Barred(PauseReason.KEY, reason(answer))
        case Matter.PURSE:
            return Barred(PauseReason.CREDITS, reason(answer))
        case Matter.THROTTLE:
            return Throttled(wait)
        case Matter.NETWORK:
            return Unreachable(reason(answer), wait)
        case _:
            return None


# Bodies.


def text_of(answer: Answer) -> str:
    """Decode the body, whatever it is; empty where there is none."""
    return answer.body.decode("utf-8-sig", "replace") if isinstance(answer, Response) else ""


def json_of(answer: Answer) -> object:
    """Parse the body; None where it is no JSON, whatever it is instead (26)."""
    try:
        return json.loads(text_of(answer))
    except (ValueError, RecursionError):
        return None


def elements(answer: Answer) -> list[tuple[Mapping[str, object], bytes]] | None:
    """Take an array of results apart, each with its own bytes as they came; an object alone is an array of one.

    None where the body is neither. In a body that is no UTF-8, and so no JSON, what cannot be read is U+FFFD in both.
    NaN and Infinity, which are no JSON either, are null in the element alone.
    """
    body = text_of(answer).strip()
    decoder = json.JSONDecoder(parse_constant=lambda _: None)
    listed = body.startswith("[")
    found: list[tuple[Mapping[str, object], bytes]] = []
    at = 1 if listed else 0
    try:
        while (at := _next(body, at)) < len(body) and body[at] != "]":
            element, end = decoder.raw_decode(body, at)
            if isinstance(element, dict):
                found.append((element, body[at:end].encode()))
            at = end
    except (ValueError, RecursionError):
        return None
    complete = at == len(body) - 1 if listed else len(found) == 1
    return found if complete else None


def _next(body: str, at: int) -> int:
    while at < len(body) and body[at] in " \t\r\n,":
        at += 1
    return at


def complaint(answer: Answer) -> tuple[str, tuple[str, ...]]:
    """Find the words of an error, and the names of the form's fields if it is about those (7)."""
    parsed = mapping(json_of(answer))
    fields = mapping(parsed.get("errors")) or {
        name: value for name, value in parsed.items() if isinstance(value, list)
    }
    if fields:
        lines = [f"{name}: {' '.join(map(str, sequence(value)))}" for name, value in fields.items()]
        return one_line("; ".join(lines)), tuple(map(escaped, fields))
    said = parsed.get("error", parsed.get("message"))
    return one_line(said if isinstance(said, str) else text_of(answer)), ()


def one_line(value: object) -> str:
    """Shorten a foreign text to one line of at most 300 characters, escaped; empty where it is no text."""
    return escaped(" ".join(value[: 4 * _QUOTED].split()))[:_QUOTED] if isinstance(value, str) else ""


def _http_date(value: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(value)
    except ValueError:
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
