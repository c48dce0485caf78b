"""What the pretend identifAI is to do: a value that a test, or another process as JSON, sets and changes.

Whatever the vendor's pages leave open is a switch here; the defaults are the likeliest reading.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Literal

from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt, TypeAdapter
from pydantic.dataclasses import dataclass

from identifai_watch.core.model import Label, Media

_STRICT = ConfigDict(extra="forbid")


class Endpoint(StrEnum):
    """The kinds of request, for faults and for what is recorded."""

    UPLOAD = "upload"
    FROM_URL = "from_url"
    RESULT = "result"
    RESULTS = "results"
    HEATMAP = "heatmap"
    CREDITS = "credits"
    OVERRIDE = "override"


class FaultKind(StrEnum):
    """What may go wrong, in the order in which it strikes a request."""

    RESET_BEFORE = "reset_before"  # the connection is reset before the body was read
    STALL_BODY = "stall_body"  # the body is not read on
    SLOW_BODY = "slow_body"  # the body is read after `seconds`
    STATUS = "status"  # `status` with `body` as JSON or text
    HTML = "html"  # `status` with a page, as proxies answer
    GARBAGE = "garbage"  # 200 with JSON that breaks off
    RESET_AFTER = "reset_after"  # the request took effect, then the connection is reset
    STALL = "stall"  # the request took effect, and no answer comes
    TRUNCATE = "truncate"  # the answer breaks off half way
    SLOW = "slow"  # the answer comes after `seconds`


class RetryAfter(StrEnum):
    """How a 429 says when to come back; no page documents that it does."""

    NONE = "none"
    SECONDS = "seconds"
    DATE = "date"


class Check(StrEnum):
    """What is checked before a request is served; the order is not documented."""

    KEY = "key"
    TERMS = "terms"
    LIMITS = "limits"


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Limits:
    """The account's rate limits, over sliding windows; 0 is none."""

    posts_per_second: NonNegativeInt = 0
    posts_per_minute: NonNegativeInt = 0
    gets_per_second: NonNegativeInt = 0
    gets_per_minute: NonNegativeInt = 0


DOCUMENTED_LIMITS = Limits(posts_per_second=1, posts_per_minute=30, gets_per_second=2, gets_per_minute=60)


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Fault:
    """Something that goes wrong with the next ``times`` requests (None: all) after ``skip`` good ones.

    ``match`` and ``media`` say which requests, None meaning any. ``carried_out`` says for ``status``, ``html``
    and ``garbage`` that the request takes effect all the same, so that an upload is charged. ``seconds`` is
    how long a stall lasts before the connection is cut, or how late a slow answer comes.
    """

    kind: FaultKind
    match: Endpoint | None = None
    media: Media | None = None
    times: PositiveInt | None = 1
    skip: NonNegativeInt = 0
    status: int = 503
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: NonNegativeFloat = 60.0
    carried_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Signature:
    """A C2PA manifest that an image carries; ``digital_source_type`` is an IPTC term's URL, or none."""

    state: Literal["Valid", "Invalid", "Unknown"] = "Valid"
    issuer: str = "Simulated Camera Works"
    digital_source_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Scripted:
    """What becomes of the contents with this ``sha256`` (hex), or whose file's name matches the glob ``name``.

    What is None stays as the content's hash decides. ``errors`` makes the analysis fail with that text.
    ``delay`` is in seconds, from the submission. ``fields`` and ``without`` then change the finished result:
    another ``hash``, an unknown ``status``, no ``verdict``, a nested field of another shape.
    """

    sha256: str | None = None
    name: str | None = None
    media: Media | None = None
    classification: Label | None = None
    confidence: float | None = None
    unknown: bool | None = None
    errors: str | None = None
    signature: Signature | None = None
    nsfw: bool = False
    delay: NonNegativeFloat | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Script:
    """All that the pretend identifAI does; each field may be changed while it runs.

    ``key`` is the only one accepted, None accepts any. ``delay`` is the seconds from the submission until the
    result is there. ``credits`` is what was granted in all, None is endless; each analysis costs 1, and when
    they run out a submission is answered 400 with ``credits_body``, whose text no page shows. ``max_bytes``
    is what is enforced, ``max_text`` what the refusal says: the vendor's own pages disagree. ``refused_fields``
    are form fields that this account may not send. A request line over ``request_line_limit`` bytes is
    answered 414, as nginx does; 0 is no limit.
    """

    key: str | None = None
    terms_accepted: bool = True
    order: tuple[Check, ...] = (Check.KEY, Check.TERMS, Check.LIMITS)
    limits: Limits = Limits()
    retry_after: RetryAfter = RetryAfter.NONE
    credits: float | None = None
    credits_body: Any = field(default_factory=lambda: {"error": "Not enough credits."})
    delay: NonNegativeFloat | Mapping[Media, NonNegativeFloat] = 0.0
    pre_1_1: bool = False
    unknown_in_bulk: Literal["omit", "403"] = "omit"
    ref_id_in_cache_key: bool = False
    max_bytes: Mapping[Media, PositiveInt] = field(
        default_factory=lambda: {Media.IMAGE: 50_000_000, Media.VIDEO: 5_000_000_000, Media.AUDIO: 15_000_000}
    )
    max_text: Mapping[Media, str] = field(
        default_factory=lambda: {Media.IMAGE: "50MB", Media.VIDEO: "5GB", Media.AUDIO: "50MB"}
    )
    refused_fields: tuple[str, ...] = ()
    request_line_limit: NonNegativeInt = 8192
    verdicts: tuple[Scripted, ...] = ()
    faults: tuple[Fault, ...] = ()

    def delay_of(self, media: Media) -> float:
        """Return the seconds that an analysis of ``media`` takes."""
        return self.delay.get(media, 0.0) if isinstance(self.delay, Mapping) else self.delay


_ADAPTER = TypeAdapter(Script)


def to_json(script: Script) -> dict[str, Any]:
    """Return ``script`` as JSON values."""
    document: dict[str, Any] = _ADAPTER.dump_python(script, mode="json")
    return document


def changed(script: Script, changes: Mapping[str, Any]) -> Script:
    """Return ``script`` with ``changes``, values or JSON; raise ``ValueError`` that names each wrong one."""
    return _ADAPTER.validate_python({**_ADAPTER.dump_python(script), **changes})
