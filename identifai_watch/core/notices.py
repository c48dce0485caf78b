"""What people are told, and when: each outcome by itself, or a digest where there are too many of them.

Values only: what is still to be told stands in the ledger, and telling it is left to ``notify``.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from identifai_watch.core.model import Media, Outcome
from identifai_watch.core.sidecar import timestamp

MINUTE = timedelta(minutes=1)

KEPT = timedelta(days=1)
"""How long somebody who does not answer is told again; then the notice is dropped."""

MOST_WAITING = 1_000
"""So many notices may wait for one channel; outcomes beyond them are told in digests."""

NAMED = 20
"""So many files of a digest are named."""

HOPELESS = frozenset({400, 405, 406, 409, 410, 411, 413, 414, 415, 422, 431})
"""The answers of a webhook that are about the notice itself: it would not be taken at another time either."""


class Kind(StrEnum):
    """What a notice is about."""

    OUTCOME = "outcome"
    DIGEST = "digest"
    ALARM = "alarm"
    HEALED = "healed"


WORDS: Mapping[Outcome, str] = {
    Outcome.HUMAN: "No signs of generation found",
    Outcome.ARTIFICIAL: "Signs of generation found",
    Outcome.UNCERTAIN: "Signs of generation unclear",
    Outcome.REJECTED: "Not judged",
    Outcome.PENDING: "Verdict pending",
    Outcome.UNCHECKED: "Let go unchecked",
}
"""Each outcome as a notice begins: what was found, and not what somebody is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A file that was delivered with another outcome than before; its ``path`` and ``shown_at`` are safe to print."""

    folder: str
    path: str
    shown_at: str
    outcome: Outcome
    confidence: float | None = None
    media: Media | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to tell: a line, a few more, and ``fields`` for machines, as JSON has them."""

    kind: Kind
    title: str
    text: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Outcomes that are told together, from ``since`` on; the first of the files are named."""

    since: datetime
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)
    files: tuple[News, ...] = ()

    @property
    def number(self) -> int:
        """How many files it is about."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How much was told lately: when each outcome was told by itself, and the digest that is being gathered, if one is."""

    told: tuple[datetime, ...] = ()
    digest: Digest | None = None

    @property
    def due(self) -> datetime | None:
        """When the digest is told."""
        return None if self.digest is None else self.digest.since + MINUTE


def take(
    flow: Flow, news: Sequence[News], now: datetime, *, above: int, is_crowded: bool = False
) -> tuple[Flow, int]:
    """Take in what is new; return the flow after it, and how many of them, the first, are told each by itself.

    That are ``above`` outcomes in a minute (0 is any number), and none where too many wait already; the rest goes
    into a digest.
    """
    lately = [at for at in flow.told if now - MINUTE < at <= now]
    digest, alone = flow.digest, 0
    for one in news:
        if digest is None and not is_crowded and (above == 0 or len(lately) < above):
            alone += 1
            lately += [now] if above else []
        else:
            digest = _added(digest or Digest(since=now), one)
    return Flow(told=tuple(lately), digest=digest), alone


def close(flow: Flow, now: datetime, *, above: int) -> tuple[Flow, Digest | None]:
    """Return the flow after a digest whose minute is over, and that digest; after a flood the next one begins at once."""
    digest = flow.digest
    if digest is None or digest.since <= now < digest.since + MINUTE:
        return flow, None
    still = Digest(since=now) if digest.number > above else None
    return Flow(digest=still), digest if digest.number else None


def _added(digest: Digest, one: News) -> Digest:
    return replace(
        digest,
        outcomes=Counter(digest.outcomes) + Counter({one.outcome: 1}),
        folders=Counter(digest.folders) + Counter({one.folder: 1}),
        files=digest.files if len(digest.files) == NAMED else (*digest.files, one),
    )


def of_outcome(one: News, sidecar: object) -> Notice:
    """Return the notice of one file, with what its sidecar says."""
    about = [] if one.confidence is None else [f"confidence {one.confidence:.2f}"]
    about += [f"{one.media}"] if one.media else []
    lines = [", ".join([*about, f"folder {one.folder}"]), *([] if one.reason is None else [one.reason])]
    return Notice(
        kind=Kind.OUTCOME,
        title=f"{WORDS[one.outcome]}: {one.shown_at}",
        text="\n".join(lines),
        fields=_file(one) | {"sidecar": sidecar},
    )


def of_digest(digest: Digest, now: datetime) -> Notice:
    """Return the notice of many files."""
    counted = ", ".join(f"{number:,} {outcome}" for outcome, number in digest.outcomes.items())
    lines = [f"{WORDS[one.outcome]}: {one.shown_at}" for one in digest.files]
    more = digest.number - len(digest.files)
    lines += [f"and {more:,} more"] if more else []
    return Notice(
        kind=Kind.DIGEST,
        title=f"{digest.number:,} files: {counted}",
        text="\n".join(lines),
        fields={
            "since": timestamp(digest.since),
            "until": timestamp(now),
            "number": digest.number,
            "outcomes": {outcome.value: number for outcome, number in digest.outcomes.items()},
            "folders": dict(digest.folders),
            "files": [_file(one) for one in digest.files],
        },
    )


def _file(one: News) -> dict[str, Any]:
    return {
        "folder": one.folder,
        "path": one.path,
        "shown_at": one.shown_at,
        "outcome": one.outcome.value,
        "confidence": one.confidence,
        "media": None if one.media is None else one.media.value,
        "reason": one.reason,
    }


def document(notice: Notice, *, uid: str, now: datetime, host: str) -> dict[str, Any]:
    """Return what machines get of a notice; ``uid`` is the same however often it is told."""
    return {
        "id": uid,
        "kind": notice.kind.value,
        "at": timestamp(now),
        "host": host,
        "title": notice.title,
        "text": notice.text,
        **notice.fields,
    }


def flow_text(flow: Flow) -> str:
    """Return a flow as the JSON that the ledger keeps."""
    digest = flow.digest
    kept = None
    if digest is not None:
        kept = {
            "since": digest.since.isoformat(),
            "outcomes": dict(digest.outcomes),
            "folders": dict(digest.folders),
            "files": [_file(one) for one in digest.files],
        }
    return json.dumps({"told": [at.isoformat() for at in flow.told], "digest": kept})


def flow_of(text: str | None) -> Flow:
    """Return the flow that the ledger keeps as ``text``."""
    if text is None:
        return Flow()
    values = json.loads(text)
    digest = values["digest"]
    return Flow(
        told=tuple(datetime.fromisoformat(at) for at in values["told"]),
        digest=None
        if digest is None
        else Digest(
            since=datetime.fromisoformat(digest["since"]),
            outcomes={Outcome(outcome): number for outcome, number in digest["outcomes"].items()},
            folders=digest["folders"],
            files=tuple(_news(one) for one in digest["files"]),
        ),
    )


def _news(values: Mapping[str, Any]) -> News:
    media = values["media"]
    return News(
        **{
            **values,
            "outcome": Outcome(values["outcome"]),
            "media": None if media is None else Media(media),
        }
    )


def unwanted(known: Collection[str], wanted: Collection[str], *, unsure: Sequence[str]) -> list[str]:
    """Return the channels that nothing is to be told by any more; of those that begin like one of ``unsure`` nobody knows."""
    return sorted(
        name for name in known if name not in wanted and not any(name.startswith(like) for like in unsure)
    )
